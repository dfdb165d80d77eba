"""``Reranker``: the public face for people who bring their own candidates, of any domain.

No catalogue is needed: candidates and history are texts. The retriever's part in the fusion is the
similarity of each candidate to the wish and the history in the embedding space.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.assemble import load_fusion, load_model, make_reranker
from tastemaker.agent.pipeline import Stopwatch
from tastemaker.agent.rankers import ranking_settings
from tastemaker.agent.requests import (
    ContextLike,
    HistoryLike,
    LanguageChoice,
    as_context,
    as_history,
    as_language,
    as_wish,
)
from tastemaker.answers import Trace
from tastemaker.config import Settings, resolve
from tastemaker.data.records import frame_table
from tastemaker.errors import DataError, RequestError
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.text import clip_text
from tastemaker.index.text_retriever import profile_vector
from tastemaker.protocols import Embedder, ProgressCallback
from tastemaker.protocols import Reranker as RerankerProtocol
from tastemaker.types import Candidate, Item, Request
from tastemaker.workspace import Workspace

CandidateLike = str | Mapping[str, Any]
MAX_CANDIDATES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankedRow:
    """One candidate with its place. ``index`` is its position in what was handed in."""

    rank: int
    index: int
    id: str
    text: str
    score: float
    retrieval_score: float
    llm_score: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "index": self.index,
            "id": self.id,
            "text": self.text,
            "score": round(self.score, 6),
            "retrieval_score": round(self.retrieval_score, 6),
            "llm_score": None if self.llm_score is None else round(self.llm_score, 6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankResult:
    """The first ``top_n`` of a permutation of the candidates, best first."""

    results: tuple[RerankedRow, ...]
    trace: Trace

    def __iter__(self) -> Iterator[RerankedRow]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        return {"results": [row.to_dict() for row in self.results], "trace": self.trace.to_dict()}


class Reranker:
    """Orders texts for a person and a moment. Safe to use from several threads.

    Example::

        reranker = Reranker.load()
        reranker.rerank(history=["Alien (1979)"], candidates=["Toy Story (1995)", "Aliens (1986)"])
    """

    def __init__(self, embedder: Embedder, reranker: RerankerProtocol) -> None:
        self._embedder = embedder
        self._reranker = reranker

    @classmethod
    def load(
        cls,
        workspace: str | Path | None = None,
        *,
        progress: ProgressCallback | None = None,
        **settings: Any,
    ) -> Reranker:
        """Load the default models, or those of a workspace; ``settings`` override either."""
        place = Workspace(Path(workspace)) if workspace is not None else None
        resolved: Settings = resolve(place.config if place else None, settings)[0]
        if place is not None:
            place.require_data()
        ranking = ranking_settings(resolved, place)
        model = load_model(ranking, progress)
        fusion = load_fusion(place, ranking)
        return cls(load_embedder(resolved.embedder, progress=progress), make_reranker(model, ranking, fusion))

    def rerank(
        self,
        *,
        candidates: Sequence[CandidateLike] | Any,
        history: HistoryLike = (),
        context: ContextLike = None,
        wish: str = "",
        top_n: int | None = None,
        language: LanguageChoice = "auto",
    ) -> RerankResult:
        """Order ``candidates``: strings, or mappings with ``text`` (or ``title``) and, if wanted, ``id``.

        A pandas, polars or Arrow table with such columns will do; ``index`` then counts its rows from 0.
        Ids may repeat or be missing: rows are told apart by their ``index``. The input is not changed.
        ``top_n`` None returns all; a number larger than there are candidates is no error.

        Raises:
            RequestError: a candidate has no text, there are more than 1,000, or ``top_n`` is not positive.
        """
        clock = Stopwatch()
        texts = [_candidate(one, position) for position, one in enumerate(_listed(candidates))]
        if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1):
            raise RequestError(f"top_n is {top_n!r}; a positive whole number is wanted")
        situation, wish = as_context(context), as_wish(wish)
        request = Request(
            history=as_history(history),
            context=situation,
            wish=wish,
            language=as_language(language, wish, situation),
        )
        with clock.stage("retrieve"):
            found = self._candidates(request, [text for _, text in texts])
        with clock.stage("rerank"):
            ranking = self._reranker.rerank([request], [found])[0]
        rows = []
        for entry in ranking.items:
            position = int(entry.item.id)
            rows.append(
                RerankedRow(
                    rank=entry.rank,
                    index=position,
                    id=texts[position][0],
                    text=texts[position][1],
                    score=entry.score,
                    retrieval_score=entry.candidate.score,
                    llm_score=entry.llm_score,
                )
            )
        trace = Trace(
            model=ranking.model,
            adapter=ranking.adapter,
            template=ranking.template,
            candidates=len(ranking.items),
            llm_share=ranking.llm_share,
            repairs=ranking.repairs,
            degraded=ranking.degraded,
            timings_ms=clock.timings(),
        )
        return RerankResult(results=tuple(rows[:top_n]), trace=trace)

    async def arerank(self, **question: Any) -> RerankResult:
        """``rerank`` in a worker thread."""
        return await asyncio.to_thread(self.rerank, **question)

    def _candidates(self, request: Request, texts: Sequence[str]) -> list[Candidate]:
        """Candidates whose item id is their position, in order of similarity to wish and history."""
        if not texts:
            return []
        # Rows of equal texts can differ in their last bits, and would then not be ordered by the input.
        distinct = list(dict.fromkeys(texts))
        vectors = self._embedder.encode([clip_text(text) for text in distinct])
        profile = profile_vector(request, self._embedder)
        scores = vectors @ profile if profile is not None else np.zeros(len(distinct), dtype=np.float32)
        score_of = dict(zip(distinct, scores.tolist(), strict=True))
        found = [
            Candidate(item=Item(id=str(i), title=text), score=score_of[text]) for i, text in enumerate(texts)
        ]
        return sorted(found, key=lambda candidate: -candidate.score)


def _listed(candidates: Sequence[CandidateLike] | Any) -> Sequence[CandidateLike]:
    if hasattr(candidates, "__arrow_c_stream__") or hasattr(candidates, "to_dict"):
        try:
            candidates = frame_table(candidates, "candidates").to_pylist()
        except DataError as error:
            raise RequestError(error.message) from error
    if isinstance(candidates, (str, bytes, Mapping)) or not isinstance(candidates, Sequence):
        raise RequestError(f"candidates is a {type(candidates).__name__}; a list is wanted")
    if len(candidates) > MAX_CANDIDATES:
        raise RequestError(f"{len(candidates):,} candidates; at most {MAX_CANDIDATES:,} are ranked")
    return candidates


def _candidate(one: CandidateLike, position: int) -> tuple[str, str]:
    """(id, text); the id defaults to the position."""
    if isinstance(one, str):
        name, text = str(position), one
    elif isinstance(one, Mapping):
        given, text = one.get("id"), one.get("text", one.get("title"))
        name = str(position if given is None else given)
    else:
        raise RequestError(f"candidate {position} is a {type(one).__name__}; a text or a mapping is wanted")
    if not isinstance(text, str) or not text.strip():
        raise RequestError(f"candidate {position} has no text")
    return name, text
