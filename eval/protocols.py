"""How a data set becomes questions with known answers. A protocol never shows a system its test items.

============================  ==================  =========================================================
name                          data                the answer
============================  ==================  =========================================================
``loo``                       any                 each user's last event
``llamarec``                  ml-latest-small     the same; equal times by item id, as LlamaRec does
``llamarec-tiesafe``          ml-latest-small     the same; equal times in random order, 5 draws
``beauty-loo``                amazon-beauty-2014  the same; events in file order, there are no times
``temporal``                  any; ml-latest-     the last event of each user active in the newest tenth of
                              small if not given  all events; training ends before the newest fifth
``NAME-validation``           as ``NAME``         one event earlier (``temporal``: the tenth before): the
                                                  only ones to tune on
============================  ==================  =========================================================

Systems are built from the training part alone; the history asked with is everything of the user before the
answer; everything else in the catalogue is ranked. An item that the user has had before is excluded like
all of the history, so a question for it cannot be answered; the description says how many of those there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout, TieRule, global_time, leave_one_out
from tastemaker.errors import RequestError
from tastemaker.types import Context, HistoryEntry, Request, UserHistory

VALIDATION = "-validation"
DRAWS = 5
"""Random orders of equal times that a tie-safe protocol is measured with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``benchmark``: a data set of ``tastemaker.eval.benchmarks``; ``any_data``: another may be given."""

    benchmark: str | None = None
    any_data: bool = False
    split: Literal["last", "time"] = "last"
    ties: TieRule = "item_id"
    draws: int = 1


_RULES = {
    "loo": Rules(any_data=True),
    "llamarec": Rules(benchmark="ml-latest-small"),
    "llamarec-tiesafe": Rules(benchmark="ml-latest-small", ties="random", draws=DRAWS),
    "temporal": Rules(benchmark="ml-latest-small", any_data=True, split="time"),
    "beauty-loo": Rules(benchmark="amazon-beauty-2014", ties="row"),
}
PROTOCOLS = tuple(name + stage for name in _RULES for stage in ("", VALIDATION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request and the one item that came next."""

    request: Request
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """``train`` is all that a system may be built from; ``description`` says the rules in one line.

    ``validation``: the events held out before the test, the only ones to choose settings and weights by.
    """

    name: str
    description: str
    train: Dataset
    questions: tuple[Question, ...]
    validation: tuple[Holdout, ...] = ()


def rules_of(name: str) -> Rules:
    """The rules behind a protocol's name; RequestError for an unknown one."""
    if name not in PROTOCOLS:
        raise RequestError(f"unknown protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    return _RULES[name.removesuffix(VALIDATION)]


def make_protocol(
    dataset: Dataset, name: str, *, users: int | None = None, seed: int = 0, k: int = 50, draw: int = 0
) -> Protocol:
    """Build a protocol, over a random sample of ``users`` (all when None) drawn with ``seed``.

    ``draw`` (0 .. ``rules_of(name).draws`` - 1) chooses the random order of equal times: the same users are
    asked in every draw, but the split, and with it the training part, is each draw's own.

    Raises:
        RequestError: the name is unknown, ``users`` is less than 1, or there is no such draw.
    """
    rules = rules_of(name)
    if users is not None and users < 1:
        raise RequestError(f"users is {users}; at least 1 is wanted")
    if not 0 <= draw < rules.draws:
        raise RequestError(f"draw is {draw}; {name} has draws 0 to {rules.draws - 1}")
    if rules.split == "time":
        split = global_time(dataset)
    else:
        split = leave_one_out(dataset, ties=rules.ties, seed=seed * rules.draws + draw)
    tuning = name.endswith(VALIDATION)
    answers = _sample(_last_of_each_user(split.validation if tuning else split.test), users, seed)
    held = _by_user(split.validation if tuning else (*split.validation, *split.test))
    questions = tuple(_question(split.train, held[answer.user_id], k) for answer in answers)
    repeated = sum(question.target in question.request.unwanted_ids for question in questions)
    which = "validation" if tuning else "test"
    return Protocol(
        name=name,
        description=f"{split.description}; asked for each user's last {which} event with all before it as "
        f"history, systems built from train, full catalogue of {len(dataset.item_ids):,} items without the "
        f"history; {len(questions)} users, seed {seed}; {repeated} of them are asked "
        "for an item of their history, which is excluded and scores 0",
        train=split.train,
        questions=questions,
        validation=split.validation,
    )


def safe_training_part(dataset: Dataset, name: str, *, seed: int = 0) -> tuple[Dataset, tuple[Dataset, ...]]:
    """Events that no protocol with the same data and kind of split holds out, and all those training parts.

    What is learned from the first alone may be measured by each of these protocols with this ``seed``, in
    every draw: equal times fall on one side or the other by the tie rule. All of a user's events with an
    item that is held out go. Rows stand as in ``name``'s own training part (draw 0).

    Raises:
        RequestError: the name is unknown.
    """
    own = rules_of(name)
    train = make_protocol(dataset, name, seed=seed).train
    alike = [
        rules for rules in _RULES.values() if (rules.benchmark, rules.split) == (own.benchmark, own.split)
    ]
    if alike == [own]:
        return train, (train,)
    splits = [
        leave_one_out(dataset, ties=rules.ties, seed=seed * rules.draws + draw)
        for rules in alike
        for draw in range(rules.draws)
    ]
    held = {(event.user_id, event.item_id) for split in splits for event in (*split.validation, *split.test)}
    users, items = (train.interactions[column].to_pylist() for column in ("user_id", "item_id"))
    kept = [row for row, event in enumerate(zip(users, items, strict=True)) if event not in held]
    safe = replace(train, interactions=train.interactions.take(pa.array(kept)).combine_chunks())
    return safe, tuple(split.train for split in splits)


def _by_user(holdouts: Sequence[Holdout]) -> dict[str, list[Holdout]]:
    """Each user's holdouts, oldest first."""
    found: dict[str, list[Holdout]] = {}
    for holdout in holdouts:
        found.setdefault(holdout.user_id, []).append(holdout)
    return found


def _last_of_each_user(holdouts: Sequence[Holdout]) -> list[Holdout]:
    return [held[-1] for held in _by_user(holdouts).values()]


def _sample(holdouts: Sequence[Holdout], users: int | None, seed: int) -> list[Holdout]:
    if users is None or users >= len(holdouts):
        return list(holdouts)
    picks = np.random.default_rng(seed).choice(len(holdouts), size=users, replace=False)
    return [holdouts[i] for i in sorted(picks)]


def _question(train: Dataset, held: Sequence[Holdout], k: int) -> Question:
    """Ask for the last of a user's ``held`` events; those before it belong to the history."""
    *seen, answer = held
    user = answer.user_id
    past = train.history(user).entries if user in train.user_positions else ()
    entries = (*past, *(_entry(train, holdout) for holdout in seen))
    history = UserHistory(user_id=user, entries=entries, value_range=train.value_range)
    moment = None if answer.timestamp is None else datetime.fromtimestamp(answer.timestamp, tz=UTC)
    context = Context.from_mapping({"time": moment, **answer.context})
    return Question(
        request=Request(history=history, context=context, k=k, request_id=user), target=answer.item_id
    )


def _entry(train: Dataset, holdout: Holdout) -> HistoryEntry:
    return HistoryEntry(
        title=train.item(holdout.item_id).display_title,
        item_id=holdout.item_id,
        timestamp=holdout.timestamp,
        event=holdout.event,
        value=holdout.value,
        context=holdout.context,
    )
