"""Retrieval by a matrix between items: each history item votes for others, the latest ones loudest.

What the matrix holds is up to its makers: transition counts (``index.transitions``), regression weights
(``index.ease``), similarities (``index.item_knn``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.types import Request


class ItemItemRetriever(CatalogueRetriever[FloatArray]):
    """Score of item j: the sum over history items i, ``age`` steps back, of ``decay ** age * matrix[i, j]``.

    Only the last ``length`` history items are read. An item that no history item has an entry for is not
    retrieved. The matrix is sparse float32 (n_items, n_items), row = the history's item.
    """

    reads: Literal["behaviour", "words", "nothing"] = "behaviour"
    unit = "votes"

    def __init__(
        self, catalogue: Catalogue, matrix: sparse.csr_array, *, name: str, length: int, decay: float
    ) -> None:
        super().__init__(catalogue)
        self.name = name
        self._matrix = matrix
        self._length = length
        self._decay = decay

    def with_history(self, name: str, *, length: int, decay: float) -> ItemItemRetriever:
        """The same matrix under another name, reading more or less of the history."""
        return ItemItemRetriever(self.catalogue, self._matrix, name=name, length=length, decay=decay)

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        return [self._votes(request) for request in requests]

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state, allowed & (state != 0), n)

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        return state[positions]

    def _votes(self, request: Request) -> FloatArray | None:
        """Scores of all items; None when no history item votes."""
        history = self._recent(request)
        bounds = [(self._matrix.indptr[item], self._matrix.indptr[item + 1]) for item in history]
        lengths = [int(last - first) for first, last in bounds]
        if not sum(lengths):
            return None
        # Rows by hand: scipy's row indexing takes twice as long for a hundred rows.
        columns = np.concatenate([self._matrix.indices[first:last] for first, last in bounds])
        votes = np.concatenate([self._matrix.data[first:last] for first, last in bounds])
        loudness = self._decay ** np.arange(len(history))[::-1]
        votes = votes * np.repeat(loudness, lengths)
        return np.bincount(columns, votes, minlength=len(self.catalogue)).astype(np.float32)

    def _recent(self, request: Request) -> IntArray:
        """Positions of the last ``length`` history items that the catalogue holds, oldest first."""
        places = self.catalogue.dataset.item_positions
        ids = (entry.item_id for entry in reversed(request.history.entries))
        known = (places[id_] for id_ in ids if id_ is not None and id_ in places)
        return np.array(list(islice(known, self._length))[::-1], np.int64)


def keep_largest(values: NDArray[np.float32], n: int) -> sparse.csr_array:
    """The ``n`` entries of each row that are largest in size; (rows, columns) -> sparse, columns sorted.

    Equal sizes: which of them stay is the same on every run.
    """
    n = min(n, values.shape[1])
    kept = np.sort(np.argpartition(-np.abs(values), n - 1, axis=1)[:, :n], axis=1)
    data = np.take_along_axis(values, kept, axis=1)
    bounds = np.arange(0, data.size + 1, n)
    matrix = sparse.csr_array((data.ravel(), kept.ravel().astype(np.int32), bounds), shape=values.shape)
    matrix.eliminate_zeros()
    return matrix
