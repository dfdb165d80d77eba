"""Training data and held-out events, without a look into the future.

Every split is a partition of the interactions, is the same for the same data and arguments, and holds out a
user's latest events: no held-out event is older than one of the same user's training events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.types import freeze

TieRule = Literal["item_id", "random", "row"]
"""Order of a user's events with equal times: by item id (as numbers when all are), shuffled by the seed,
or as in the file. Events without a time are always taken in the order of the file."""

_TIE_WORDS = {
    "item_id": "equal times by item id",
    "random": "equal times in random order, seed {seed}",
    "row": "equal times in file order",
}
_TRAIN, _VALIDATION, _TEST = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """One held-out event. ``timestamp`` and ``value`` are None where the data have none."""

    user_id: str
    item_id: str
    timestamp: float | None = None
    value: float | None = None
    event: str = "interaction"
    context: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``train`` keeps all items; its rows stand by user, time and tie rule, and so do its histories.

    Holdouts stand in the order of ``Dataset.user_ids``, then time.
    """

    train: Dataset
    validation: tuple[Holdout, ...]
    test: tuple[Holdout, ...]
    description: str


def leave_one_out(dataset: Dataset, *, ties: TieRule = "item_id", seed: int = 0) -> Split:
    """Each user's last event is the test, the one before it validation; fewer than three stay in train."""

    def sizes(events: int) -> tuple[int, int]:
        return (1, 1) if events >= 3 else (0, 0)

    words = "leave one out (last event: test; second last: validation; users with fewer than 3 train only)"
    return _per_user(dataset, sizes, words, ties=ties, seed=seed)


def per_user_ratio(
    dataset: Dataset,
    *,
    test_share: float = 0.2,
    validation_share: float = 0.1,
    ties: TieRule = "item_id",
    seed: int = 0,
) -> Split:
    """The latest ``test_share`` of each user's events is the test, the share before it validation.

    Shares are rounded down, and at least one event of every user stays in train.

    Raises:
        DataError: a share is negative, or together they leave nothing.
    """
    if min(test_share, validation_share) < 0 or not 0 < test_share + validation_share < 1:
        raise DataError(
            f"shares {test_share:g} and {validation_share:g} leave nothing to hold out or to train on; "
            "a sum between 0 and 1 is wanted"
        )

    def sizes(events: int) -> tuple[int, int]:
        # 0.2 * 5 is 1.0000000000000002 or 0.9999999999999999, by the shares' luck.
        test = min(math.floor(events * test_share + 1e-9), events - 1)
        return test, min(math.floor(events * validation_share + 1e-9), events - 1 - test)

    words = f"latest {test_share:g} of each user's events: test; {validation_share:g} before: validation"
    return _per_user(dataset, sizes, words, ties=ties, seed=seed)


def global_time(dataset: Dataset, quantiles: tuple[float, float] = (0.8, 0.9)) -> Split:
    """Cut all events at two moments, the ``quantiles`` of their times; equal times fall on one side.

    Users may appear in validation or test who have no event in train.

    Raises:
        DataError: the quantiles are not 0 < a <= b < 1, events lack times, or all times are equal.
    """
    low, high = quantiles
    if not 0 < low <= high < 1:
        raise DataError(f"quantiles are {low:g} and {high:g}; 0 < first <= second < 1 is wanted")
    ordered = _in_order(dataset, "item_id", 0)
    times = ordered.interactions["timestamp"]
    if times.null_count or not len(times):
        raise DataError(f"{times.null_count:,} of {len(times):,} events have no time; a time split needs all")
    seconds = times.to_numpy()
    first, second = np.quantile(seconds, [low, high], method="higher")
    part = np.where(seconds >= second, _TEST, np.where(seconds >= first, _VALIDATION, _TRAIN))
    if not (part == _TRAIN).any():
        raise DataError("the times are too alike to be cut: no event is older than the first quantile")
    moments = [datetime.fromtimestamp(float(moment), UTC).isoformat() for moment in (first, second)]
    words = f"global time: validation from {moments[0]}, test from {moments[1]} (quantiles {low:g}, {high:g})"
    return _cut(ordered, part, f"{words}; {_TIE_WORDS['item_id']}")


def _per_user(
    dataset: Dataset, sizes: Callable[[int], tuple[int, int]], words: str, *, ties: TieRule, seed: int
) -> Split:
    ordered = _in_order(dataset, ties, seed)
    part = np.full(ordered.interactions.num_rows, _TRAIN)
    _, starts, counts = np.unique(ordered.codes().user, return_index=True, return_counts=True)
    for stop, count in zip((starts + counts).tolist(), counts.tolist(), strict=True):
        test, validation = sizes(count)
        part[stop - test - validation : stop - test] = _VALIDATION
        part[stop - test : stop] = _TEST
    return _cut(ordered, part, f"{words}; {_TIE_WORDS[ties].format(seed=seed)}")


def _in_order(dataset: Dataset, ties: TieRule, seed: int) -> Dataset:
    """The same events with the rows by user, time and tie rule, so that histories follow the rule as well."""
    codes = dataset.codes()
    clock = np.where(np.isnan(codes.timestamp), -np.inf, codes.timestamp)
    if ties == "item_id":
        key = _id_ranks(dataset.item_ids)[codes.item]
    elif ties == "random":
        key = np.random.default_rng(seed).permutation(len(codes.row))
    else:
        key = codes.row
    key = np.where(np.isnan(codes.timestamp), codes.row, key)
    rows = codes.row[np.lexsort((key, clock, codes.user))]
    return replace(dataset, interactions=dataset.interactions.take(pa.array(rows)).combine_chunks())


def _id_ranks(item_ids: Sequence[str]) -> NDArray[np.int64]:
    """Rank of each id: by number when all ids are ASCII digits, else by code points."""
    numeric = all(item_id.isascii() and item_id.isdigit() for item_id in item_ids)
    order = sorted(range(len(item_ids)), key=lambda at: (int(item_ids[at]) if numeric else 0, item_ids[at]))
    ranks = np.empty(len(item_ids), dtype=np.int64)
    ranks[order] = np.arange(len(item_ids))
    return ranks


def _cut(dataset: Dataset, part: NDArray[np.int64], words: str) -> Split:
    """Make the split; ``part`` is per row of interactions, which are in order."""

    def holdouts(which: int) -> tuple[Holdout, ...]:
        rows = np.flatnonzero(part == which)
        return tuple(map(_holdout, dataset.interactions.take(pa.array(rows)).to_pylist()))

    train = dataset.interactions.filter(pa.array(part == _TRAIN))
    return Split(
        train=replace(dataset, interactions=train.combine_chunks()),
        validation=holdouts(_VALIDATION),
        test=holdouts(_TEST),
        description=words,
    )


def _holdout(row: dict[str, str | float | None]) -> Holdout:
    core = {name: row.pop(name) for name in ("user_id", "item_id", "timestamp", "value", "event")}
    context = {name: str(value) for name, value in row.items() if value is not None}
    return Holdout(context=context, **core)  # type: ignore[arg-type]
