"""Influence, measured: how far an item's log-odds fall when a piece of the request is taken away.

The ranking's candidates are scored again for the altered request, on the retriever's scale of the original
one, and fused with the same weights. A changed context or wish is read by retriever and language model. A
changed history is read by the retriever (one matrix product), and by the language model where one reading
serves all candidates (the scoring form ``match``); in other forms the influence of a history entry is what it
does through the retriever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tastemaker.agent.rerank import mend
from tastemaker.fusion import Fusion, Scores, log_odds
from tastemaker.protocols import FloatArray
from tastemaker.types import Candidate, Ranking, Request


class Rescorer(Protocol):
    """A retriever that can score given items for an altered request (``index.hybrid.HybridRetriever``)."""

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        """Return one array (len(candidates),) per altered request, on the scale of ``request``."""


class Scorer(Protocol):
    """The language model's half (``agent.rerank.LLMReranker``).

    ``reads_once``: one reading of a history serves any number of candidates, so that many altered histories
    can be read.
    """

    @property
    def reads_once(self) -> bool: ...

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]: ...


class FusedInfluence:
    """Influence on the ranking that ``fusion`` made. ``scorer`` None measures the retriever alone."""

    def __init__(self, rescorer: Rescorer, scorer: Scorer | None, fusion: Fusion) -> None:
        self._rescorer = rescorer
        self._scorer = scorer
        self._fusion = fusion

    def influence(
        self, request: Request, ranking: Ranking, altered: Sequence[Request]
    ) -> list[NDArray[np.float32]]:
        """Return, per altered request, the fall of log-odds (nats) of each item in ranking order.

        Raises:
            ModelError: the language model fails.
        """
        candidates = [entry.candidate for entry in ranking.items]
        if not candidates or not altered:
            return [np.zeros(len(candidates), dtype=np.float32) for _ in altered]
        retrieval = np.array([candidate.score for candidate in candidates], dtype=np.float64)
        llm = self._llm_scores(ranking)
        before = log_odds(self._fusion.logits(retrieval, llm))
        retrieved = self._rescorer.rescore(request, altered, candidates)
        read = self._read_again(request, altered, candidates, llm)
        return [
            (before - log_odds(self._fusion.logits(score.astype(np.float64), reading))).astype(np.float32)
            for score, reading in zip(retrieved, read, strict=True)
        ]

    @staticmethod
    def _llm_scores(ranking: Ranking) -> Scores | None:
        scores = [entry.llm_score for entry in ranking.items if entry.llm_score is not None]
        return np.array(scores) if len(scores) == len(ranking.items) else None

    def _read_again(
        self,
        request: Request,
        altered: Sequence[Request],
        candidates: Sequence[Candidate],
        llm: Scores | None,
    ) -> list[Scores | None]:
        """The model's scores for each altered request; the original ones where it is not asked again."""
        out: list[Scores | None] = [llm] * len(altered)
        if self._scorer is None or llm is None:
            return out
        rows = [
            row
            for row, other in enumerate(altered)
            if (other.context, other.wish) != (request.context, request.wish)
            or (self._scorer.reads_once and other.history != request.history)
        ]
        scored = self._scorer.scores([altered[row] for row in rows], [candidates] * len(rows))
        for row, (scores, _) in zip(rows, scored, strict=True):
            out[row] = mend(scores)[0]
        return out
