"""Retrieval by meaning: history and wish as one point in the space of item texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import Embedder, FloatArray
from tastemaker.types import HistoryEntry, Request


class TextRetriever(CatalogueRetriever[FloatArray]):
    """Score: cosine between an item's text vector and the query vector.

    The query is ``wish_share * wish + (1 - wish_share) * profile``, each of length 1, or the one that
    there is. The profile is the mean of the last ``length`` history entries, entry weights falling by
    ``decay`` a step back; disliked entries weigh ``disliked`` times as much: who rates a western low has
    still chosen a western, and .3 finds more than 0 or 1 also when only liked items are sought
    (docs/lab.md). An entry that the index lacks is embedded by its title.
    """

    name = "text"
    reads = "words"

    def __init__(
        self,
        catalogue: Catalogue,
        index: ItemIndex,
        embedder: Embedder,
        *,
        decay: float = 0.9,
        length: int = 20,
        disliked: float = 0.3,
        wish_share: float = 0.85,
    ) -> None:
        super().__init__(catalogue)
        self._index = index
        self._embedder = embedder
        self._decay = decay
        self._length = length
        self._disliked = disliked
        self._wish_share = wish_share
        self._row = index.row_of(catalogue.dataset.item_ids)  # (n_items,), -1: not indexed
        held = self._row >= 0
        self._position = np.full(index.rows, -1, np.int64)
        self._position[self._row[held]] = np.flatnonzero(held)

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        texts = [request.wish for request in requests if request.wish.strip()]
        texts += [entry.title for request in requests for entry in self._typed(request)]
        distinct = list(dict.fromkeys(texts))
        vectors = dict(zip(distinct, self._embedder.encode(distinct), strict=True)) if distinct else {}
        return [self._query(request, vectors) for request in requests]

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        rows = np.zeros(self._index.rows, bool)
        rows[self._row[allowed & (self._row >= 0)]] = True
        ((found, scores),) = self._index.search(state[None], n, allowed=rows)
        return self._position[found], scores

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        rows = self._row[positions]
        out = np.zeros(len(positions), np.float32)
        out[rows >= 0] = self._index.vectors(rows[rows >= 0]) @ state
        return out

    def _recent(self, request: Request) -> list[tuple[HistoryEntry, float]]:
        """The latest entries that count, each with its weight."""
        entries = request.history.entries[-self._length :]
        weighed = [
            (entry, self._decay**age * (1.0 if request.history.is_liked(entry) else self._disliked))
            for age, entry in enumerate(reversed(entries))
        ]
        return [(entry, weight) for entry, weight in weighed if weight]

    def _typed(self, request: Request) -> list[HistoryEntry]:
        return [
            entry
            for entry, _ in self._recent(request)
            if (entry.item_id is None or entry.item_id not in self._index) and entry.title.strip()
        ]

    def _query(self, request: Request, vectors: Mapping[str, FloatArray]) -> FloatArray | None:
        profile = self._profile(request, vectors)
        if not request.wish.strip():
            return profile
        wish = vectors[request.wish]
        if profile is None:
            return wish
        return _unit(self._wish_share * wish + (1 - self._wish_share) * profile)

    def _profile(self, request: Request, vectors: Mapping[str, FloatArray]) -> FloatArray | None:
        total = np.zeros(self._index.dimension, np.float32)
        for entry, weight in self._recent(request):
            if entry.item_id is not None and entry.item_id in self._index:
                total += weight * self._index.vector(entry.item_id)
            elif entry.title in vectors:
                total += weight * vectors[entry.title]
        return _unit(total)


def _unit(vector: FloatArray) -> FloatArray | None:
    """The vector at length 1; None for one without direction."""
    norm = float(np.linalg.norm(vector))
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
