"""Validation users as examples for the fusion fit: the scores that serving would see, and what came next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tastemaker.agent.rerank import LLMReranker, mend
from tastemaker.eval.protocols import Protocol, Question
from tastemaker.finetune.fit_fusion import FusionExample
from tastemaker.protocols import ProgressCallback, Retriever
from tastemaker.types import Candidate

BATCH = 4


def reachable(
    protocol: Protocol, retriever: Retriever, n: int, *, users: int, seed: int
) -> list[tuple[Question, tuple[Candidate, ...], int]]:
    """At most ``users`` random questions whose target is among the retriever's first ``n`` candidates.

    Returns (question, candidates, position of the target). The others say nothing about the order.
    """
    order = np.random.default_rng(seed).permutation(len(protocol.questions))
    found: list[tuple[Question, tuple[Candidate, ...], int]] = []
    for i in order:
        question = protocol.questions[i]
        candidates = retriever.retrieve([question.request], n)[0]
        ids = [candidate.item.id for candidate in candidates]
        if question.target in ids:
            found.append((question, candidates, ids.index(question.target)))
        if len(found) == users:
            break
    return found


def fusion_examples(
    reached: Sequence[tuple[Question, tuple[Candidate, ...], int]],
    reranker: LLMReranker,
    progress: ProgressCallback | None = None,
) -> Iterator[FusionExample]:
    """Ask the language model for its scores, a few users at a time, in order."""
    for first in range(0, len(reached), BATCH):
        part = reached[first : first + BATCH]
        scored = reranker.scores([q.request for q, _, _ in part], [found for _, found, _ in part])
        for (_, found, target), (scores, _) in zip(part, scored, strict=True):
            retrieval = np.array([candidate.score for candidate in found], dtype=np.float64)
            yield FusionExample(retrieval=retrieval, llm=mend(scores)[0], target=target)
        if progress is not None:
            progress("scoring validation users", first + len(part), len(reached))
