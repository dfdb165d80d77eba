"""What a conversation has come to: everything that counts in the next list, as a value people can edit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tastemaker.errors import RequestError
from tastemaker.index.filters import format_filter, parse_filter
from tastemaker.prompts.domains import Domain
from tastemaker.types import Filter, field_name, freeze

MAX_PAST = 20
"""Turns that can be taken back."""

MAX_WISHES = 4
"""Soft wishes that count at once; older ones are forgotten first."""

MAX_EVENTS = 200
MAX_OUT = 5_000
TURNED_DOWN = ("seen", "dislike", "not_now")
"""What keeps an item out of a conversation's lists."""

MAX_PASSED = 1_000

_LISTS = ("wishes", "exclude", "shown", "passed", "out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What was said of an item: ``name`` is "like", "dislike", "seen", "not_now" or "more_like" in a turn, or
    whatever it is called outside.
    """

    name: str
    item: str
    time: float

    def to_dict(self) -> dict[str, Any]:
        return {"event": self.name, "id": self.item, "time": self.time}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A turn that contradicts what stands, or itself, until that is settled: what it would add and end."""

    filters: tuple[Filter, ...] = ()
    exclude: tuple[str, ...] = ()
    ends_filters: tuple[Filter, ...] = ()
    ends_exclude: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    ends_context: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))
        object.__setattr__(self, "ends_context", freeze(self.ends_context))

    @property
    def on_conditions(self) -> bool:
        """It is about conditions, and not only about the situation."""
        return bool(self.ends_filters or self.ends_exclude)

    def to_dict(self) -> dict[str, Any]:
        return {
            "filters": [format_filter(one) for one in self.filters],
            "exclude": list(self.exclude),
            "ends_filters": [format_filter(one) for one in self.ends_filters],
            "ends_exclude": list(self.ends_exclude),
            "context": dict(self.context),
            "ends_context": dict(self.ends_context),
        }

    @classmethod
    def from_dict(cls, values: Any) -> Doubt:
        if not isinstance(values, Mapping):
            raise RequestError(f"doubt is a {type(values).__name__}; a mapping is wanted")
        return cls(
            filters=_filters(values, "filters"),
            exclude=_texts(values, "exclude"),
            ends_filters=_filters(values, "ends_filters"),
            ends_exclude=_texts(values, "ends_exclude"),
            context=_named(values, "context"),
            ends_context=_named(values, "ends_context"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatState:
    """One conversation.

    ``wishes``: what is searched for by meaning, oldest first. ``filters``: hard conditions. ``exclude``: what
    must not come, as it was said. ``out``: items turned down so long ago that their events are gone.
    ``shown``: ids of the list last shown, in order; ``passed``: ids that were shown before somebody asked for
    others. ``focus``: the item last spoken of. ``past``: earlier states, oldest first, that ``undo`` goes
    back to.
    """

    wishes: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    exclude: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    shown: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    focus: str | None = None
    doubt: Doubt | None = None
    out: tuple[str, ...] = ()
    past: tuple[ChatState, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))

    @property
    def asks_nothing(self) -> bool:
        """Nothing has been wished, ruled out or said yet."""
        return not (self.wishes or self.filters or self.exclude or self.context or self.events)

    @property
    def gone(self) -> frozenset[str]:
        """Items that must not be shown again: known, disliked or turned down."""
        return frozenset(self.out) | {one.item for one in self.events if one.name in TURNED_DOWN}

    def noting(self, told: Sequence[Event], domain: Domain | None = None) -> ChatState:
        """The state with events, each in place of what was said of its item before.

        What turned an item down stands beside a later event that does not settle it: one that neither turns
        the item down itself nor takes that back. The latest ``MAX_EVENTS`` are kept; what older ones turned
        down stays out.

        Args:
            domain: says what events mean that came from outside. None: they were said in a turn, and each
                settles what was said before.
        """
        events, out = list(self.events), dict.fromkeys(self.out)
        for new in told:
            settled = _settles(new.name, domain)
            events = [
                one
                for one in events
                if one.item != new.item or (not settled and _turns_down(one.name, domain))
            ]
            events.append(new)
            if settled:
                out.pop(new.item, None)
        dropped = [one.item for one in events[:-MAX_EVENTS] if _turns_down(one.name, domain)]
        kept = tuple(dict.fromkeys((*out, *dropped)))
        return replace(self, events=tuple(events[-MAX_EVENTS:]), out=kept[-MAX_OUT:])

    def remembering(self, before: ChatState) -> ChatState:
        """This state, with ``before`` to go back to."""
        return replace(self, past=(*before.past, replace(before, past=()))[-MAX_PAST:])

    def undone(self) -> ChatState | None:
        """The state before; None where there is none."""
        if not self.past:
            return None
        return replace(self.past[-1], past=self.past[:-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``from_dict`` reads them back. What people may edit comes first."""
        return {
            "wishes": list(self.wishes),
            "filters": [format_filter(one) for one in self.filters],
            "exclude": list(self.exclude),
            "context": dict(self.context),
            "events": [one.to_dict() for one in self.events],
            "shown": list(self.shown),
            "passed": list(self.passed),
            "out": list(self.out),
            "focus": self.focus,
            "doubt": None if self.doubt is None else self.doubt.to_dict(),
            "past": [one.to_dict() for one in self.past],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ChatState:
        """Read what ``to_dict`` wrote, or what somebody typed in its form; missing keys are empty.

        Raises:
            RequestError: a key is unknown or holds something else. FilterError: a filter does not parse.
        """
        if not isinstance(values, Mapping):
            raise RequestError(f"the state is a {type(values).__name__}; a mapping is wanted")
        known = (
            "wishes",
            "filters",
            "exclude",
            "context",
            "events",
            "shown",
            "passed",
            "out",
            "focus",
            "doubt",
            "past",
        )
        if unknown := [key for key in values if key not in known]:
            raise RequestError(f"the state holds {unknown[0]!r}; known are {', '.join(known)}")
        focus = values.get("focus")
        if focus is not None and not isinstance(focus, str):
            raise RequestError(f"focus is {focus!r}; an item id is wanted")
        doubt = values.get("doubt")
        return cls(
            **{name: _texts(values, name) for name in _LISTS},
            filters=_filters(values, "filters"),
            context={field_name(name): one for name, one in _named(values, "context").items()},
            events=tuple(_event(one) for one in _list(values, "events"))[-MAX_EVENTS:],
            focus=focus,
            doubt=None if doubt is None else Doubt.from_dict(doubt),
            past=tuple(cls.from_dict(one) for one in _list(values, "past"))[-MAX_PAST:],
        )


def _turns_down(name: str, domain: Domain | None) -> bool:
    return name in TURNED_DOWN or (domain is not None and (domain.said(name) or 0.0) < 0)


def _settles(name: str, domain: Domain | None) -> bool:
    """The event takes the place of whatever turned its item down before."""
    return domain is None or _turns_down(name, domain) or domain.takes_back(name)


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name) or []
    if not isinstance(found, (list, tuple)):
        raise RequestError(f"{name} is a {type(found).__name__}; a list is wanted")
    return list(found)


def _named(values: Mapping[str, Any], name: str) -> dict[str, str]:
    found = values.get(name) or {}
    if not isinstance(found, Mapping):
        raise RequestError(f"{name} is a {type(found).__name__}; a mapping is wanted")
    return {str(key): str(value) for key, value in found.items()}


def _texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _list(values, name)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise RequestError(f"{name} holds {wrong[0]!r}; texts are wanted")
    return tuple(one.strip() for one in found if one.strip())


def _filters(values: Mapping[str, Any], name: str) -> tuple[Filter, ...]:
    return tuple(parse_filter(one) for one in _texts(values, name))


def _event(value: Any) -> Event:
    if not isinstance(value, Mapping) or not all(isinstance(value.get(key), str) for key in ("event", "id")):
        raise RequestError(f'an event is {value!r}; {{"event": "like", "id": "50"}} is wanted')
    try:
        event = Event(name=value["event"], item=value["id"], time=float(value.get("time", 0.0)))
    except (TypeError, ValueError) as error:
        raise RequestError(f"the time of an event is {value.get('time')!r}; seconds are wanted") from error
    if not event.name.strip() or not math.isfinite(event.time):
        raise RequestError(f"an event is {value!r}; a name and a finite time are wanted")
    return event
