"""A language model in this process: transformers, optionally quantised, optionally with a LoRA adapter.

Knows texts and token ids; the arithmetic is in ``llm_network``, the files are ``llm_files``' business.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tastemaker.agent.llm_files import Device, Dtype, Loaded, Quantization, load_files
from tastemaker.agent.llm_match import Matcher
from tastemaker.agent.llm_network import Continuation, Job, Network
from tastemaker.errors import ModelError
from tastemaker.prompts.chat import ChatLayout
from tastemaker.protocols import FloatArray
from tastemaker.types import Prompt

MAX_DEVIATION = 0.1
"""Share of the logits' spread by which scoring may differ from the network itself; int8 noise is .01."""

Place = tuple[int, int]
"""(prompt, choice)"""


class TransformersLM:
    """The ``LanguageModel`` protocol on a transformers network.

    Scores of one choice in different batches agree to 1e-3 nats in float32 and to about .2 in bfloat16.
    An empty choice without answers has the log-probability 0. Calls from several threads are served one
    after another.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._layout = ChatLayout(loaded.tokenizer)
        self._network = Network(loaded.causal, loaded.pad_id)
        self._matcher = None if loaded.head is None else Matcher(self._network, self._layout, loaded.head)
        self._lock = threading.RLock()

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        fingerprint: str | None = None,
        adapter: Path | None = None,
        quantization: Quantization = "none",
        dtype: Dtype = "auto",
        device: Device = "auto",
    ) -> TransformersLM:
        """Load a model folder (config, safetensors, tokenizer).

        Args:
            name: how the model is called in traces and manifests.
            fingerprint: of the base weights, compared with what the adapter was trained on.
            dtype: ``auto`` is bfloat16 where the processor or GPU multiplies it natively, else float32.

        Raises:
            ModelError: the folder cannot be loaded, or its architecture cannot be scored by parts.
            ArtifactError: the adapter is damaged or was trained for something else.
        """
        model = cls(
            load_files(
                path,
                name=name,
                fingerprint=fingerprint,
                adapter=adapter,
                quantization=quantization,
                dtype=dtype,
                device=device,
            )
        )
        model._check_arithmetic()
        return model

    @property
    def name(self) -> str:
        return self._loaded.name

    @property
    def adapter(self) -> str | None:
        return self._loaded.adapter

    @property
    def adapter_template(self) -> str | None:
        """Id of the prompt template that the adapter was trained with, None where nothing tells."""
        return self._loaded.adapter_template

    @property
    def context_length(self) -> int:
        return self._loaded.context_length

    @property
    def tokenizer_fingerprint(self) -> str:
        return self._layout.fingerprint

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        with self._lock:
            return [len(ids) for ids in self._layout.ids(texts)]

    def score(self, prompts: Sequence[Prompt]) -> list[FloatArray]:
        """See ``LanguageModel.score``.

        Prompts that share their text before the choices share its computation; equal choices after it
        are computed once. Choices are cut to ``prompts.chat.MAX_CHOICE_TOKENS``.
        """
        out = [np.zeros(len(prompt.choices), dtype=np.float32) for prompt in prompts]
        matched = [row for row, prompt in enumerate(prompts) if prompt.match]
        for row, found in zip(matched, self._match([prompts[row] for row in matched]), strict=True):
            out[row] = found
        with self._lock, foreign_errors(self.name):
            plan = self._plan(prompts)
            jobs = [Job(prefix, tuple(continuations)) for prefix, continuations in plan.items()]
            for job in jobs:
                self._require_fit(len(job.prefix), max(len(item.tokens) for item in job.continuations))
            scored = self._network.score(jobs)
        for places, scores in zip(plan.values(), scored, strict=True):
            for targets, score in zip(places.values(), scores, strict=True):
                for row, column in targets:
                    out[row][column] = score
        return out

    @property
    def match_history(self) -> int | None:
        """History lines that the adapter's head was trained with; None without a head."""
        return None if self._loaded.head is None else self._loaded.head.shape.history

    def _match(self, prompts: Sequence[Prompt]) -> list[FloatArray]:
        if not prompts:
            return []
        if self._matcher is None:
            raise ModelError(
                f"{self.name} has no head for the scoring form 'match'",
                hint="give an adapter that was trained for it, or --set scoring=title",
            )
        with self._lock, foreign_errors(self.name):
            prefixes = [self._layout.encode(prompt).prefix for prompt in prompts]
            for prefix in prefixes:
                self._require_fit(len(prefix), 0)
            return self._matcher.score(prompts, prefixes)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """See ``LanguageModel.generate``. Blank space around a reply is removed."""
        if max_new_tokens < 1:
            raise ModelError(f"max_new_tokens is {max_new_tokens}; at least 1 is wanted")
        with self._lock, foreign_errors(self.name):
            texts = [self._layout.before_reply(prompt.system, prompt.user) for prompt in prompts]
            rows = self._layout.prefix_ids(texts)
            for row in rows:
                self._require_fit(len(row), max_new_tokens)
            replies = self._network.generate(rows, max_new_tokens)
            return [text.strip() for text in self._decode(replies)]

    def take_repairs(self) -> int:
        """Always 0: every score is read off the network."""
        return 0

    def _decode(self, replies: Sequence[list[int]]) -> list[str]:
        return [self._loaded.tokenizer.decode(reply, skip_special_tokens=True) for reply in replies]

    def _plan(self, prompts: Sequence[Prompt]) -> dict[tuple[int, ...], dict[Continuation, list[Place]]]:
        """Everything to compute, once each, and where its score belongs."""
        plan: dict[tuple[int, ...], dict[Continuation, list[Place]]] = {}
        for row, prompt in enumerate(prompts):
            if not prompt.choices or prompt.match:
                continue
            prefix, continuations = self._tokenise(prompt)
            own = plan.setdefault(prefix, {})
            for column, continuation in enumerate(continuations):
                own.setdefault(continuation, []).append((row, column))
        return plan

    def _tokenise(self, prompt: Prompt) -> tuple[tuple[int, ...], list[Continuation]]:
        found = self._layout.encode(prompt)
        return found.prefix, [Continuation(ids, found.answers) for ids in found.choices]

    def _require_fit(self, prefix: int, rest: int) -> None:
        if prefix + rest > self.context_length:
            raise ModelError(
                f"a prompt of {prefix:,} tokens and {rest:,} more do not fit into the "
                f"{self.context_length:,} tokens of {self.name}",
                hint="lower prompt_tokens or history_length",
            )

    def _check_arithmetic(self) -> None:
        [sample] = self._layout.prefix_ids([self._layout.before_reply("", "Is water wet?")])
        with foreign_errors(self.name):
            deviation = self._network.deviation(sample)
        if not deviation <= MAX_DEVIATION:
            raise ModelError(
                f"{self.name} ({type(self._loaded.causal).__name__}) cannot be scored by parts: the result "
                f"is off by {deviation:.0%} of the logits' spread; a decoder with a plain head and a "
                "key-value cache is wanted"
            )


@contextmanager
def foreign_errors(name: str) -> Iterator[None]:
    """Turn what torch and transformers raise into a ModelError: out of memory, shapes, broken templates."""
    try:
        yield
    except ModelError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, MemoryError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"language model {name} failed: {reason}") from error
