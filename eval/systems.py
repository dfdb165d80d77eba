"""The systems that a table compares, by name. Each is built from a protocol's training part alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tastemaker.agent.assemble import load_model, make_reranker
from tastemaker.agent.rerank import LLMReranker, mend
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.eval.run import ScoredList, System
from tastemaker.fusion import Fusion
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.hybrid import HybridWeights, build_retriever
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.protocols import ProgressCallback, Reranker, Retriever
from tastemaker.types import Candidate, Request

RETRIEVERS = ("popularity", "transitions", "text", "hybrid")
RERANKED = ("llm", "fused", "random")
SYSTEMS = (*RETRIEVERS, *RERANKED)
DEPTH = 50
"""Items that a retriever lists; the largest cutoff of the metrics."""


def build_retrievers(
    train: Dataset, settings: Settings, progress: ProgressCallback | None
) -> dict[str, Retriever]:
    """All retrievers over the training data, by name."""
    embedder = load_embedder(settings.embedder, progress=progress)
    index = ItemIndex.build(train.item_ids, index_texts(train), embedder, progress=progress)
    catalogue = Catalogue(train)
    return {
        "popularity": PopularityRetriever(catalogue),
        "transitions": TransitionRetriever(catalogue),
        "text": TextRetriever(catalogue, index, embedder),
        "hybrid": build_retriever(train, index, embedder, HybridWeights()),
    }


def build_system(
    name: str,
    retrievers: dict[str, Retriever],
    settings: Settings,
    fusion: Fusion,
    progress: ProgressCallback | None = None,
) -> System:
    """Build one of ``SYSTEMS``.

    ``random``, ``llm`` and ``fused`` reorder the hybrid's first ``settings.candidates`` items: at random,
    by the language model alone, and by the fusion that is served.

    Raises:
        RequestError: the name is unknown.
    """
    if name in RETRIEVERS:
        return _retrieval(retrievers[name])
    if name not in RERANKED:
        raise RequestError(f"unknown system {name!r}; known are {', '.join(SYSTEMS)}")
    hybrid, n = retrievers["hybrid"], settings.candidates
    if name == "random":
        return _shuffled(hybrid, n, settings.seed)
    reranker = make_reranker(load_model(settings, progress), settings, fusion)
    if not isinstance(reranker, LLMReranker):
        raise RequestError(f"system {name!r} needs a language model; the setting llm is none")
    return _llm_alone(hybrid, reranker, n) if name == "llm" else Fused(hybrid, reranker, n)


def _retrieval(retriever: Retriever) -> System:
    def answer(requests: Sequence[Request]) -> list[ScoredList]:
        return [[(c.item.id, c.score) for c in found] for found in retriever.retrieve(requests, DEPTH)]

    return answer


def _shuffled(retriever: Retriever, n: int, seed: int) -> System:
    generator = np.random.default_rng(seed)

    def answer(requests: Sequence[Request]) -> list[ScoredList]:
        return [
            [(c.item.id, float(score)) for c, score in zip(found, generator.random(len(found)), strict=True)]
            for found in retriever.retrieve(requests, n)
        ]

    return answer


class Fused:
    """What is served: the retriever's first ``n``, reranked. ``degraded`` counts answers of a fallback."""

    def __init__(self, retriever: Retriever, reranker: Reranker, n: int) -> None:
        self.degraded = 0
        self._retriever, self._reranker, self._n = retriever, reranker, n

    def __call__(self, requests: Sequence[Request]) -> list[ScoredList]:
        rankings = self._reranker.rerank(requests, self._retriever.retrieve(requests, self._n))
        self.degraded += sum(ranking.degraded is not None for ranking in rankings)
        return [[(entry.item.id, entry.score) for entry in ranking.items] for ranking in rankings]


def _llm_alone(retriever: Retriever, reranker: LLMReranker, n: int) -> System:
    def answer(requests: Sequence[Request]) -> list[ScoredList]:
        found: list[tuple[Candidate, ...]] = retriever.retrieve(requests, n)
        scored = reranker.scores(requests, found)
        return [
            [(c.item.id, float(score)) for c, score in zip(candidates, mend(scores)[0], strict=True)]
            for candidates, (scores, _) in zip(found, scored, strict=True)
        ]

    return answer


def facts_of(settings: Settings, fusion: Fusion, name: str) -> Callable[[], dict[str, Any]]:
    """What a run file says beside the figures."""
    reranked = name in RERANKED
    return lambda: {
        "settings": settings.as_dict(),
        "fusion": fusion.to_dict() if reranked else None,
    }
