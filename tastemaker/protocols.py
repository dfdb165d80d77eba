"""The seams between the parts. Batch first: one output per input, in order; a batch equals its singles.

Only ``tastemaker.agent.pipeline`` knows all of them. A stage gets values and returns values; it never
calls another stage. Contract tests that every implementation inherits are in ``tastemaker.testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tastemaker.types import Candidate, Explanation, Prompt, Ranking, Request

FloatArray = NDArray[np.float32]

ProgressCallback = Callable[[str, int, int | None], None]
"""Called as ``progress(stage, done, total)``; total is None while unknown. The CLI draws it as a bar."""


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str:
        """The source it was loaded from, e.g. ``all-minilm-l6-v2``."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors of the same text would change."""

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return float32 of shape (len(texts), dimension) with rows of length 1; (0, dimension) for none."""


@runtime_checkable
class Retriever(Protocol):
    """Requests to candidates."""

    @property
    def name(self) -> str: ...

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        """Return at most ``n`` candidates per request, best first, each item once.

        Items in ``request.unwanted_ids`` never appear and every filter holds for every candidate. Equal
        scores are ordered by item id. Fewer than ``n`` are returned only when fewer exist that the
        retriever knows something about.
        """


@runtime_checkable
class LanguageModel(Protocol):
    """The only way to a language model; see ``types.Prompt`` for the three uses of a prompt."""

    @property
    def name(self) -> str: ...

    @property
    def adapter(self) -> str | None:
        """Name and hash of the LoRA adapter in use, or None."""

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and continuation together."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, without special tokens."""

    def score(self, prompts: Sequence[Prompt]) -> list[FloatArray]:
        """Return one float32 array of shape (len(prompt.choices),) per prompt, in nats, higher is better.

        Without answers: the summed log-probability of the choice's tokens after the prompt. With
        answers: log p(answers[0]) - log p(answers[1]) right after the choice. With match: the
        logit of the choice as the next item, up to a constant of the prompt.

        Raises:
            ModelError: the model fails, a prompt does not fit, or the form is not supported.
        """

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """Return the greedy continuation of each prompt, without the prompt and special tokens."""

    def take_repairs(self) -> int:
        """How many scores since the last call had to be made up, since the model did not report them."""


@runtime_checkable
class Reranker(Protocol):
    """Candidates to a ranking."""

    def rerank(self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]) -> list[Ranking]:
        """Return one ranking per request: a permutation of its candidates, whatever the model says."""


@runtime_checkable
class Explainer(Protocol):
    """Rankings to words."""

    def explain(
        self, requests: Sequence[Request], rankings: Sequence[Ranking]
    ) -> list[tuple[Explanation, ...]]:
        """Return, per request, one explanation for each of the first ``request.k`` items of its ranking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an altered request does to the items of a ranking, in ranking order; arrays (n,).

    ``fall``: of their log-odds, float32, in nats; negative where an item gains. ``retrieval``: the fall if
    the retriever alone had noticed. ``ranks``: their new places, int64 from 1.
    """

    fall: FloatArray
    retrieval: FloatArray
    ranks: NDArray[np.int64]


class InfluenceProbe(Protocol):
    """Measures what a changed request does to a ranking."""

    def must_read(self, request: Request, altered: Request) -> bool:
        """Whether the language model could score the altered request otherwise than ``request``."""

    def effects(
        self,
        request: Request,
        ranking: Ranking,
        altered: Sequence[Request],
        *,
        read: Collection[int] | None = None,
    ) -> list[Effect]:
        """What each altered request does to ``ranking``.

        Args:
            ranking: all candidates of ``request``.
            read: which of ``altered``, by place, the language model reads; None: all that it must. For the
                others it keeps the scores that it gave to ``request``.

        Raises:
            ModelError: the language model fails.
        """
