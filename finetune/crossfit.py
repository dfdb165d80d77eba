"""Candidates as serving will see them, for events that are in the training data.

A retriever that was built from a user's sequence knows what comes next in it, so its candidates for that
user's past are better than any that serving will ever get. Here users are dealt into folds, and each fold is
answered by a retriever built from all other users (cross-fitting, Chernozhukov et al. 2018). It meets these
users as serving meets anybody: with nothing but the history up to that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.dataset import Dataset
from tastemaker.protocols import Retriever
from tastemaker.types import Context, Request, UserHistory

FOLDS = 5
MIN_HISTORY = 3
"""A request of a fold has at least so many history entries: shorter ones are hardly ever served, and a
data set filtered to five events per user has none of them among its questions."""

Build = Callable[[Dataset], Retriever]
"""Makes a retriever from interactions; the items are those of the whole data set in every fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The request that stood before a training event: all earlier events of its user, time and context.

    ``position``: place of the event in the user's training sequence, 0 = oldest; ``target``: its item.
    """

    request: Request
    position: int
    target: str


def deal(train: Dataset, folds: int = FOLDS, seed: int = 0) -> Iterator[tuple[Dataset, list[str]]]:
    """Per fold: the interactions of everybody else, and the fold's users in the order of the data set.

    Raises:
        ValueError: there are fewer than two folds, or fewer users than folds.
    """
    dealt = folds_of(train, folds, seed)
    for fold in range(folds):
        own = [user for user, number in dealt.items() if number == fold]
        yield without(train, own), own


def folds_of(train: Dataset, folds: int = FOLDS, seed: int = 0) -> dict[str, int]:
    """The fold, from 0, that ``deal`` gives each user to; errors as there."""
    users = list(train.sequences())
    if not 2 <= folds <= len(users):
        raise ValueError(f"{folds} folds of {len(users)} users; wanted are 2 folds to one per user")
    numbers = (np.random.default_rng(seed).permutation(len(users)) % folds).tolist()
    return dict(zip(users, numbers, strict=True))


def without(train: Dataset, users: Collection[str]) -> Dataset:
    """The data set without what these users did; items and the table of users stay."""
    hidden = pa.array(sorted(users), pa.string())
    kept = pc.invert(pc.is_in(train.interactions["user_id"], value_set=hidden))
    return replace(train, interactions=train.interactions.filter(kept).combine_chunks())


def moments(train: Dataset, user_id: str, last: int | None = None) -> list[Moment]:
    """The user's training events that have ``MIN_HISTORY`` before them, or the latest ``last`` of them.

    An event whose item the user had had before is left out: what is in the history is never retrieved.
    """
    history = train.history(user_id)
    first = max(MIN_HISTORY, len(history) - last if last is not None else 0)
    contexts = _contexts(train, user_id, first)
    out = []
    seen = {entry.item_id for entry in history.entries[:first]}
    for position, context in enumerate(contexts, start=first):
        target = history.entries[position].item_id
        if target is None or target in seen:
            continue
        seen.add(target)
        before = UserHistory(
            user_id=user_id, entries=history.entries[:position], value_range=history.value_range
        )
        request = Request(history=before, context=context, request_id=f"{user_id}:{position}")
        out.append(Moment(request=request, position=position, target=target))
    return out


def _contexts(train: Dataset, user_id: str, first: int) -> Sequence[Context]:
    """Time and context columns of the user's events from position ``first`` on."""
    codes = train.codes()
    user = train.user_positions[user_id]
    start, stop = np.searchsorted(codes.user, [user, user + 1]).tolist()
    rows = codes.row[min(start + first, stop) : stop]
    columns = ["timestamp", *train.context_columns]
    events = train.interactions.select(columns).take(pa.array(rows)).to_pylist()
    return [_context(event) for event in events]


def _context(event: dict[str, str | float | None]) -> Context:
    seconds = event.pop("timestamp")
    time = None if seconds is None else datetime.fromtimestamp(float(seconds), tz=UTC)
    return Context.from_mapping(
        {"time": time, **{name: str(value) for name, value in event.items() if value is not None}}
    )
