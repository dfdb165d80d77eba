"""Retrieval by meaning: history and wish as one point in the space of item texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.store import ItemIndex
from tastemaker.index.text import clip_text
from tastemaker.protocols import Embedder, FloatArray
from tastemaker.types import HistoryEntry, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class TextProfile:
    """How history and wish become one vector.

    The profile is the mean of the last ``length`` history entries, weights falling by ``decay`` a step
    back; disliked entries weigh ``disliked`` times as much: who rates a western low has still chosen a
    western, and .3 finds more than 0, 1 or -.3, also when only liked items are sought (docs/lab.md). The
    query is ``wish_share * wish + (1 - wish_share) * profile``, each of length 1, or the one there is.
    """

    decay: float = 0.9
    length: int = 20
    disliked: float = 0.3
    wish_share: float = 0.85

    def recent(self, request: Request) -> list[tuple[HistoryEntry, float]]:
        """The latest entries that count, latest first, each with its weight."""
        weighed = [
            (entry, self.decay**age * (1.0 if request.history.is_liked(entry) else self.disliked))
            for age, entry in enumerate(reversed(request.history.entries[-self.length :]))
        ]
        return [(entry, weight) for entry, weight in weighed if weight]

    def query(
        self,
        request: Request,
        vector_of: Callable[[HistoryEntry], FloatArray | None],
        wish: FloatArray | None,
    ) -> FloatArray | None:
        """Return a unit vector (d,), or None when the request has neither wish nor a readable history."""
        vectors = [(vector_of(entry), weight) for entry, weight in self.recent(request)]
        weighed = [weight * vector for vector, weight in vectors if vector is not None]
        profile = _unit(np.sum(weighed, axis=0)) if weighed else None
        if wish is None or profile is None:
            return profile if wish is None else wish
        return _unit(self.wish_share * wish + (1 - self.wish_share) * profile)


def profile_vector(
    request: Request, embedder: Embedder, profile: TextProfile | None = None
) -> FloatArray | None:
    """The query of a request without any catalogue: every history entry is read by its title."""
    profile = profile if profile is not None else TextProfile()
    vectors = _embed([request.wish, *(entry.title for entry, _ in profile.recent(request))], embedder)
    return profile.query(request, lambda entry: vectors.get(entry.title), vectors.get(request.wish))


class TextRetriever(CatalogueRetriever[FloatArray]):
    """Score: cosine between an item's text vector and the query vector of ``TextProfile``.

    A history entry that the index lacks is embedded by its title.
    """

    name = "text"
    reads = "words"

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        index: ItemIndex,
        embedder: Embedder,
        profile: TextProfile | None = None,
    ) -> None:
        super().__init__(catalogue)
        self._index = index
        self._embedder = embedder
        self._profile = profile if profile is not None else TextProfile()
        self._row = index.row_of(self.catalogue.dataset.item_ids)  # (n_items,), -1: not indexed
        held = self._row >= 0
        self._position = np.full(index.rows, -1, np.int64)
        self._position[self._row[held]] = np.flatnonzero(held)

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        texts = [request.wish for request in requests]
        texts += [
            entry.title
            for request in requests
            for entry, _ in self._profile.recent(request)
            if entry.item_id not in self._index
        ]
        vectors = _embed(texts, self._embedder)

        def vector_of(entry: HistoryEntry) -> FloatArray | None:
            if entry.item_id is not None and entry.item_id in self._index:
                return self._index.vector(entry.item_id)
            return vectors.get(entry.title)

        return [self._profile.query(request, vector_of, vectors.get(request.wish)) for request in requests]

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


def _embed(texts: Sequence[str], embedder: Embedder) -> dict[str, FloatArray]:
    """Vectors of the distinct texts that are not blank, in one batch."""
    distinct = [text for text in dict.fromkeys(texts) if text.strip()]
    if not distinct:
        return {}
    return dict(zip(distinct, embedder.encode([clip_text(text) for text in distinct]), strict=True))


def _unit(vector: FloatArray) -> FloatArray | None:
    """The vector at length 1; None for one without direction."""
    norm = float(np.linalg.norm(vector))
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
