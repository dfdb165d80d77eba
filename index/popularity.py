"""What is popular, and popular in a situation like this one. Serves anyone, also nobody in particular.

It knows nothing of the user. The clock is the one of the data: timestamps are read as UTC, the request's
time as it stands; where the data's zone is another one, parts of the day are shifted alike for all items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tastemaker.clock import FRIDAY, FRIDAY_EVENING, SATURDAY, facets
from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

PRIOR_EVENTS = 20.0
"""An item's share of a situation starts as if it had this many events spread like everyone's."""

_KEPT_CONDITIONS = 64  # few are asked for again and again: parts of the day, kinds of company

EventWeight = Callable[[str], float]
"""How much an event says for its item, by its name, beside a plain interaction at 1."""

Condition = tuple[str, str]
"""Field and value in lower case: ``("part of day", "evening")``, ``("company", "family")``."""

_DAY_PARTS = ("night", "morning", "afternoon", "evening")  # six hours each, from midnight
_DAYS = ("weekday", "weekend")
_DAY_SECONDS = 86_400


class PopularityRetriever(CatalogueRetriever[tuple[Condition, ...]]):
    """Score: ln(1 + events of the item) plus, for each condition of the request that the data know, ln lift.

    The lift of item i in situation c is its share of events in c over everyone's share:
    ``(count(i, c) + prior * share(c)) / (count(i) + prior) / share(c)``, so an item with few events keeps
    a lift near 1. Conditions are the part of the day and weekday or weekend of ``context.time`` (when the
    data have timestamps), and every context field that is a column of the data (names and values without
    regard to case). An item without events scores 0 whatever the situation.
    """

    name = "popularity"
    reads = "nothing"

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        *,
        prior: float = PRIOR_EVENTS,
        weigh: EventWeight | None = None,
        lifts: bool = True,
    ) -> None:
        """``lifts`` False: popular whatever the situation."""
        super().__init__(catalogue)
        dataset = self.catalogue.dataset
        weights = event_weights(dataset, weigh)
        items = dataset.codes().item
        self._counts = np.bincount(items, weights, minlength=len(dataset.item_ids))
        self._base = np.log1p(self._counts)
        self._prior = prior
        self._inside = _condition_counts(dataset, weights) if lifts else {}
        self._log_lift = lru_cache(maxsize=_KEPT_CONDITIONS)(self._compute_log_lift)

    def prepare(self, requests: Sequence[Request]) -> list[tuple[Condition, ...] | None]:
        return [
            tuple(condition for condition in conditions(request) if condition in self._inside)
            for request in requests
        ]

    def top(self, state: tuple[Condition, ...], allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(self._dense(state), allowed, n)

    def scores(self, state: tuple[Condition, ...], positions: IntArray) -> FloatArray:
        return self._dense(state)[positions]

    def _dense(self, state: tuple[Condition, ...]) -> FloatArray:
        scores = self._base.copy()
        for condition in state:
            scores += self._log_lift(condition)
        return scores.astype(np.float32)

    def _compute_log_lift(self, condition: Condition) -> NDArray[np.float64]:
        positions, counts = self._inside[condition]
        inside = np.zeros_like(self._counts)
        inside[positions] = counts
        share = inside.sum() / self._counts.sum()
        lift = (inside + self._prior * share) / (self._counts + self._prior) / share
        return np.where(self._counts > 0, np.log(lift), 0.0)


def conditions(request: Request) -> tuple[Condition, ...]:
    """The situation of a request as conditions, whether the data know them or not."""
    said = {
        name.lower(): value.lower() for name, value in request.context.as_mapping().items() if name != "time"
    }
    # What was said of the time, as in a wish for Sunday evening, counts before the clock.
    moment, known = request.context.time, facets(request.context)
    clock = {}
    if (part := said.pop("part_of_day", None)) in _DAY_PARTS:
        clock["part of day"] = str(part)
    elif moment is not None and "slot" in known:
        clock["part of day"] = _DAY_PARTS[moment.hour // 6]
    if "day_type" in known:
        clock["day"] = _DAYS[known["day_type"] in ("weekend", "holiday")]
    for name in ("weekday", "day_type"):
        said.pop(name, None)
    return (*clock.items(), *said.items())


def event_weights(dataset: Dataset, weigh: EventWeight | None) -> NDArray[np.float64]:
    """What each event says, in the order of ``dataset.codes()``: (events,), none below 0."""
    rows = dataset.codes().row
    if weigh is None:
        return np.ones(len(rows))
    column = dataset.interactions["event"].combine_chunks().dictionary_encode()
    by_name = np.array([max(weigh(name), 0.0) for name in column.dictionary.to_pylist()])
    weights: NDArray[np.float64] = by_name[column.indices.to_numpy(zero_copy_only=False)[rows]]
    return weights


def _condition_counts(
    dataset: Dataset, weights: NDArray[np.float64]
) -> dict[Condition, tuple[IntArray, NDArray[np.float64]]]:
    """Per situation of the data: positions of the items with events in it, and their summed weights."""
    codes = dataset.codes()
    timed = np.isfinite(codes.timestamp)
    seconds = np.where(timed, codes.timestamp, 0.0)
    part = (seconds % _DAY_SECONDS // (_DAY_SECONDS / 4)).astype(np.int64)
    weekday, hour = (seconds // _DAY_SECONDS + 3) % 7, seconds % _DAY_SECONDS / 3_600  # day 0 was a Thursday
    weekend = (weekday >= SATURDAY) | ((weekday == FRIDAY) & (hour >= FRIDAY_EVENING))
    found = _count("part of day", _DAY_PARTS, np.where(timed, part, -1), codes.item, weights)
    found |= _count("day", _DAYS, np.where(timed, weekend.astype(np.int64), -1), codes.item, weights)
    for name in dataset.context_columns:
        # Casefolded first, so that "Family" and "family" are one situation.
        column = pc.utf8_lower(dataset.interactions[name]).combine_chunks().dictionary_encode()
        code = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)[codes.row]
        found |= _count(
            name.lower(), column.dictionary.to_pylist(), code.astype(np.int64), codes.item, weights
        )
    return found


def _count(
    field: str,
    values: Sequence[str],
    code: IntArray,
    item: NDArray[np.int32],
    weights: NDArray[np.float64],
) -> dict[Condition, tuple[IntArray, NDArray[np.float64]]]:
    """Weigh events per value and item; ``code`` (n,) indexes ``values``, -1 where the value is missing."""
    out: dict[Condition, tuple[IntArray, NDArray[np.float64]]] = {}
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(values) + 1))
    for number, value in enumerate(values):
        rows = order[bounds[number] : bounds[number + 1]]
        positions, place = np.unique(item[rows].astype(np.int64), return_inverse=True)
        if len(positions):
            out[field, value] = positions, np.bincount(place, weights[rows]).astype(np.float64)
    return out
