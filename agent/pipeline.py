"""The one straight line: requests -> candidates -> ranking -> explanations -> recommendations.

Chat, Python, CLI, HTTP, reports and evaluation all end here, so what is evaluated is what is served.
Only this module knows every stage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tastemaker.answers import Recommendation, RecommendedItem, Trace
from tastemaker.errors import ModelError
from tastemaker.protocols import Explainer, Reranker, Retriever
from tastemaker.types import Candidate, Explanation, Ranking, Request

Ranked = tuple[Recommendation, Ranking]
"""An answer and the ranking of all candidates that it was cut from."""


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
        """Each request gets the candidates it would get alone, whatever its neighbours ask for.

        The retriever is asked once per length: the long list of a hybrid need not begin with its short one.
        """
        wanted = [max(self._candidates, request.k) for request in requests]
        out: list[tuple[Candidate, ...]] = [()] * len(requests)
        for n in sorted(set(wanted)):
            rows = [row for row, length in enumerate(wanted) if length == n]
            found = self.retriever.retrieve([requests[row] for row in rows], n)
            for row, candidates in zip(rows, found, strict=True):
                out[row] = candidates
        return out

    def recommend_batch(self, requests: Sequence[Request]) -> list[Recommendation]:
        """One recommendation per request, in order, each with at most ``request.k`` items.

        Timings in the traces are those of the whole batch, in milliseconds. A language model that ranks and
        then fails while explaining leaves the whole batch without explanations; the traces say so.
        """
        return [recommendation for recommendation, _ in self.answer_batch(requests)]

    def answer_batch(self, requests: Sequence[Request]) -> list[Ranked]:
        """``recommend_batch`` with the ranking of all candidates that each answer was cut from."""
        return self.explained_batch(self.ranked_batch(requests))

    def ranked_batch(self, requests: Sequence[Request]) -> list[Ranked]:
        """The first half of ``answer_batch``: answers without explanations, with their rankings."""
        if not requests:
            return []
        clock = Stopwatch()
        with clock.stage("retrieve"):
            candidates = self._retrieve(requests)
        with clock.stage("rerank"):
            rankings = self.reranker.rerank(requests, candidates)
        timings = clock.timings()
        return [
            (self._answer(request, ranking, self._no_words(request, ranking), timings, None), ranking)
            for request, ranking in zip(requests, rankings, strict=True)
        ]

    def explained_batch(self, ranked: Sequence[Ranked]) -> list[Ranked]:
        """The second half: the same answers with their explanations."""
        if not ranked:
            return []
        requests, rankings = [answer.request for answer, _ in ranked], [ranking for _, ranking in ranked]
        clock = Stopwatch()
        with clock.stage("explain"):
            explanations, failure = self._explain(requests, rankings)
        spent = clock.timings()["explain"]
        out = []
        for (answer, ranking), texts in zip(ranked, explanations, strict=True):
            before = answer.trace.timings_ms
            timings = {**before, "explain": spent, "total": before["total"] + spent}
            out.append((self._answer(answer.request, ranking, texts, timings, failure), ranking))
        return out

    def recommend_in_steps(self, request: Request) -> Iterator[Recommendation]:
        """The list without explanations as soon as it is ranked, then the answer of ``recommend_batch``."""
        ranked = self.ranked_batch([request])
        yield ranked[0][0]
        yield self.explained_batch(ranked)[0][0]

    def _answer(
        self,
        request: Request,
        ranking: Ranking,
        texts: Sequence[Explanation | None],
        timings: Mapping[str, float],
        failure: str | None,
    ) -> Recommendation:
        return Recommendation(
            request=request,
            items=tuple(
                RecommendedItem(ranked=ranked, explanation=explanation)
                for ranked, explanation in zip(ranking.top(request.k), texts, strict=True)
            ),
            trace=self._trace(ranking, texts, timings, failure),
        )

    def _explain(
        self, requests: Sequence[Request], rankings: Sequence[Ranking]
    ) -> tuple[list[tuple[Explanation | None, ...]], str | None]:
        """Explanations per request, and why there are none where the model failed."""
        failure = None
        if self.explainer is not None:
            try:
                return [tuple(texts) for texts in self.explainer.explain(requests, rankings)], None
            except ModelError as error:
                failure = f"no explanations: language model failed: {error}"
        return list(map(self._no_words, requests, rankings)), failure

    @staticmethod
    def _no_words(request: Request, ranking: Ranking) -> tuple[Explanation | None, ...]:
        return (None,) * len(ranking.top(request.k))

    def _trace(
        self,
        ranking: Ranking,
        texts: Sequence[Explanation | None],
        timings: Mapping[str, float],
        failure: str | None,
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
            degraded="; ".join(filter(None, (ranking.degraded, failure))) or None,
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
