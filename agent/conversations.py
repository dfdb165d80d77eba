"""Conversations that are kept: the chat over a store. CLI, HTTP, MCP and LangChain all talk through this."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tastemaker.agent.chat.chat import MAX_TURN_CHARS, Asker, Chat, Reply, Step
from tastemaker.agent.chat.state import ChatState, Doubt, Event
from tastemaker.agent.locks import KeyedLocks
from tastemaker.agent.recommender import Recommender
from tastemaker.agent.requests import as_context
from tastemaker.agent.store import (
    MAX_TURNS,
    TAKEN_BACK,
    Impression,
    SessionConflictError,
    Store,
    StoredEvent,
    StoredSession,
)
from tastemaker.answers import Recommendation
from tastemaker.errors import RequestError, UnknownSessionError
from tastemaker.index.filters import format_filter, parse_filters
from tastemaker.prompts.domains import load_domain
from tastemaker.prompts.words import detect_language
from tastemaker.types import Request

Value = TypeVar("Value")
Said = Sequence[tuple[str, str]]
"""(role, text) of what was said so far; role is "user" or "assistant"."""

MAX_REPLAYED = 20
"""Earlier turns of a conversation that no session is known for, said again one by one."""

EDITABLE = ("wishes", "filters", "exclude", "context", "events")
"""What of a state people may set; the rest follows from the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What became of events. ``new``: for each whether it was not sent before. ``unjoined``: ids of those
    whose list is not there, or no more; they are kept without it.
    """

    new: tuple[bool, ...]
    unjoined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A turn that was recognised and waits for its answer."""

    session: StoredSession
    text: str
    step: Step


class Conversations:
    """Turns of kept sessions. Safe to share between threads: what changes one session happens in turn.

    Where another process has changed a session meanwhile, what was asked is done once more upon its change;
    when that happens twice, SessionConflictError. ``begin``, ``end``, ``retell``, ``show``, ``edit`` and
    ``keep_events`` are for callers with locks of their own.

    Example::

        talk = Conversations(Recommender.load("workspace"), Store.at(Path("workspace/state.db")))
        reply = talk.turn("evening-1", "something funny", Asker(user_id="196"))
    """

    def __init__(self, recommender: Recommender, store: Store) -> None:
        self.chat = Chat(recommender)
        self.recommender = recommender
        self.store = store
        self._locks = KeyedLocks(threading.Lock)

    def session(
        self, session_id: str, user_id: str | None = None, client: str | None = None
    ) -> StoredSession:
        """The session with this id, or a new one.

        Args:
            client: on whose behalf; one that nobody owns becomes the client's. None: of this process itself.

        Raises:
            RequestError: it is another user's. UnknownSessionError: it is another client's.
        """
        _check_id(session_id)
        found = self.store.session(session_id)
        if found is None:
            return StoredSession(id=session_id, user_id=user_id, state={}, created=time.time(), client=client)
        if client is not None and found.client not in (None, client):
            raise _unknown(session_id, "choose another session id")
        if user_id is not None and found.user_id not in (None, user_id):
            raise RequestError(f"session {session_id!r} is another user's", hint="choose another session id")
        return replace(found, user_id=user_id or found.user_id, client=found.client or client)

    def turn(self, session_id: str, text: str, asker: Asker | None = None) -> Reply:
        """One turn, answered and kept.

        Raises:
            InputError: text, session or user cannot be used. StorageError: the session cannot be kept.
        """

        def answered() -> Reply:
            begun = self.begin(session_id, text, asker)
            request = begun.step.request
            if begun.step.question != "list" or request is None:
                return self.end(begun)
            return self.end(begun, self.recommender.recommend_batch([request])[0])

        with self._locks.of(session_id) as lock, lock:
            return at_most_twice(answered)

    def stream(self, session_id: str, text: str, asker: Asker | None = None) -> Iterator[Reply]:
        """``turn`` as it becomes known, the list before its words.

        The turn is kept as soon as its list is known, and nothing is held while a reply is read: whoever
        stops reading, or reads slowly, keeps nobody waiting.
        """

        def begun_and_kept() -> tuple[Begun, Reply, Iterator[Recommendation]]:
            begun = self.begin(session_id, text, asker)
            request = begun.step.request
            if begun.step.question != "list" or request is None:
                return begun, self.end(begun), iter(())
            steps = self.recommender.recommend_in_steps(request)
            return begun, self.end(begun, next(steps)), steps

        with self._locks.of(session_id) as lock, lock:
            begun, reply, later = at_most_twice(begun_and_kept)
        yield reply
        told = reply
        for answer in later:
            told = self.chat.finish(begun.step, answer)
            yield told
        if told is not reply:
            with self._locks.of(session_id) as lock, lock:
                self.retell(session_id, told)

    def replay(self, session_id: str, texts: Sequence[str], asker: Asker | None = None) -> None:
        """Say the turns of a conversation that happened elsewhere, so that the next one finds their state.

        Nothing of them is kept but the session: what they say of items was said then, of lists that may have
        been others, and counts once, however often such a history is sent.
        """
        with self._locks.of(session_id) as lock, lock:
            for text in replayed(texts):
                begun = self.begin(session_id, text, asker)
                request = begun.step.request
                listed = begun.step.question == "list" and request is not None
                answer = next(self.recommender.recommend_in_steps(request)) if listed and request else None
                self.end(begun, answer, replays=True)

    def begin(self, session_id: str, text: str, asker: Asker | None = None) -> Begun:
        asker = asker or Asker()
        session = self.session(session_id, asker.user_id, asker.client)
        asker = replace(asker, user_id=asker.user_id or session.user_id)
        step = self.chat.plan(ChatState.from_dict(session.state), text, asker)
        return Begun(session=session, text=step.turn.text, step=step)

    def end(self, begun: Begun, answer: Recommendation | None = None, *, replays: bool = False) -> Reply:
        """Make the reply, and keep session, impression and what was said of items.

        Args:
            replays: the turn was said elsewhere before: only the session is kept.
        """
        reply = self.chat.finish(begun.step, answer)
        session = begun.session
        before = ChatState.from_dict(session.state)
        turn = {"text": begun.text, "reply": reply.text, "kind": reply.kind, "time": time.time()}
        shown = [Impression.of(answer, session.id)] if answer is not None and answer.items else []
        said: list[StoredEvent] = []
        if replays:
            shown = []
        elif any(act.kind == "undo" for act in begun.step.turn.acts):
            said = self._went_back(session, before, reply.state)
        else:
            said = self._said(session, before, reply.state)
        if shown:
            turn["request_id"] = shown[0].request_id
        turns = (*session.turns, turn)[-MAX_TURNS:]
        kept = replace(session, state=reply.state.to_dict(), turns=turns)
        self.store.save_session(kept, shown=shown, said=said)
        return reply

    def retell(self, session_id: str, reply: Reply) -> None:
        """Keep the words of a reply whose list was kept before them, where its turn still stands.

        The turn counts already: where others keep changing the session its words are let go.
        """
        told = None if reply.recommendation is None else reply.recommendation.request.request_id

        def kept() -> None:
            session = self.store.session(session_id)
            if session is None or told is None:
                return
            turns = tuple(
                {**one, "reply": reply.text} if one.get("request_id") == told else one
                for one in session.turns
            )
            if turns != session.turns:
                self.store.save_session(replace(session, turns=turns))

        with suppress(SessionConflictError):
            at_most_twice(kept)

    def _said(self, session: StoredSession, before: ChatState, after: ChatState) -> list[StoredEvent]:
        """What the turn said of items, as events of the list that they were shown in."""
        shown = next((one["request_id"] for one in reversed(session.turns) if "request_id" in one), None)
        return [
            _stored(session, one, shown if one.item in before.shown else None)
            for one in after.events
            if one not in before.events
        ]

    def _went_back(self, session: StoredSession, before: ChatState, after: ChatState) -> list[StoredEvent]:
        """What no longer counts, taken back, and then what of the same items counts again, as it was told.

        What was never told here, but in a history or an edit, is not told now either.
        """
        if before.events == after.events:
            return []
        gone = dict.fromkeys(one.item for one in before.events if one not in after.events)
        told = {_event(one): one for one in self.store.events(session_id=session.id)}
        now = time.time()
        taken = [_stored(session, Event(name=TAKEN_BACK, item=one, time=now)) for one in gone]
        again = [one for one in after.events if one.item in gone or one not in before.events]
        return taken + [replace(told[one], id=uuid.uuid4().hex) for one in again if one in told]

    def feedback(self, events: Sequence[StoredEvent]) -> Counted:
        """Keep events and let those of a session count in its next answer.

        An event without user or session takes those of its impression.

        Raises:
            DataError: there is no such item. RequestError: the session is another user's, or the event has a
                reserved name.
        """
        whole = self.joined(events)
        with ExitStack() as stack:
            for session_id in sessions_of(whole):
                stack.enter_context(stack.enter_context(self._locks.of(session_id)))
            return self.keep_events(events, whole)

    def keep_events(
        self, events: Sequence[StoredEvent], whole: Sequence[StoredEvent], client: str | None = None
    ) -> Counted:
        """``feedback`` with events of which ``joined`` made ``whole``."""
        for one in whole:
            if one.session_id is not None:
                self.session(one.session_id, one.user_id, client)
        lost = [
            one.id
            for one, had in zip(whole, events, strict=True)
            if one.request_id is None and had.request_id is not None
        ]
        new = at_most_twice(lambda: self.store.add_events(whole, self._noted(whole, client)))
        return Counted(new=tuple(new), unjoined=tuple(lost))

    def _noted(self, events: Sequence[StoredEvent], client: str | None) -> list[StoredSession]:
        """The sessions of events with those that were not sent before, each once."""
        known = self.store.known_events(events)
        by_session: dict[str, dict[str, StoredEvent]] = {}
        for one in events:
            if one.session_id is not None and one.key not in known:
                by_session.setdefault(one.session_id, {}).setdefault(one.key, one)
        return [self._with(name, list(told.values()), client) for name, told in by_session.items()]

    def _with(self, session_id: str, events: Sequence[StoredEvent], client: str | None) -> StoredSession:
        """A session in which events count."""
        users = [one.user_id for one in events if one.user_id is not None]
        session = self.session(session_id, users[-1] if users else None, client)
        state = ChatState.from_dict(session.state)
        domain = load_domain(self.recommender.settings.domain)
        state = state.noting([_event(one) for one in events], domain).remembering(state)
        return replace(session, state=state.to_dict())

    def known_as(self, said: Said, user_id: str | None, client: str | None = None) -> str | None:
        """A new session that goes on from where exactly this was said; None where nothing was.

        For clients that send all that was said and no session id. What was said is never gone on with
        itself: two people who have said the same so far, or one who takes a turn again, go ways of their own.
        """
        found = self.store.alias(_fingerprint(user_id, said, client))
        session = None if found is None else self.store.session(found)
        if session is None:
            return None
        fork = replace(session, id=new_session_id(), created=time.time(), client=client, version=0)
        self.store.save_session(fork)
        return fork.id

    def remember(self, said: Said, session_id: str, user_id: str | None, client: str | None = None) -> None:
        """Let a session be found again by what was said in it, the last reply included."""
        self.store.set_alias(_fingerprint(user_id, said, client), session_id, user_id)

    def joined(self, events: Sequence[StoredEvent], client: str | None = None) -> list[StoredEvent]:
        """The events with the ids of their items, and user and session of the list they were shown in.

        Lists are not kept for ever: an event of one that is gone stays, without it. That of somebody else's
        list is told the same.
        """
        return [self._joined(one, client) for one in events]

    def _joined(self, one: StoredEvent, client: str | None) -> StoredEvent:
        _refuse_reserved(one.event)
        one = replace(one, client=client)
        item = self.recommender.item_id(one.item_id)
        shown = None if one.request_id is None else self.store.impression(one.request_id)
        if shown is None or not self._may_see(shown.session_id, client):
            return replace(one, item_id=item, request_id=None)
        return replace(
            one,
            item_id=item,
            user_id=one.user_id or shown.user_id,
            session_id=one.session_id or shown.session_id,
        )

    def _may_see(self, session_id: str | None, client: str | None) -> bool:
        session = None if session_id is None or client is None else self.store.session(session_id)
        return session is None or session.client in (None, client)

    def request(self, session: StoredSession, asker: Asker) -> Request:
        """What a session's present state asks for."""
        state = self.chat.known(ChatState.from_dict(session.state))
        text = " ".join(state.wishes)
        language = detect_language(text) if asker.language == "auto" else asker.language
        return self.chat.request(state, asker, language)

    def known_session(
        self, session_id: str, user_id: str | None = None, client: str | None = None
    ) -> StoredSession:
        """The session with this id.

        Raises:
            UnknownSessionError: there is none, or it is another client's. RequestError: it is another user's.
        """
        _check_id(session_id)
        found = self.store.session(session_id)
        if found is None or (client is not None and found.client not in (None, client)):
            raise _unknown(session_id, "a conversation's first turn begins one")
        return self.session(session_id, user_id, client)

    def show(self, session: StoredSession, answer: Recommendation) -> None:
        """Note that this list is the one last shown in a session."""
        state = replace(
            ChatState.from_dict(session.state), shown=tuple(item.id for item in answer), focus=None
        )
        turn = {"kind": "list", "request_id": answer.request.request_id, "time": time.time()}
        turns = (*session.turns, turn)[-MAX_TURNS:]
        kept = replace(session, state=state.to_dict(), turns=turns)
        self.store.save_session(kept, shown=[Impression.of(answer, session.id)])

    def edit(self, session_id: str, changes: Mapping[str, Any], client: str | None = None) -> StoredSession:
        """Set parts of a session's state, as ``ChatState.from_dict`` reads them.

        Raises:
            UnknownSessionError: there is no such session.
            RequestError: a part cannot be set, or holds what it cannot.
        """
        return at_most_twice(lambda: self._edited(self.known_session(session_id, client=client), changes))

    def _edited(self, found: StoredSession, changes: Mapping[str, Any]) -> StoredSession:
        if unknown := [name for name in changes if name not in EDITABLE]:
            raise RequestError(f"{unknown[0]!r} of a session cannot be set; {', '.join(EDITABLE)} can")
        before = self.chat.known(ChatState.from_dict(found.state))
        if "context" in changes:
            changes = {**changes, "context": as_context(changes["context"] or {}).as_mapping()}
        state = ChatState.from_dict({**before.to_dict(), **changes}).remembering(before)
        state = replace(state, doubt=_left_open(before.doubt, changes))
        for one in state.events if "events" in changes else ():
            _refuse_reserved(one.name)
        # A condition on a column that the catalogue lacks is refused now, not in the next turn.
        parse_filters(map(format_filter, state.filters), self.recommender.dataset.items.schema)
        named = [replace(one, item=self.recommender.item_id(one.item)) for one in state.events]
        state = replace(state, events=tuple(named))
        # Whatever else no turn could be answered with.
        self.chat.request(state, Asker(user_id=found.user_id))
        still = replace(state, events=tuple(one for one in state.events if one in before.events))
        said = self._went_back(found, before, still)
        return self.store.save_session(replace(found, state=state.to_dict()), said=said)


def _stored(session: StoredSession, one: Event, request_id: str | None = None) -> StoredEvent:
    return StoredEvent(
        id=uuid.uuid4().hex,
        item_id=one.item,
        event=one.name,
        time=one.time,
        user_id=session.user_id,
        session_id=session.id,
        request_id=request_id,
    )


def _event(one: StoredEvent) -> Event:
    return Event(name=one.event, item=one.item_id, time=one.time)


def _refuse_reserved(name: str) -> None:
    if "_".join(name.casefold().replace("-", " ").replace("_", " ").split()) == TAKEN_BACK:
        raise RequestError(
            f"the event {name!r} is the service's own", hint="undo a turn, or edit the session's events"
        )


def _left_open(doubt: Doubt | None, changes: Mapping[str, Any]) -> Doubt | None:
    """What of a doubt is still to be settled once somebody has set these parts of the state."""
    if doubt is None:
        return None
    left = doubt.to_dict()
    for name in changes:
        left |= {key: None for key in (name, f"ends_{name}") if key in left}
    open_ = any(left[f"ends_{name}"] for name in ("filters", "exclude", "context"))
    return Doubt.from_dict(left) if open_ else None


def sessions_of(events: Sequence[StoredEvent]) -> list[str]:
    """The sessions that events belong to, in the order in which they are locked."""
    return sorted({one.session_id for one in events if one.session_id is not None})


def new_session_id() -> str:
    return uuid.uuid4().hex[:16]


def at_most_twice(work: Callable[[], Value]) -> Value:
    """Do it, and once more where a session was changed meanwhile."""
    try:
        return work()
    except SessionConflictError:
        return work()


def replayed(texts: Sequence[str]) -> list[str]:
    """Of the turns of a history the latest that can be said again: pictures alone, or a page, cannot."""
    said = [one for one in texts if one.strip() and len(one) <= MAX_TURN_CHARS]
    return said[-MAX_REPLAYED:]


def _unknown(session_id: str, hint: str) -> UnknownSessionError:
    return UnknownSessionError(f"there is no session {session_id[:80]!r}", hint=hint)


def _fingerprint(user_id: str | None, said: Said, client: str | None) -> str:
    whole = [user_id, *said] if client is None else [user_id, {"client": client}, *said]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:32]


def _check_id(session_id: str) -> None:
    if not isinstance(session_id, str) or not session_id.strip() or len(session_id) > 200:
        raise RequestError(
            f"the session id is {str(session_id)[:40]!r}; a text of 1 to 200 characters is wanted"
        )
