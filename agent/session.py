"""A session: what happens between two questions counts in the next one, without any training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tastemaker.answers import Recommendation
from tastemaker.errors import RequestError

if TYPE_CHECKING:
    from tastemaker.agent.recommender import Recommender

MAX_EVENTS = 1_000
"""The oldest events of a longer session are forgotten."""


class Session:
    """Events of one user and one sitting. Not shared between threads.

    Example::

        session = recommender.session(user_id="196", wish="something light")
        session.event("dislike", "Heat (1995)")
        session.event("click", "50")
        out = session.recommend(k=5)
    """

    def __init__(self, recommender: Recommender, question: Mapping[str, Any] | None = None) -> None:
        self._recommender = recommender
        self._question = dict(question or {})
        self._events: list[dict[str, Any]] = []

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """What happened, oldest first: ``id``, ``event`` and ``time`` in seconds since 1970."""
        return tuple(self._events)

    def event(self, name: str, item: str, *, at: float | None = None) -> None:
        """Note that ``name`` ("click", "like", "skip", "not_now" …) happened to ``item``, an id or a title.

        Args:
            at: seconds since 1970; None: now.

        Raises:
            InputError: there is no such item, or the event has no name.
        """
        if not isinstance(name, str) or not name.strip():
            raise RequestError(f"event is {name!r}; a name is wanted", hint="click, like, skip, not_now …")
        moment = time.time() if at is None else at
        self._events.append({"id": self._recommender.item_id(item), "event": name.strip(), "time": moment})
        del self._events[:-MAX_EVENTS]

    def undo(self) -> Mapping[str, Any] | None:
        """Forget the latest event and return it; None where there is none."""
        return self._events.pop() if self._events else None

    def reset(self) -> None:
        self._events.clear()

    def recommend(self, **question: Any) -> Recommendation:
        """``Recommender.recommend`` with the session's events; ``question`` goes over the session's own."""
        return self._recommender.recommend(**{**self._question, **question, "session": self._events})
