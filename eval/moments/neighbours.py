"""Context-aware neighbours by pre-filtering (Adomavicius & Tuzhilin 2011): what is like the situation votes.

Choices: items had by the same users in the same value of one field. Ratings: a user's opinions of similar
items in the same value. Beside them all events vote, ``back`` times as loud.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tastemaker.eval.baselines.dense import DenseRetriever
from tastemaker.eval.moments.sets import Kind
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.situations import Situations
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

SHRINKAGE = 5.0


class SituatedNeighbours(DenseRetriever):
    """``field``: place in ``Situations.fields`` of the one that events must share; -1: none."""

    name = "context kNN"
    reads = "nothing"

    def __init__(self, catalogue: Catalogue, kind: Kind, *, field: int, back: float) -> None:
        super().__init__(catalogue)
        codes = catalogue.dataset.codes()
        self._kind, self._field, self._back = kind, field, back
        self._situations = Situations(catalogue.dataset)
        self._user, self._item = codes.user, codes.item
        self._users = catalogue.dataset.user_positions
        values = catalogue.dataset.interactions["value"].to_numpy().astype(np.float64)[codes.row]
        means = np.bincount(codes.user, np.nan_to_num(values)) / np.maximum(np.bincount(codes.user), 1)
        self._opinion = values - means[codes.user] if kind == "ratings" else np.ones(len(values))
        self._similar = lru_cache(maxsize=64)(self._similarities)

    def _similarities(self, value: int) -> NDArray[np.float64]:
        """(items, items) shrunken cosines over users, of the events with the value; 0: of all."""
        rows = self._matching(value)
        matrix = np.zeros((len(self._users) + 1, len(self.catalogue)))
        np.add.at(matrix, (self._user[rows], self._item[rows]), self._opinion[rows])
        products = matrix.T @ matrix
        norms = np.sqrt(np.diag(products))
        similar: NDArray[np.float64] = products / (np.outer(norms, norms) + SHRINKAGE)
        np.fill_diagonal(similar, 1.0 if self._kind == "ratings" else 0.0)
        return similar

    def _matching(self, value: int) -> NDArray[np.bool_]:
        if not value:
            return np.ones(len(self._item), bool)
        matching: NDArray[np.bool_] = self._situations.codes[:, self._field] == value
        return matching

    def dense(self, request: Request) -> FloatArray:
        value = int(self._situations.of(request)[self._field]) if self._field >= 0 else 0
        scores = self._back * self._votes(request, 0)
        if value:
            scores = scores + self._votes(request, value)
        return scores.astype(np.float32)

    def _votes(self, request: Request, value: int) -> NDArray[np.float64]:
        if self._kind == "ratings":
            user = self._users.get(request.user_id or "", -1)
            rows = np.flatnonzero((self._user == user) & self._matching(value))
            similar = self._similar(0)[self._item[rows]]
            votes: NDArray[np.float64] = self._opinion[rows] @ similar
            votes /= np.abs(similar).sum(0) + 1.0
            return votes
        recent = self.catalogue.positions(request.history.item_ids)[-20:]
        popular = np.log1p(np.bincount(self._item[self._matching(value)], minlength=len(self.catalogue)))
        weights = 0.8 ** np.arange(len(recent))[::-1]
        near: NDArray[np.float64] = weights @ self._similar(value)[recent] + 0.05 * popular
        return near
