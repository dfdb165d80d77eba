"""A context as named values, the same for events of the training part and for requests."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.types import Context

Condition = tuple[str, str]
"""Field and value in lower case: ``("weekday", "friday")``, ``("company", "family")``."""

DAY_PARTS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight, by the clock of the data (timestamps are read as UTC)."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEASONS = ("winter", "spring", "summer", "autumn")
"""Of the northern half: December to February is winter."""


def conditions(context: Context) -> tuple[Condition, ...]:
    """Part of the day, weekday and season when there is a time, then every other filled field."""
    named = [(name.lower(), value.lower()) for name, value in context.as_mapping().items() if name != "time"]
    return tuple([*_clock(context.time), *named] if context.time is not None else named)


def _clock(time: datetime) -> tuple[Condition, ...]:
    return (
        ("part of day", DAY_PARTS[time.hour // 6]),
        ("weekday", WEEKDAYS[time.weekday()]),
        ("season", SEASONS[time.month % 12 // 3]),
    )


def event_conditions(dataset: Dataset, rows: NDArray[np.int64]) -> list[tuple[Condition, ...]]:
    """The conditions of the events at ``rows`` of ``dataset.interactions``, in that order."""
    columns = ["timestamp", *dataset.context_columns]
    events = dataset.interactions.select(columns).take(rows).to_pylist()
    return [conditions(_context(event)) for event in events]


def _context(event: dict[str, float | str | None]) -> Context:
    seconds = event.pop("timestamp")
    moment = None if seconds is None else datetime.fromtimestamp(float(seconds), tz=UTC)
    return Context.from_mapping({**event, "time": moment})
