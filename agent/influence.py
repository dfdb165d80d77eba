"""Influence, measured: how far an item's log-odds fall when a piece of the request is taken away.

The ranking's candidates are scored again for the altered request, on the retriever's scale of the original
one, and fused with the same weights. The retriever reads every change (one matrix product). The language
model reads a changed context or wish, and a changed history where one reading serves all candidates (the
scoring form ``match``); in other forms the influence of a history entry is what it does through the
retriever. What the retriever alone would have done is told apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tastemaker.agent.rerank import mend
from tastemaker.fusion import Fusion, Scores, log_odds
from tastemaker.protocols import Effect, FloatArray
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

    def must_read(self, request: Request, altered: Request) -> bool:
        """See ``tastemaker.protocols.InfluenceProbe``, of which this is one."""
        if self._scorer is None:
            return False
        if (altered.context, altered.wish) != (request.context, request.wish):
            return True
        return self._scorer.reads_once and altered.history != request.history

    def effects(
        self,
        request: Request,
        ranking: Ranking,
        altered: Sequence[Request],
        *,
        read: Collection[int] | None = None,
    ) -> list[Effect]:
        candidates = [entry.candidate for entry in ranking.items]
        if not candidates or not altered:
            return [_nothing(len(candidates)) for _ in altered]
        retrieval = np.array([candidate.score for candidate in candidates], dtype=np.float64)
        llm = _llm_scores(ranking)
        before = self._fusion.logits(retrieval, llm)
        wanted = [
            row
            for row, other in enumerate(altered)
            if llm is not None and (read is None or row in read) and self.must_read(request, other)
        ]
        readings = self._read([altered[row] for row in wanted], candidates)
        again = dict(zip(wanted, readings, strict=True))
        retrieved = self._rescorer.rescore(request, altered, candidates)
        out = []
        for row, scores in enumerate(retrieved):
            alone = self._fusion.logits(scores.astype(np.float64), llm)
            both = self._fusion.logits(scores.astype(np.float64), again[row]) if row in again else alone
            out.append(Effect(fall=_fall(before, both), retrieval=_fall(before, alone), ranks=_ranks(both)))
        return out

    def _read(self, altered: Sequence[Request], candidates: Sequence[Candidate]) -> list[Scores]:
        """The model's scores for each altered request."""
        if not altered or self._scorer is None:
            return []
        scored = self._scorer.scores(altered, [candidates] * len(altered))
        return [mend(scores)[0] for scores, _ in scored]


def _nothing(n: int) -> Effect:
    nowhere = np.zeros(n, np.float32)
    return Effect(fall=nowhere, retrieval=nowhere, ranks=np.arange(1, n + 1))


def _llm_scores(ranking: Ranking) -> Scores | None:
    scores = [entry.llm_score for entry in ranking.items if entry.llm_score is not None]
    return np.array(scores) if len(scores) == len(ranking.items) else None


def _fall(before: Scores, after: Scores) -> NDArray[np.float32]:
    return (log_odds(before) - log_odds(after)).astype(np.float32)


def _ranks(logits: Scores) -> NDArray[np.int64]:
    """Places from 1; equal logits keep the order they stand in."""
    ranks = np.empty(len(logits), np.int64)
    ranks[np.argsort(-logits, kind="stable")] = np.arange(1, len(logits) + 1)
    return ranks
