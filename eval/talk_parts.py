"""Two parts that learn from talks: what was recommended in talks like this one, and in such words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.text import item_text
from tastemaker.protocols import Embedder, FloatArray
from tastemaker.types import Request

SHARPNESS = 12.0
"""Of exp(s · cosine): talks at a cosine .1 lower weigh .3 of the others."""

Talk = tuple[str, tuple[str, ...]]
"""What was said, and the ids of the items that were recommended then."""


class _Dense(CatalogueRetriever[FloatArray]):
    """A part whose state is the score of every item."""

    reads = "words"

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        places = np.flatnonzero(allowed & (state > 0))
        order = places[np.argsort(-state[places], kind="stable")[:n]]
        return order, state[order]

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        return state[positions]


class AlikeTalks(_Dense):
    """Votes of talks for what was recommended in them, by how alike their last words are to the wish."""

    name = "alike talks"
    unit = "votes"

    def __init__(self, catalogue: Catalogue, talks: Sequence[Talk], embedder: Embedder) -> None:
        super().__init__(catalogue)
        self._embedder = embedder
        self._vectors = embedder.encode([said for said, _ in talks])
        position = catalogue.dataset.item_positions
        pairs = [(row, position[item]) for row, (_, items) in enumerate(talks) for item in items]
        self._talk, self._item = np.array(pairs, np.int64).reshape(-1, 2).T

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        vectors = self._embedder.encode([request.wish or " " for request in requests])
        weights = np.exp(SHARPNESS * (vectors @ self._vectors.T - 1.0))
        count = len(self.catalogue.dataset.item_ids)
        return [
            np.bincount(self._item, row[self._talk], minlength=count).astype(np.float32)
            if request.wish
            else None
            for request, row in zip(requests, weights, strict=True)
        ]


class AlikeWords(_Dense):
    """Cosine of TF-IDF between the wish and an item's own text with what was said before it was recommended.

    Names of actors and words like "gory" are told apart here, which a sentence vector blurs.
    """

    name = "alike words"

    def __init__(self, catalogue: Catalogue, talks: Sequence[Talk]) -> None:
        super().__init__(catalogue)
        said: dict[str, list[str]] = {}
        for text, items in talks:
            for item in items:
                said.setdefault(item, []).append(text)
        texts = [
            " ".join([item_text(item), *said.get(item.id, ())]) for item in catalogue.dataset.iter_items()
        ]
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
        self._matrix = self._vectorizer.fit_transform(texts)

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        found = (
            self._vectorizer.transform([request.wish for request in requests]) @ self._matrix.T
        ).toarray()
        return [
            row.astype(np.float32) if request.wish else None
            for request, row in zip(requests, found, strict=True)
        ]
