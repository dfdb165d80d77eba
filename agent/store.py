"""What outlives a process: sessions, impressions and events, in SQLite or any database SQLAlchemy speaks to.

Events are only ever added, and only a deleted user or conversation takes any away. Each is on the disk before
``add_events`` returns (SQLite runs with a write-ahead log and ``synchronous=FULL``), so what was acknowledged
survives a ``kill -9``. Sessions are bounded in number and length, and so are the lists that nobody has said
anything of: a list with an event is kept as long as the event. Several processes may share one store: whoever
saves a session that another has changed meanwhile is told so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    create_engine,
    delete,
    event,
    exists,
    func,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from tastemaker.agent.stored import (
    ALIASES,
    EVENT_COLUMNS,
    EVENTS,
    IMPRESSIONS,
    SCHEMA,
    SESSIONS,
    Impression,
    StoredEvent,
    StoredSession,
    event_of,
    event_row,
    impression_of,
    impression_row,
    session_of,
)
from tastemaker.errors import ConfigError, RequestError, StorageError

__all__ = [
    "MAX_TURNS",
    "TAKEN_BACK",
    "Impression",
    "SessionConflictError",
    "Store",
    "StoredEvent",
    "StoredSession",
]

MAX_SESSIONS_PER_USER = 50
MAX_SESSIONS = 10_000
"""Of all users together; those not touched the longest are forgotten first."""

TAKEN_BACK = "taken_back"
"""The event of an item about which somebody took back what was said: events are only ever added."""

MAX_TURNS = 50
"""Turns of a session whose texts are kept."""

MAX_LISTS_PER_USER = 1_000
MAX_LISTS_OF_NOBODY = 10_000
"""Lists that no event names: of one user, and of nobody (without user, and without a session that stands)."""

MAX_LIST_AGE = 30 * 86_400.0
"""Seconds after which a list of nobody that no event names is forgotten."""

TIDY_EVERY = 100
"""Lists between two looks for too many of nobody's: each reads all of them."""


class SessionConflictError(StorageError):
    """A session that was read here and has been changed or deleted elsewhere since."""


class Store:
    """Sessions, impressions and events behind one database URL. Safe to share between threads.

    Raises:
        StorageError: from any method, when the database cannot be opened, read or written.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with _storage_errors(url):
            self._engine = _engine(url)
            if self._engine.dialect.name == "sqlite":
                _tune_sqlite(self._engine)
            SCHEMA.create_all(self._engine)
            _add_missing_columns(self._engine)
        # The first list is followed by a look: a command may add only one.
        self._untidied = TIDY_EVERY

    @classmethod
    def at(cls, path: Path) -> Store:
        """The SQLite file of a workspace; made where there is none."""
        return cls(f"sqlite:///{path}")

    def close(self) -> None:
        self._engine.dispose()

    # Sessions

    def session(self, session_id: str) -> StoredSession | None:
        with self._reading() as connection:
            row = connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id)).mappings().first()
        return None if row is None else session_of(row)

    def sessions_of(self, user_id: str) -> list[StoredSession]:
        """The latest first."""
        wanted = select(SESSIONS).where(SESSIONS.c.user_id == user_id).order_by(SESSIONS.c.touched.desc())
        with self._reading() as connection:
            return [session_of(row) for row in connection.execute(wanted).mappings()]

    def save_session(
        self,
        session: StoredSession,
        *,
        shown: Sequence[Impression] = (),
        said: Sequence[StoredEvent] = (),
    ) -> StoredSession:
        """Keep a session with the lists and events of its turn, all of it or nothing; as it is stored now.

        The oldest sessions beyond the bounds are forgotten.

        Raises:
            SessionConflictError: it is no longer what it was when it was read.
        """
        with self._writing() as connection:
            kept = self._keep(connection, session)
            self._add_shown(connection, shown)
            self._add_new(connection, said)
        return kept

    def _keep(self, connection: Connection, session: StoredSession) -> StoredSession:
        now = time.time()
        session = replace(session, created=session.created or now, touched=now)
        if session.user_id is not None:
            self._claim(connection, session.id, session.user_id)
        kept = self._put(connection, session)
        if session.user_id is not None:
            self._forget_beyond(connection, MAX_SESSIONS_PER_USER, session.user_id)
        self._forget_beyond(connection, MAX_SESSIONS, None)
        return kept

    @staticmethod
    def _put(connection: Connection, session: StoredSession) -> StoredSession:
        """Write a session over the version that it was made from, which may be none."""
        kept = replace(session, version=session.version + 1)
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "client": session.client,
            "version": kept.version,
            "state": json.dumps(dict(session.state), ensure_ascii=False),
            "turns": json.dumps([dict(one) for one in session.turns[-MAX_TURNS:]], ensure_ascii=False),
            "created": session.created,
            "touched": session.touched,
        }
        try:
            if session.version == 0:
                connection.execute(SESSIONS.insert().values(row))
                return kept
            same = (SESSIONS.c.id == session.id) & (SESSIONS.c.version == session.version)
            if connection.execute(update(SESSIONS).where(same).values(row)).rowcount == 1:
                return kept
        except IntegrityError as error:
            raise _conflict(session.id) from error
        raise _conflict(session.id)

    @staticmethod
    def _claim(connection: Connection, session_id: str, user_id: str) -> None:
        """What was shown and said in a session before its user was known is that user's."""
        before = connection.execute(select(SESSIONS.c.user_id).where(SESSIONS.c.id == session_id)).first()
        if before is None or before.user_id is not None:
            return
        for table in (ALIASES, IMPRESSIONS, EVENTS):
            mine = (table.c.session_id == session_id) & table.c.user_id.is_(None)
            connection.execute(update(table).where(mine).values(user_id=user_id))

    @staticmethod
    def _forget_beyond(connection: Connection, most: int, user_id: str | None) -> None:
        wanted = select(SESSIONS.c.id).order_by(SESSIONS.c.touched.desc()).offset(most).limit(1_000)
        if user_id is not None:
            wanted = wanted.where(SESSIONS.c.user_id == user_id)
        old = list(connection.execute(wanted).scalars())
        if old:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.id.in_(old)))
            connection.execute(delete(ALIASES).where(ALIASES.c.session_id.in_(old)))

    def alias(self, name: str) -> str | None:
        """The id of the session that has this other name."""
        with self._reading() as connection:
            return connection.execute(select(ALIASES.c.session_id).where(ALIASES.c.name == name)).scalar()

    def set_alias(self, name: str, session_id: str, user_id: str | None) -> None:
        """Give a session another name, if it still stands; the oldest of too many are forgotten."""
        row = {"name": name, "session_id": session_id, "user_id": user_id, "touched": time.time()}
        with self._writing() as connection:
            if connection.execute(select(SESSIONS.c.id).where(SESSIONS.c.id == session_id)).first() is None:
                return
            connection.execute(delete(ALIASES).where(ALIASES.c.name == name))
            connection.execute(ALIASES.insert().values(row))
            wanted = select(ALIASES.c.name).order_by(ALIASES.c.touched.desc()).offset(MAX_SESSIONS)
            old = list(connection.execute(wanted.limit(1_000)).scalars())
            if old:
                connection.execute(delete(ALIASES).where(ALIASES.c.name.in_(old)))

    def delete_session(self, session_id: str) -> bool:
        """Delete a conversation and what was shown and said in it; whether there was one."""
        with self._writing() as connection:
            for table in (ALIASES, IMPRESSIONS, EVENTS):
                connection.execute(delete(table).where(table.c.session_id == session_id))
            gone = connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id)).rowcount > 0
        self._wipe("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def _wipe(self, *statements: str) -> None:
        """SQLite: make what was deleted unreadable in the files too."""
        if self._engine.dialect.name == "sqlite":
            with _storage_errors(self.url), self._engine.connect() as connection:
                raw = connection.execution_options(isolation_level="AUTOCOMMIT")
                for statement in statements:
                    raw.exec_driver_sql(statement)

    # Impressions and events

    def add_impressions(self, impressions: Sequence[Impression]) -> None:
        """Keep lists; the oldest of too many that no event names are forgotten."""
        if impressions:
            with self._writing() as connection:
                self._add_shown(connection, impressions)

    def _add_shown(self, connection: Connection, shown: Sequence[Impression]) -> None:
        if not shown:
            return
        connection.execute(IMPRESSIONS.insert(), [impression_row(one) for one in shown])
        for user in {one.user_id for one in shown if one.user_id is not None}:
            self._forget_lists(connection, IMPRESSIONS.c.user_id == user, MAX_LISTS_PER_USER)
        for session in {one.session_id for one in shown if one.user_id is None}:
            if session is not None:
                self._forget_lists(connection, IMPRESSIONS.c.session_id == session, MAX_TURNS)
        self._untidied += len(shown)
        if self._untidied >= TIDY_EVERY:
            self._untidied = 0
            stands = exists().where(SESSIONS.c.id == IMPRESSIONS.c.session_id)
            nobodys = IMPRESSIONS.c.user_id.is_(None) & ~stands
            old = IMPRESSIONS.c.time < time.time() - MAX_LIST_AGE
            self._forget_lists(connection, nobodys & old, 0)
            self._forget_lists(connection, nobodys, MAX_LISTS_OF_NOBODY)

    @staticmethod
    def _forget_lists(connection: Connection, which: ColumnElement[bool], most: int) -> None:
        """Of these lists that no event names, forget all but the latest."""
        named = exists().where(EVENTS.c.request_id == IMPRESSIONS.c.request_id)
        wanted = select(IMPRESSIONS.c.request_id).where(which & ~named)
        old = wanted.order_by(IMPRESSIONS.c.time.desc()).offset(most).limit(1_000)
        gone = list(connection.execute(old).scalars())
        if gone:
            connection.execute(delete(IMPRESSIONS).where(IMPRESSIONS.c.request_id.in_(gone)))

    def impression(self, request_id: str) -> Impression | None:
        with self._reading() as connection:
            wanted = select(IMPRESSIONS).where(IMPRESSIONS.c.request_id == request_id)
            row = connection.execute(wanted).mappings().first()
        return None if row is None else impression_of(row)

    def impressions(self) -> list[Impression]:
        """All, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(select(IMPRESSIONS).order_by(IMPRESSIONS.c.time)).mappings()
            return [impression_of(row) for row in rows]

    def add_events(self, events: Sequence[StoredEvent], sessions: Sequence[StoredSession] = ()) -> list[bool]:
        """Keep events; for each whether it is new. One with an id that its client
        has used is the same event sent again.

        Args:
            sessions: in which they count; kept with them, all of it or nothing.

        Raises:
            SessionConflictError: a session is no longer what it was when it was read.
        """
        new: dict[str, StoredEvent] = {}
        first: list[bool] = []
        for one in events:
            first.append(one.key not in new)
            new.setdefault(one.key, one)
        try:
            known = self._add_all(list(new.values()), sessions)
        except StorageError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            # Another process has added one of them in between.
            known = self._add_all(list(new.values()), sessions)
        return [is_first and one.key not in known for one, is_first in zip(events, first, strict=True)]

    def _add_all(self, events: Sequence[StoredEvent], sessions: Sequence[StoredSession]) -> set[str]:
        with self._writing() as connection:
            known = self._add_new(connection, events)
            for session in sessions:
                self._keep(connection, session)
        return known

    def known_events(self, events: Sequence[StoredEvent]) -> set[str]:
        """The keys of those that were sent before."""
        with self._reading() as connection:
            return self._known(connection, events)

    @staticmethod
    def _known(connection: Connection, events: Sequence[StoredEvent]) -> set[str]:
        wanted = select(EVENTS.c.id).where(EVENTS.c.id.in_([one.key for one in events]))
        return set(connection.execute(wanted).scalars())

    def _add_new(self, connection: Connection, events: Sequence[StoredEvent]) -> set[str]:
        """Add those that are not there; the keys of those that are."""
        if not events:
            return set()
        known = self._known(connection, events)
        rows = [event_row(one) for one in events if one.key not in known]
        if rows:
            connection.execute(EVENTS.insert(), rows)
        return known

    def events(
        self, *, after: int = 0, user_id: str | None = None, session_id: str | None = None
    ) -> list[StoredEvent]:
        """Events with a number above ``after``, in the order in which they came."""
        wanted = select(EVENTS).where(EVENTS.c.number > after).order_by(EVENTS.c.number)
        if user_id is not None:
            wanted = wanted.where(EVENTS.c.user_id == user_id)
        if session_id is not None:
            wanted = wanted.where(EVENTS.c.session_id == session_id)
        with self._reading() as connection:
            return [event_of(row) for row in connection.execute(wanted).mappings()]

    # A person's data

    def export_user(self, user_id: str) -> dict[str, Any]:
        """Everything that is stored about a user, as plain values."""
        shown = select(IMPRESSIONS).where(IMPRESSIONS.c.user_id == user_id).order_by(IMPRESSIONS.c.time)
        with self._reading() as connection:
            impressions = [impression_of(row) for row in connection.execute(shown).mappings()]
        return {
            "user_id": user_id,
            "sessions": [one.to_dict() for one in self.sessions_of(user_id)],
            "impressions": [
                {
                    "request_id": one.request_id,
                    "session_id": one.session_id,
                    "items": list(one.items),
                    "context": dict(one.context),
                    "wish": one.wish,
                    "time": one.time,
                }
                for one in impressions
            ],
            "events": [
                {name: getattr(one, name) for name in EVENT_COLUMNS} for one in self.events(user_id=user_id)
            ],
        }

    def delete_user(self, user_id: str) -> dict[str, int]:
        """Delete everything about a user, also on the disk; how many rows of each table that were."""
        gone = {}
        with self._writing() as connection:
            for table in (SESSIONS, ALIASES, IMPRESSIONS, EVENTS):
                gone[table.name] = connection.execute(
                    delete(table).where(table.c.user_id == user_id)
                ).rowcount
        # Deleted rows would stay readable in free pages and in the log.
        self._wipe("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def counts(self) -> dict[str, int]:
        with self._reading() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar() or 0
                for table in (SESSIONS, IMPRESSIONS, EVENTS)
            }

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _storage_errors(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _storage_errors(self.url), self._engine.begin() as connection:
            yield connection


def _engine(url: str) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{url.partition(':')[0]} needs the package {error.name}", hint=f"pip install {error.name}"
        ) from error
    except ArgumentError as error:
        raise ConfigError(
            f"the store {url.split('@')[-1]!r} is no database URL", hint="postgresql+psycopg://user@host/name"
        ) from error


def _conflict(session_id: str) -> SessionConflictError:
    return SessionConflictError(
        f"session {session_id[:80]!r} was changed by somebody else meanwhile",
        hint="read it again and say it once more",
    )


def _add_missing_columns(engine: Engine) -> None:
    """Bring a database of an earlier version up to the tables of today; what it holds stays."""
    for table in SCHEMA.sorted_tables:
        known = {one["name"] for one in inspect(engine).get_columns(table.name)}
        for column in table.columns:
            if column.name in known:
                continue
            told = CreateColumn(column).compile(dialect=engine.dialect)
            try:
                with engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {told}"))
            except SQLAlchemyError:
                # Another process that opens the same database has just added it.
                if column.name not in {one["name"] for one in inspect(engine).get_columns(table.name)}:
                    raise


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # In WAL mode NORMAL may lose the last commits when power fails; FULL writes each through.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise RequestError(
            "a text holds half a character (a lone surrogate), which cannot be kept"
        ) from error
    except SQLAlchemyError as error:
        place = url.split("@")[-1]
        told = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError(
            f"the store {place} fails: {told}", hint="is the folder writable, and the disk not full?"
        ) from error
