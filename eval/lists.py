"""What the lists themselves are like, whether or not they hold the answer.

All figures are about the first ten items. Popularity is counted in the training part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from tastemaker.data.dataset import Dataset
from tastemaker.types import Request

TOP = 10


class ListStatistics:
    """Collects lists one by one; ``summary`` tells about all of them.

    ``coverage@10``: the share of the catalogue that is in somebody's list. ``novelty@10``: mean
    self-information -log2 p(item) in bits, p being the item's share of the training events (Castells, Hurley
    and Vargas 2015), with one added to every count so that items without an event have a finite value.
    ``popularity@10``: mean popularity percentile of the listed items, 0.5 for a blind draw from the
    catalogue; ``popularity_history``: the same for the histories. Their difference is the popularity bias.
    """

    def __init__(self, train: Dataset) -> None:
        self._train = train
        counts = train.item_counts
        smoothed = counts + 1
        self._bits = -np.log2(smoothed / smoothed.sum())
        self._percentile = (stats.rankdata(counts) - 0.5) / max(len(counts), 1)
        self._listed = np.zeros(len(counts), dtype=bool)
        self._novelty: list[float] = []
        self._popularity: list[float] = []
        self._history: list[float] = []

    def popularity(self, item_id: str) -> int:
        """Events of the item in the training part."""
        return int(self._train.item_counts[self._train.item_positions[item_id]])

    def percentile(self, item_ids: Sequence[str]) -> float | None:
        """Mean popularity percentile of these items, 0 to 1; None when none is in the catalogue."""
        known = self._positions(item_ids)
        return round(float(self._percentile[known].mean()), 4) if known else None

    def knows_user(self, user_id: str | None) -> bool:
        return user_id in self._train.user_positions

    def add(self, request: Request, item_ids: Sequence[str]) -> None:
        listed, seen = self._positions(item_ids[:TOP]), self._positions(request.history.item_ids)
        self._listed[listed] = True
        if listed:
            self._novelty.append(float(self._bits[listed].mean()))
            self._popularity.append(float(self._percentile[listed].mean()))
        if seen:
            self._history.append(float(self._percentile[seen].mean()))

    def _positions(self, item_ids: Sequence[str]) -> list[int]:
        known = self._train.item_positions
        return [known[item_id] for item_id in item_ids if item_id in known]

    def summary(self) -> dict[str, float]:
        """The four figures; 0 for a mean over nothing."""
        return {
            f"coverage@{TOP}": round(float(self._listed.mean()), 5) if len(self._listed) else 0.0,
            f"novelty@{TOP}": _mean(self._novelty),
            f"popularity@{TOP}": _mean(self._popularity),
            "popularity_history": _mean(self._history),
        }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 5) if values else 0.0
