"""What a report asks: the last event of many users again, or requests from a file.

Replayed, a user is asked about at the moment of their last event, with everything before it as history, and
what counts behaviour is built without the last two events of everybody (protocol ``loo``): the item that came
then is known, and nothing has learned from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.agent.recommender import QUESTION
from tastemaker.agent.requests import build_request
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, InputError, RequestError
from tastemaker.eval.offline.moments import situations
from tastemaker.eval.protocols import make_protocol
from tastemaker.prompts.domains import load_domain
from tastemaker.types import Context, Language, Request

PROTOCOL = "loo"
MOMENTS_OF = "moments:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of the report; ``target`` is the item that came next, where it is known."""

    request: Request
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """All requests in a fixed order. ``train``: the part to build from; None: all interactions."""

    asked: tuple[Asked, ...]
    train: Dataset | None
    description: str


def questions(
    dataset: Dataset,
    users: str,
    *,
    k: int,
    seed: int,
    language: Language | None = None,
    domain: str = "generic",
) -> Questions:
    """The questions for ``users``: a number of random users, a file, or one user's moments.

    A file has a user id per line, or a JSON object per line with the arguments of ``Recommender.recommend``.
    ``moments:ID`` asks one user about in ten situations (``tastemaker.eval.offline.moments``).

    Raises:
        RequestError: ``users`` is neither, or a line cannot be used.
        DataError: nobody can be asked about. UnknownUserError: an id is not in the data.
    """
    if users.startswith(MOMENTS_OF):
        found = _moments(dataset, users.removeprefix(MOMENTS_OF), domain, k=k)
    elif users.strip().isdecimal():
        number = int(users)
        if number < 1:
            raise RequestError("users is 0; at least 1 is wanted", hint="--users 200")
        found = _replayed(dataset, None, number, k=k, seed=seed)
    else:
        lines = _lines(Path(users))
        told = list(dict.fromkeys(filter(None, lines)))
        if told[0].startswith("{"):
            found = _typed(dataset, lines, k=k)
        else:
            found = _replayed(dataset, told, None, k=k, seed=seed)
    if language is None:
        return found
    spoken = tuple(replace(one, request=replace(one.request, language=language)) for one in found.asked)
    return replace(found, asked=spoken)


def _moments(dataset: Dataset, user: str, domain: str, *, k: int) -> Questions:
    """One user in ten situations, all events known."""
    asked = tuple(
        Asked(
            request=replace(
                build_request(dataset, user_id=user, context=dict(moment), k=k, domain=domain),
                request_id=f"{user} · {', '.join(moment.values())}",
            )
        )
        for moment in situations(load_domain(domain), dataset)
    )
    return Questions(asked=asked, train=None, description=f"user {user} in {len(asked)} situations; all data")


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise RequestError(
            f"--users is {str(path)!r}: neither a number nor a file",
            hint="--users 200, a file of user ids, or moments:196 for one person in ten situations",
        )
    try:
        # Not splitlines: a title may hold one of the nine other characters that it breaks at.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read {path}: {error}") from error
    if not any(lines):
        raise RequestError(f"{path} is empty; a user id or a JSON request per line is wanted")
    return lines


def _replayed(
    dataset: Dataset, ids: Sequence[str] | None, number: int | None, *, k: int, seed: int
) -> Questions:
    protocol = make_protocol(dataset, PROTOCOL, users=number, seed=seed, k=k)
    known = {one.request.request_id: one for one in protocol.questions}
    if ids is None:
        asked = tuple(Asked(request=one.request, target=one.target) for one in protocol.questions)
    else:
        asked = tuple(
            Asked(request=known[name].request, target=known[name].target)
            if name in known
            else Asked(request=_latest(dataset, name, k))
            for name in ids
        )
    if not asked:
        raise DataError("nobody in the data has enough events to be asked about", hint="bring more data")
    description = protocol.description if ids is None else _named(len(asked))
    return Questions(asked=asked, train=protocol.train, description=description)


def _named(users: int) -> str:
    return (
        f"{users} users of a file, asked for their last event with all before it as history, systems built "
        "from all events but the last two of everybody; who has fewer than three is asked with all of them"
    )


def _latest(dataset: Dataset, user_id: str, k: int) -> Request:
    """The request at a user's last event, for those with too few events to hold one out."""
    history = dataset.history(user_id)
    last = history.entries[-1].timestamp if history.entries else None
    time = None if last is None else datetime.fromtimestamp(last, tz=UTC)
    return Request(history=history, context=Context(time=time), k=k, request_id=user_id)


def _typed(dataset: Dataset, lines: Sequence[str], *, k: int) -> Questions:
    numbered = {number: line for number, line in enumerate(lines, start=1) if line}
    asked = tuple(Asked(request=_request(dataset, number, line, k)) for number, line in numbered.items())
    names: dict[str, int] = {}
    for number, one in zip(numbered, asked, strict=True):
        name = str(one.request.request_id)
        if (first := names.setdefault(name, number)) != number:
            raise RequestError(f"lines {first} and {number} have the same request_id {name!r}")
    return Questions(asked=asked, train=None, description=f"{len(asked)} requests from a file; all data")


def _request(dataset: Dataset, number: int, line: str, k: int) -> Request:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RequestError(f"line {number} is no JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise RequestError(f"line {number} holds a {type(value).__name__}; a JSON object is wanted")
    arguments: dict[str, Any] = {"k": k, **value}
    given = arguments.pop("request_id", None)
    name = str(given) if given not in (None, "") else f"request {number}"
    if unknown := arguments.keys() - set(QUESTION):
        raise RequestError(
            f"line {number} holds {sorted(unknown)[0]!r}; known are request_id, {', '.join(QUESTION)}"
        )
    try:
        return replace(build_request(dataset, **arguments), request_id=name)
    except InputError as error:
        raise RequestError(f"line {number}: {error.message}", hint=error.hint) from error
