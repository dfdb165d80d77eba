"""How a data set becomes questions with known answers. A protocol never shows a system its test items.

``loo``
    Leave one out: each user's last item (by time, then item id) is the answer; systems are built from
    the training part, the user's history is training plus validation, everything else in the catalogue
    is ranked. An item that the user has had before is excluded like all of the history, so a question
    for it cannot be answered; the description says how many of those there are.
``loo-validation``
    The second last item is the answer, with the training part as history: the only one to tune on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout, leave_one_out
from tastemaker.errors import RequestError
from tastemaker.types import Context, HistoryEntry, Request, UserHistory

PROTOCOLS = ("loo", "loo-validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request and the one item that came next."""

    request: Request
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """``train`` is all that a system may be built from; ``description`` says the rules in one line."""

    name: str
    description: str
    train: Dataset
    questions: tuple[Question, ...]


def make_protocol(
    dataset: Dataset, name: str, *, users: int | None = None, seed: int = 0, k: int = 50
) -> Protocol:
    """Build a protocol, over a random sample of ``users`` (all when None) drawn with ``seed``.

    Raises:
        RequestError: the name is unknown, or ``users`` is less than 1.
    """
    if users is not None and users < 1:
        raise RequestError(f"users is {users}; at least 1 is wanted")
    if name not in PROTOCOLS:
        raise RequestError(f"unknown protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    split = leave_one_out(dataset)
    known = {holdout.user_id: holdout for holdout in split.validation}
    asked = split.test if name == "loo" else split.validation
    questions = tuple(
        _question(split.train, holdout, known.get(holdout.user_id) if name == "loo" else None, k)
        for holdout in _sample(asked, users, seed)
    )
    repeated = sum(question.target in question.request.unwanted_ids for question in questions)
    return Protocol(
        name=name,
        description=f"{split.description}; {len(questions)} users, seed {seed}; {repeated} of them are asked "
        "for an item of their history, which is excluded and scores 0",
        train=split.train,
        questions=questions,
    )


def _sample(holdouts: Sequence[Holdout], users: int | None, seed: int) -> list[Holdout]:
    if users is None or users >= len(holdouts):
        return list(holdouts)
    picks = np.random.default_rng(seed).choice(len(holdouts), size=users, replace=False)
    return [holdouts[i] for i in sorted(picks)]


def _question(train: Dataset, holdout: Holdout, seen: Holdout | None, k: int) -> Question:
    history = train.history(holdout.user_id)
    if seen is not None:
        entry = HistoryEntry(
            title=train.item(seen.item_id).display_title,
            item_id=seen.item_id,
            timestamp=seen.timestamp,
            event=seen.event,
            value=seen.value,
        )
        history = UserHistory(
            user_id=history.user_id, entries=(*history.entries, entry), value_range=history.value_range
        )
    moment = None if holdout.timestamp is None else datetime.fromtimestamp(holdout.timestamp, tz=UTC)
    context = Context.from_mapping({"time": moment, **holdout.context})
    request = Request(history=history, context=context, k=k, request_id=f"{holdout.user_id}")
    return Question(request=request, target=holdout.item_id)
