"""What is had more than usual in the time before the request: by everybody, not by this user.

The clock is the one of the data (timestamps as UTC). Nothing after the moment counts, in evaluation either,
though leave-one-out would allow it: a served request stands at the end of the data, where there is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

_DAY_SECONDS = 86_400.0
_BINS_PER_SPREAD = 6
_REACH = 3.0
"""Spreads beyond which an event has no weight."""


class RecencyRetriever(CatalogueRetriever[FloatArray]):
    """Score: ln of how much larger the item's share of events is just before the request's time than overall.

    ``ln((near(i) + prior * share(i)) / (near + prior) / share(i))``, where ``near(i)`` sums the item's events
    with half-Gaussian weights of standard deviation ``days`` back from the time, ``near`` sums over all
    items and ``share(i)`` is the item's part of all events. 0: as usual. An item without events has 0. Silent
    for requests without a time, and where the weights of all events sum to less than one.
    """

    name = "recency"
    reads = "nothing"
    proposes = False

    def __init__(self, catalogue: Catalogue | Dataset, *, days: float = 90.0, prior: float = 200.0) -> None:
        """Raises ValueError unless ``days`` and ``prior`` are above 0."""
        super().__init__(catalogue)
        if not (days > 0 and prior > 0):
            raise ValueError(f"days {days} and prior {prior} must be above 0")
        self._width = days * _DAY_SECONDS / _BINS_PER_SPREAD
        self._prior = prior
        codes = self.catalogue.dataset.codes()
        timed = np.isfinite(codes.timestamp)
        seconds, item = codes.timestamp[timed], codes.item[timed]
        self._start = float(seconds.min()) if len(seconds) else 0.0
        bins = ((seconds - self._start) // self._width).astype(np.int64)
        shape = (int(bins.max()) + 1 if len(bins) else 0, len(self.catalogue))
        self._counts = sparse.coo_array((np.ones(len(bins)), (bins, item)), shape=shape).tocsr()
        counts = np.bincount(item, minlength=shape[1])
        self._share = counts / max(counts.sum(), 1)

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        return [self._lift(request.context.time) for request in requests]

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state, allowed, n)

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        return state[positions]

    def _lift(self, time: datetime | None) -> FloatArray | None:
        if time is None:
            return None
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        centre = (seconds - self._start) / self._width - 0.5  # in bins; their middles are whole numbers
        reach = _REACH * _BINS_PER_SPREAD
        bins = np.arange(max(int(np.ceil(centre - reach)), 0), self._counts.shape[0])
        bins = bins[bins + 0.5 <= centre]  # those that are over by then
        weights = np.exp(-0.5 * ((bins - centre) / _BINS_PER_SPREAD) ** 2)
        near: NDArray[np.float64] = weights @ self._counts[bins] if len(bins) else np.zeros_like(self._share)
        if near.sum() < 1:
            return None
        known = self._share > 0
        usual = np.where(known, self._share, 1.0)
        lift = (near + self._prior * usual) / (near.sum() + self._prior) / usual
        return np.where(known, np.log(lift), 0.0).astype(np.float32)
