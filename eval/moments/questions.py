"""A set cut into training, validation and test, and the questions of the last two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.eval.moments.sets import MomentSet
from tastemaker.types import Context, Filter, HistoryEntry, Request, UserHistory

FOLDS = 5
"""Of the users or events one fold is the test; weights are fitted on each of the others in turn."""

MIN_BEFORE = 3
"""Commands that a stretch must have had before one is asked for."""

LISTED = 100
"""Items asked for; ten count, and their ties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentQuestion:
    """``gains``: relevance by item id, above 0. ``cluster``: questions of one cluster are not independent."""

    request: Request
    gains: Mapping[str, float]
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """``questions`` about what is not in ``train``."""

    train: Dataset
    questions: tuple[MomentQuestion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """``test``: the questions whose answers nothing else knows. ``validation``: folds of what is left."""

    test: Fold
    validation: tuple[Fold, ...]


def cut(moments: MomentSet, seed: int) -> Cut:
    """Split at random: users where they have an order, else events with a situation."""
    data = moments.dataset
    draw = np.random.default_rng(seed)
    groups = _users(data) if moments.whole_users else _situated(data)
    test, *others = np.array_split(draw.permutation(np.unique(groups[groups >= 0])), FOLDS)
    ask = _next_commands if moments.whole_users else _ratings if moments.kind == "ratings" else _choices

    def fold(hidden: NDArray[np.int64], asked: NDArray[np.int64]) -> Fold:
        train = _kept(data, ~np.isin(groups, hidden))
        return Fold(train=train, questions=tuple(ask(moments, train, np.isin(groups, asked))))

    return Cut(
        test=fold(test, test),
        validation=tuple(fold(np.concatenate([test, one]), one) for one in others),
    )


def without_situation(data: Dataset) -> Dataset:
    """The same events, and nothing of the situation that they happened in; times stay, for the order."""
    return replace(data, interactions=data.interactions.drop_columns(list(data.context_columns)))


def unsituated(request: Request) -> Request:
    """The same question without its situation."""
    entries = tuple(replace(entry, context={}) for entry in request.history)
    return replace(request, context=Context(), history=replace(request.history, entries=entries))


def shuffled(questions: Sequence[MomentQuestion], seed: int) -> list[MomentQuestion]:
    """Every question with the situation of another one."""
    order = np.random.default_rng(seed).permutation(len(questions)).tolist()
    return [
        replace(one, request=replace(one.request, context=questions[other].request.context))
        for one, other in zip(questions, order, strict=True)
    ]


def _users(data: Dataset) -> NDArray[np.int64]:
    """A number for each row: its user."""
    names = data.interactions["user_id"].combine_chunks().dictionary_encode()
    numbers: NDArray[np.int64] = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _situated(data: Dataset) -> NDArray[np.int64]:
    """A number of its own for each row that says anything of its situation, -1 for others."""
    rows = data.interactions.select(list(data.context_columns)).to_pylist()
    known = np.array([any(value is not None for value in row.values()) for row in rows])
    return np.where(known, np.arange(len(rows)), -1)


def _kept(data: Dataset, rows: NDArray[np.bool_]) -> Dataset:
    return replace(data, interactions=data.interactions.filter(pa.array(rows)).combine_chunks())


def _events(data: Dataset, rows: NDArray[np.bool_]) -> list[dict[str, object]]:
    events: list[dict[str, object]] = data.interactions.filter(pa.array(rows)).to_pylist()
    return events


def _context(event: Mapping[str, object], data: Dataset) -> Context:
    return Context.from_mapping({name: event[name] for name in data.context_columns})


def _choices(moments: MomentSet, train: Dataset, rows: NDArray[np.bool_]) -> list[MomentQuestion]:
    """Each held-out choice is sought among everything that the user has not had in training."""
    out = []
    for event in _events(moments.dataset, rows):
        user, item = str(event["user_id"]), str(event["item_id"])
        history = _history(train, user)
        if item in history.item_ids:
            continue
        request = Request(history=history, context=_context(event, train), k=LISTED, request_id=user)
        out.append(MomentQuestion(request=request, gains={item: 1.0}, cluster=user))
    return out


def _history(train: Dataset, user: str) -> UserHistory:
    return train.history(user) if user in train.user_positions else UserHistory(user_id=user)


def _ratings(moments: MomentSet, train: Dataset, rows: NDArray[np.bool_]) -> list[MomentQuestion]:
    """The items that a user rated in one situation are put in order; where all ratings are alike, none is."""
    by_moment: dict[tuple[str, Context | str], list[dict[str, object]]] = defaultdict(list)
    for event in _events(moments.dataset, rows):
        by_moment[str(event["user_id"]), str(_context(event, train).as_mapping())].append(event)
    out = []
    for (user, _), events in by_moment.items():
        rated = {str(event["item_id"]): float(str(event["value"])) for event in events}
        if len(set(rated.values())) < 2:
            continue
        request = Request(
            history=_history(train, user),
            context=_context(events[0], train),
            k=LISTED,
            filters=(Filter(field="id", op="in", value=tuple(rated)),),
            repeats=True,
            request_id=user,
        )
        gains = {item: 2.0**value - 1 for item, value in rated.items()}
        out.append(MomentQuestion(request=request, gains=gains, cluster=user))
    return out


def _next_commands(moments: MomentSet, _: Dataset, rows: NDArray[np.bool_]) -> list[MomentQuestion]:
    """Each command of a held-out stretch, from the commands before it and the time it was given at."""
    held = dict.fromkeys(str(event["user_id"]) for event in _events(moments.dataset, rows))
    return [
        _next(user, entries[:place], entries[place])
        for user in held
        if (entries := moments.dataset.history(user).entries)
        for place in range(MIN_BEFORE, len(entries))
    ]


def _next(user: str, before: tuple[HistoryEntry, ...], entry: HistoryEntry) -> MomentQuestion:
    assert entry.item_id is not None and entry.timestamp is not None  # noqa: PT018 (of the data set)
    request = Request(
        history=UserHistory(user_id=user, entries=before),
        context=Context(time=datetime.fromtimestamp(entry.timestamp, tz=UTC)),
        k=LISTED,
        repeats=True,
        request_id=user,
    )
    return MomentQuestion(request=request, gains={entry.item_id: 1.0}, cluster=user)
