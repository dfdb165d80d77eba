"""A session: what happens between two questions counts in the next one, without any training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tastemaker.agent.requests import as_history, as_seconds, standing_rejections
from tastemaker.answers import Recommendation
from tastemaker.errors import RequestError
from tastemaker.prompts.domains import Domain, load_domain

if TYPE_CHECKING:
    from tastemaker.agent.recommender import Recommender

MAX_EVENTS = 1_000
"""The oldest events of a longer session are forgotten, but for those that turned an item down."""

MAX_REJECTED = 5_000
"""Items that a session can turn down; more are refused, as none of them may be forgotten."""


class Session:
    """Events of one user and one sitting. Not shared between threads.

    What was turned down stays out until an event takes it back that is clearly for it ("like", "more_like",
    what the domain says beside them), or ``undo`` does.

    Example::

        session = recommender.session(user_id="196", wish="something light")
        session.event("dislike", "Heat (1995)")
        session.event("click", "50")
        out = session.recommend(k=5)
        later = recommender.session(user_id="196", session=session.events)
    """

    def __init__(self, recommender: Recommender, question: Mapping[str, Any] | None = None) -> None:
        """``question``: its ``session`` holds the events of an earlier one to go on from.

        Raises:
            InputError: an event of it is none, or about no item of the catalogue.
        """
        self._recommender = recommender
        self._question = {name: value for name, value in (question or {}).items() if name != "session"}
        self._events: list[dict[str, Any]] = []
        for one in as_history((question or {}).get("session", ()), recommender.dataset):
            self.event(one.event, one.item_id or one.title, at=one.timestamp)

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """What happened, oldest first: ``id``, ``event`` and ``time`` in seconds since 1970."""
        return tuple(self._events)

    def event(self, name: str, item: str, *, at: float | None = None) -> None:
        """Note that ``name`` ("click", "like", "skip", "not_now" …) happened to ``item``, an id or a title.

        A name that the domain does not know says nothing; a note of the next answer tells so.

        Args:
            at: seconds since 1970; None: now.

        Raises:
            InputError: there is no such item, the event has no name, its time is none, or too many items are
                turned down.
        """
        if not isinstance(name, str) or not name.strip():
            raise RequestError(f"event is {name!r}; a name is wanted", hint="click, like, skip, not_now …")
        moment = time.time() if at is None else as_seconds(at, "at")
        item_id = self._recommender.item_id(item)
        events = [*self._events, {"id": item_id, "event": name.strip(), "time": moment}]
        against = (self._domain.said(name) or 0.0) < 0
        if against and len(standing_rejections(_told(events), self._domain)) > MAX_REJECTED:
            raise RequestError(
                f"the session has turned down {MAX_REJECTED:,} items, and can keep no more of them out",
                hint="begin another session",
            )
        self._events = _remembered(events, self._domain)

    def undo(self) -> Mapping[str, Any] | None:
        """Forget the latest event and return it; None where there is none."""
        return self._events.pop() if self._events else None

    def reset(self) -> None:
        self._events.clear()

    def recommend(self, **question: Any) -> Recommendation:
        """``Recommender.recommend`` with the session's events; ``question`` goes over the session's own.

        Raises:
            InputError: as there, or the question brings events of its own.
        """
        if "session" in question:
            raise RequestError(
                "session is given, and this session has events of its own",
                hint="session.event(name, item) adds one",
            )
        return self._recommender.recommend(**{**self._question, **question, "session": self._events})

    @property
    def _domain(self) -> Domain:
        return load_domain(self._recommender.settings.domain)


def _told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["id"], one["event"]) for one in events]


def _remembered(events: list[dict[str, Any]], pack: Domain) -> list[dict[str, Any]]:
    """The events without the oldest beyond ``MAX_EVENTS``; what turns an item down is not counted.

    A forgotten event that took a rejection back takes that with it: alone it would stand again.
    """
    if len(events) <= MAX_EVENTS:
        return events
    told = _told(events)
    kept = _turning_down(told, pack)
    others = [place for place in range(len(events)) if place not in kept]
    gone = set(others[: max(len(others) - MAX_EVENTS, 0)])
    for place in sorted(gone):
        item, name = told[place]
        if pack.takes_back(name):
            gone |= {before for before in range(place) if told[before][0] == item}
    return [one for place, one in enumerate(events) if place not in gone]


def _turning_down(told: list[tuple[str, str]], pack: Domain) -> set[int]:
    """Places of the first event of each rejection, also of those that were taken back: undoing that is
    possible as long as it is remembered.
    """
    found: set[int] = set()
    standing: set[str] = set()
    for place, (item, name) in enumerate(told):
        if pack.takes_back(name):
            standing.discard(item)
        elif (pack.said(name) or 0.0) < 0 and item not in standing:
            standing.add(item)
            found.add(place)
    return found
