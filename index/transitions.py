"""Collaborative retrieval without training: what others went on to after the items of this history.

A decayed item-transition counter. It knows nothing of item texts, ratings, wishes or the clock beyond
the order of events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.types import Request


class TransitionRetriever(CatalogueRetriever[Top]):
    """Score of item j: the sum over history items i, ``age`` steps back, of
    ``decay ** age * count(i, j) / (popularity(i) * popularity(j)) ** popularity_power``.

    ``count(i, j)`` adds ``gap_weight ** (steps - 1)`` for every user who came to j at most ``window``
    steps after i; popularity is the number of interactions. The division keeps what follows everything
    from winning everywhere. Only the last ``length`` history items are read. The defaults are the best
    by recall@20 of the grid in docs/lab.md (validation items of MovieLens-100K).
    """

    name = "transitions"
    reads = "behaviour"

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        *,
        window: int = 20,
        gap_weight: float = 0.9,
        popularity_power: float = 0.5,
        length: int = 30,
        decay: float = 0.8,
    ) -> None:
        super().__init__(catalogue)
        codes = self.catalogue.dataset.codes()
        popularity = np.maximum(self.catalogue.dataset.item_counts, 1).astype(np.float32)
        damping = sparse.diags_array(popularity**-popularity_power)
        counts = transition_counts(codes.user, codes.item, len(self.catalogue), window, gap_weight)
        self._weights = sparse.csr_array(damping @ counts @ damping, dtype=np.float32)
        self._length = length
        self._decay = decay

    def prepare(self, requests: Sequence[Request]) -> list[Top | None]:
        return [self._following(request) for request in requests]

    def top(self, state: Top, allowed: BoolArray, n: int) -> Top:
        positions, scores = state
        kept = allowed[positions]
        return self.catalogue.order(positions[kept], scores[kept], n)

    def scores(self, state: Top, positions: IntArray) -> FloatArray:
        known, scores = state
        place = np.minimum(np.searchsorted(known, positions), len(known) - 1)
        return np.where(known[place] == positions, scores[place], np.float32(0))

    def _following(self, request: Request) -> Top | None:
        """Every item that ever followed one of the history, with its score, in position order."""
        history = self.catalogue.positions(request.history.item_ids)[-self._length :]
        weights = self._decay ** np.arange(len(history))[::-1]
        rows = self._weights[history]
        if not rows.nnz:
            return None
        scores = np.bincount(rows.indices, rows.data * np.repeat(weights, np.diff(rows.indptr)))
        positions = np.flatnonzero(scores)
        return positions, scores[positions].astype(np.float32)


def transition_counts(
    user: NDArray[np.int32], item: NDArray[np.int32], n_items: int, window: int, gap_weight: float
) -> sparse.csr_array:
    """Count ordered pairs of items of one user, ``window`` steps apart at most.

    Args:
        user, item: codes (n,) ordered by user, then oldest first.

    Returns:
        (n_items, n_items) float32; row = the earlier item. An item that comes twice does not follow itself.
    """
    counts = sparse.csr_array((n_items, n_items), dtype=np.float32)
    for gap in range(1, min(window, len(user) - 1) + 1):
        pairs = (user[gap:] == user[:-gap]) & (item[gap:] != item[:-gap])
        earlier, later = item[:-gap][pairs], item[gap:][pairs]
        weights = np.full(len(earlier), gap_weight ** (gap - 1), np.float32)
        counts = counts + sparse.coo_array((weights, (earlier, later)), shape=counts.shape).tocsr()
    return counts
