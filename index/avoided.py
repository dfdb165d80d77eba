"""What is like the items that were turned down in this session: they lose, at once and without training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray
from tastemaker.types import Request


class AvoidedRetriever(CatalogueRetriever[FloatArray]):
    """Score: minus the largest cosine between an item's text vector and those of the rejected items.

    It proposes nothing and is silent where nothing was turned down; a rejected item is ruled out elsewhere
    (``Request.unwanted_ids``).
    """

    name = "avoided"
    reads = "nothing"
    proposes = False

    def __init__(self, catalogue: Catalogue | Dataset, index: ItemIndex) -> None:
        super().__init__(catalogue)
        self._index = index
        self._row = index.row_of(self.catalogue.dataset.item_ids)  # (n_items,), -1: not indexed

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        return [self._vectors(request) for request in requests]

    def _vectors(self, request: Request) -> FloatArray | None:
        """Of the rejected items that the index holds, (rejected, d)."""
        held = [entry.item_id for entry in request.rejected if entry.item_id in self._index]
        return (
            np.stack([self._index.vector(item_id) for item_id in held if item_id is not None])
            if held
            else None
        )

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(self.scores(state, np.arange(len(self._row))), allowed, n)

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        rows = self._row[positions]
        out = np.zeros(len(positions), np.float32)
        out[rows >= 0] = -(self._index.vectors(rows[rows >= 0]) @ state.T).max(axis=1)
        return out
