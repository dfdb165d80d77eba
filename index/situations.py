"""The situations of a data set's events, and of requests, as small numbers by field.

Fields are the clock's (three-hour slot, part of the day, weekday, day type, season, the gap since the user's
event before) where the data have times, and every context column. Timestamps are read as UTC, a request's
time as it stands; what a request says beside its time ("part_of_day", "weekday" …) counts before the clock,
and clears what it denies (``tastemaker.clock.facets``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tastemaker.clock import (
    FRIDAY,
    FRIDAY_EVENING,
    PART_STARTS,
    PARTS,
    SATURDAY,
    SEASONS,
    SLOTS,
    WEEKDAYS,
    facets,
)
from tastemaker.data.dataset import Dataset
from tastemaker.types import Request

Codes = NDArray[np.signedinteger[Any]]

GAP = "gap"
GAPS = (3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)
"""Seconds: an hour, three, six, twelve, a day, two, a week, a month; a shorter gap has the lower code."""

CLOCK: Mapping[str, tuple[str, ...]] = {
    "slot": SLOTS,
    "part_of_day": PARTS,
    "weekday": WEEKDAYS,
    "day_type": ("workday", "weekend"),
    "season": SEASONS,
}


class Situations:
    """Fields and values of one data set.

    ``fields``: their names. ``codes``: int32 (events, fields) in the order of ``dataset.codes()``, from 1; 0
    where nothing is known.
    """

    def __init__(self, dataset: Dataset) -> None:
        codes = dataset.codes()
        columns: dict[str, Codes] = {}
        self._values: dict[str, dict[str, int]] = {}
        if np.isfinite(codes.timestamp).any():
            for name, column in _clock_columns(codes.timestamp).items():
                self._values[name] = {value: code for code, value in enumerate(CLOCK[name], start=1)}
                columns[name] = column
            columns[GAP] = _gaps(codes.timestamp, codes.user)
            self._values[GAP] = {str(code): code for code in range(1, len(GAPS) + 2)}
        for name in dataset.context_columns:
            # Lower case first, so that "Family" and "family" are one situation.
            encoded = pc.utf8_lower(dataset.interactions[name]).combine_chunks().dictionary_encode()
            code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)[codes.row]
            columns[name] = (code + 1).astype(np.int32)
            self._values[name] = {
                value: code for code, value in enumerate(encoded.dictionary.to_pylist(), start=1)
            }
        self.fields = tuple(columns)
        stacked = list(columns.values())
        self.codes: Codes = np.stack(stacked, 1) if stacked else np.zeros((len(codes.row), 0), np.int32)

    def values(self, field: str) -> int:
        """How many values the field has."""
        return len(self._values[field])

    def of(self, request: Request) -> Codes:
        """int32 (fields,): the situation of a request; 0 for what it does not say or the data do not know."""
        context = request.context.as_mapping()
        said = {name: value.lower() for name, value in (context | facets(request.context)).items()}
        if request.context.time is not None:
            before = [entry.timestamp for entry in request.history if entry.timestamp is not None]
            if before:
                gap = _seconds(request.context.time) - max(before)
                said[GAP] = str(int(np.searchsorted(GAPS, max(gap, 0), side="right")) + 1)
        return np.array(
            [self._values[field].get(said.get(field.lower(), ""), 0) for field in self.fields], np.int32
        )


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _clock_columns(timestamp: NDArray[np.float64]) -> dict[str, Codes]:
    """What ``tastemaker.clock.facets_of`` says of every event; of bare dates neither slot nor part."""
    known = np.isfinite(timestamp)
    seconds = np.where(known, timestamp, 0.0)
    hour = (seconds % 86_400 // 3_600).astype(np.int64)
    weekday = ((seconds // 86_400 + 3) % 7).astype(np.int64)  # day 0 was a Thursday
    month = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    weekend = (weekday >= SATURDAY) | ((weekday == FRIDAY) & (hour >= FRIDAY_EVENING))
    # One event at midnight sharp is an event; where all are, only their dates are known.
    timed = known & bool((seconds[known] % 86_400 >= 1).any())
    part = np.searchsorted(PART_STARTS, hour, side="right")  # 0 and 4 are night
    found = {
        "slot": np.where(timed, hour // 3 + 1, 0),
        "part_of_day": np.where(timed, np.where(part == 0, len(PARTS), part), 0),
        "weekday": weekday + 1,
        "day_type": weekend + 1,
        "season": month % 12 // 3 + 1,
    }
    return {name: np.where(known, code, 0).astype(np.int32) for name, code in found.items()}


def _gaps(timestamp: NDArray[np.float64], user: NDArray[np.int32]) -> Codes:
    gap = np.diff(timestamp, prepend=np.nan)
    first = np.diff(user, prepend=-1) != 0
    known = np.isfinite(gap) & ~first
    code = np.searchsorted(GAPS, np.where(known, np.maximum(gap, 0), 0), side="right") + 1
    return np.where(known, code, 0).astype(np.int32)
