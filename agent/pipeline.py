"""The one straight line: requests -> candidates -> ranking -> explanations -> recommendations.

Chat, Python, CLI, HTTP, reports and evaluation all end here, so what is evaluated is what is served.
Only this module knows every stage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tastemaker.protocols import Explainer, Reranker, Retriever
from tastemaker.types import Candidate, Explanation, Ranking, Recommendation, RecommendedItem, Request, Trace


class Pipeline:
    """``explainer`` None leaves explanations out; ``candidates`` is how many items the reranker reads."""

    def __init__(
        self,
        *,
        retriever: Retriever,
        reranker: Reranker,
        explainer: Explainer | None,
        candidates: int,
        index: str = "",
    ) -> None:
        self.retriever = retriever
        self.reranker = reranker
        self.explainer = explainer
        self._candidates = candidates
        self._index = index

    def rank_batch(self, requests: Sequence[Request]) -> list[Ranking]:
        """Retrieve and rerank only: all candidates of every request, best first."""
        return self.reranker.rerank(requests, self._retrieve(requests))

    def _retrieve(self, requests: Sequence[Request]) -> list[tuple[Candidate, ...]]:
        """Each request gets as many candidates as it would get alone, whatever its neighbours ask for."""
        wanted = [max(self._candidates, request.k) for request in requests]
        found = self.retriever.retrieve(requests, max(wanted, default=0))
        return [candidates[:n] for candidates, n in zip(found, wanted, strict=True)]

    def recommend_batch(self, requests: Sequence[Request]) -> list[Recommendation]:
        """One recommendation per request, in order, each with at most ``request.k`` items.

        Timings in the traces are those of the whole batch, in milliseconds.
        """
        if not requests:
            return []
        clock = Stopwatch()
        with clock.stage("retrieve"):
            candidates = self._retrieve(requests)
        with clock.stage("rerank"):
            rankings = self.reranker.rerank(requests, candidates)
        with clock.stage("explain"):
            explanations = self._explain(requests, rankings)
        timings = clock.timings()
        return [
            Recommendation(
                request=request,
                items=tuple(
                    RecommendedItem(ranked=ranked, explanation=explanation)
                    for ranked, explanation in zip(ranking.top(request.k), texts, strict=True)
                ),
                trace=self._trace(ranking, texts, timings),
            )
            for request, ranking, texts in zip(requests, rankings, explanations, strict=True)
        ]

    def _explain(
        self, requests: Sequence[Request], rankings: Sequence[Ranking]
    ) -> list[tuple[Explanation | None, ...]]:
        if self.explainer is None:
            return [(None,) * len(ranking.top(r.k)) for r, ranking in zip(requests, rankings, strict=True)]
        return [tuple(texts) for texts in self.explainer.explain(requests, rankings)]

    def _trace(
        self, ranking: Ranking, texts: Sequence[Explanation | None], timings: dict[str, float]
    ) -> Trace:
        return Trace(
            model=ranking.model,
            adapter=ranking.adapter,
            template=ranking.template,
            index=self._index,
            candidates=len(ranking.items),
            llm_share=ranking.llm_share,
            repairs=ranking.repairs,
            explanation_fallbacks=sum(1 for text in texts if text is not None and text.fallback),
            degraded=ranking.degraded,
            timings_ms=timings,
        )


class Stopwatch:
    """Wall-clock milliseconds per stage and in total."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = (time.perf_counter() - begun) * 1_000

    def timings(self) -> dict[str, float]:
        return {**self._stages, "total": (time.perf_counter() - self._started) * 1_000}
