"""What outlives a process: sessions, impressions and events, in SQLite or any database SQLAlchemy speaks to.

Events are only ever added, and only a deleted user or conversation takes any away. Each is on the disk before
``add_events`` returns (SQLite runs with a write-ahead log and ``synchronous=FULL``), so what was acknowledged
survives a ``kill -9``. Sessions are bounded in number and length.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from tastemaker.answers import Recommendation
from tastemaker.errors import ConfigError, RequestError, StorageError
from tastemaker.types import freeze

MAX_SESSIONS_PER_USER = 50
MAX_SESSIONS = 10_000
"""Of all users together; those not touched the longest are forgotten first."""

TAKEN_BACK = "taken_back"
"""The event of an item about which somebody took back what was said: events are only ever added."""

MAX_TURNS = 50
"""Turns of a session whose texts are kept."""

MAX_ID = 200

_schema = MetaData()
_sessions = Table(
    "sessions",
    _schema,
    Column("id", String(MAX_ID), primary_key=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("state", Text, nullable=False),
    Column("turns", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("touched", Float, nullable=False, index=True),
)
_aliases = Table(
    "aliases",
    _schema,
    Column("name", String(MAX_ID), primary_key=True),
    Column("session_id", String(MAX_ID), nullable=False, index=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("touched", Float, nullable=False, index=True),
)
_impressions = Table(
    "impressions",
    _schema,
    Column("request_id", String(MAX_ID), primary_key=True),
    Column("session_id", String(MAX_ID), index=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("items", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("time", Float, nullable=False),
)
_events = Table(
    "events",
    _schema,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(MAX_ID), unique=True, nullable=False),
    Column("request_id", String(MAX_ID), index=True),
    Column("session_id", String(MAX_ID), index=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("item_id", String(MAX_ID), nullable=False),
    Column("event", String(MAX_ID), nullable=False),
    Column("value", Float),
    Column("time", Float, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """Something that happened to an item. ``number`` counts all of the store, from 1; 0: not stored.

    ``request_id``: of the impression that the item was shown in. ``value``: a rating.
    """

    id: str
    item_id: str
    event: str
    time: float
    user_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    value: float | None = None
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("id", "item_id", "event", "user_id", "session_id", "request_id"):
            text = getattr(self, name)
            if text is None and name in ("user_id", "session_id", "request_id"):
                continue
            if not isinstance(text, str) or not text.strip() or len(text) > MAX_ID:
                raise RequestError(
                    f"{name} is {str(text)[:40]!r}; a text of 1 to {MAX_ID} characters is wanted"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """A list that was shown: ids in order, the situation and the wish it answered."""

    request_id: str
    items: tuple[str, ...]
    time: float
    user_id: str | None = None
    session_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    wish: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))

    @classmethod
    def of(cls, answer: Recommendation, session_id: str | None = None) -> Impression:
        request = answer.request
        return cls(
            request_id=request.request_id,
            items=tuple(item.id for item in answer),
            time=time.time(),
            user_id=request.user_id,
            session_id=session_id,
            context=request.context.as_mapping(),
            wish=request.said,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A conversation: its state as ``ChatState.to_dict`` gives it, and the latest turns with replies."""

    id: str
    user_id: str | None
    state: Mapping[str, Any]
    turns: tuple[Mapping[str, Any], ...] = ()
    created: float = 0.0
    touched: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user_id": self.user_id,
            "state": {name: value for name, value in self.state.items() if name != "past"},
            "turns": [dict(one) for one in self.turns],
            "created": self.created,
            "touched": self.touched,
        }


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
            _schema.create_all(self._engine)

    @classmethod
    def at(cls, path: Path) -> Store:
        """The SQLite file of a workspace; made where there is none."""
        return cls(f"sqlite:///{path}")

    def close(self) -> None:
        self._engine.dispose()

    # Sessions

    def session(self, session_id: str) -> StoredSession | None:
        with self._reading() as connection:
            row = connection.execute(select(_sessions).where(_sessions.c.id == session_id)).mappings().first()
        return None if row is None else _session(row)

    def sessions_of(self, user_id: str) -> list[StoredSession]:
        """The latest first."""
        wanted = select(_sessions).where(_sessions.c.user_id == user_id).order_by(_sessions.c.touched.desc())
        with self._reading() as connection:
            return [_session(row) for row in connection.execute(wanted).mappings()]

    def save_session(self, session: StoredSession) -> None:
        """Keep a session, and forget the oldest ones beyond the bounds."""
        now = time.time()
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "state": json.dumps(dict(session.state), ensure_ascii=False),
            "turns": json.dumps([dict(one) for one in session.turns[-MAX_TURNS:]], ensure_ascii=False),
            "created": session.created or now,
            "touched": now,
        }
        with self._writing() as connection:
            if session.user_id is not None:
                self._claim(connection, session.id, session.user_id)
            connection.execute(delete(_sessions).where(_sessions.c.id == session.id))
            connection.execute(_sessions.insert().values(row))
            if session.user_id is not None:
                self._forget_beyond(connection, MAX_SESSIONS_PER_USER, session.user_id)
            self._forget_beyond(connection, MAX_SESSIONS, None)

    @staticmethod
    def _claim(connection: Connection, session_id: str, user_id: str) -> None:
        """What was shown and said in a session before its user was known is that user's."""
        before = connection.execute(select(_sessions.c.user_id).where(_sessions.c.id == session_id)).first()
        if before is None or before.user_id is not None:
            return
        for table in (_aliases, _impressions, _events):
            mine = (table.c.session_id == session_id) & table.c.user_id.is_(None)
            connection.execute(update(table).where(mine).values(user_id=user_id))

    @staticmethod
    def _forget_beyond(connection: Connection, most: int, user_id: str | None) -> None:
        wanted = select(_sessions.c.id).order_by(_sessions.c.touched.desc()).offset(most).limit(1_000)
        if user_id is not None:
            wanted = wanted.where(_sessions.c.user_id == user_id)
        old = list(connection.execute(wanted).scalars())
        if old:
            connection.execute(delete(_sessions).where(_sessions.c.id.in_(old)))
            connection.execute(delete(_aliases).where(_aliases.c.session_id.in_(old)))

    def alias(self, name: str) -> str | None:
        """The id of the session that has this other name."""
        with self._reading() as connection:
            return connection.execute(select(_aliases.c.session_id).where(_aliases.c.name == name)).scalar()

    def set_alias(self, name: str, session_id: str, user_id: str | None) -> None:
        """Give a session another name; the oldest of too many are forgotten."""
        row = {"name": name, "session_id": session_id, "user_id": user_id, "touched": time.time()}
        with self._writing() as connection:
            connection.execute(delete(_aliases).where(_aliases.c.name == name))
            connection.execute(_aliases.insert().values(row))
            wanted = select(_aliases.c.name).order_by(_aliases.c.touched.desc()).offset(MAX_SESSIONS)
            old = list(connection.execute(wanted.limit(1_000)).scalars())
            if old:
                connection.execute(delete(_aliases).where(_aliases.c.name.in_(old)))

    def delete_session(self, session_id: str) -> bool:
        """Delete a conversation and what was shown and said in it; whether there was one."""
        with self._writing() as connection:
            for table in (_aliases, _impressions, _events):
                connection.execute(delete(table).where(table.c.session_id == session_id))
            gone = connection.execute(delete(_sessions).where(_sessions.c.id == session_id)).rowcount > 0
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
        rows = [
            {
                "request_id": one.request_id,
                "session_id": one.session_id,
                "user_id": one.user_id,
                "items": json.dumps(list(one.items)),
                "context": json.dumps(dict(one.context), ensure_ascii=False),
                "wish": one.wish,
                "time": one.time,
            }
            for one in impressions
        ]
        if rows:
            with self._writing() as connection:
                connection.execute(_impressions.insert(), rows)

    def impression(self, request_id: str) -> Impression | None:
        with self._reading() as connection:
            wanted = select(_impressions).where(_impressions.c.request_id == request_id)
            row = connection.execute(wanted).mappings().first()
        return None if row is None else _impression(row)

    def impressions(self) -> list[Impression]:
        """All, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(select(_impressions).order_by(_impressions.c.time)).mappings()
            return [_impression(row) for row in rows]

    def add_events(self, events: Sequence[StoredEvent]) -> list[bool]:
        """Keep events; for each whether it is new. One with a known id is the same event sent again."""
        new: dict[str, StoredEvent] = {}
        first = [new.setdefault(one.id, one) is one for one in events]
        try:
            known = self._add_new(list(new.values()))
        except StorageError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            # Another process has added one of them in between.
            known = self._add_new(list(new.values()))
        return [is_first and one.id not in known for one, is_first in zip(events, first, strict=True)]

    def _add_new(self, events: Sequence[StoredEvent]) -> set[str]:
        """Add those that are not there, all of them or none; the ids of those that are."""
        with self._writing() as connection:
            wanted = select(_events.c.id).where(_events.c.id.in_([one.id for one in events]))
            known = set(connection.execute(wanted).scalars())
            rows = [
                {name: getattr(one, name) for name in _EVENT_COLUMNS} for one in events if one.id not in known
            ]
            if rows:
                connection.execute(_events.insert(), rows)
        return known

    def events(self, *, after: int = 0, user_id: str | None = None) -> list[StoredEvent]:
        """Events with a number above ``after``, in the order in which they came."""
        wanted = select(_events).where(_events.c.number > after).order_by(_events.c.number)
        if user_id is not None:
            wanted = wanted.where(_events.c.user_id == user_id)
        with self._reading() as connection:
            return [StoredEvent(**row) for row in connection.execute(wanted).mappings()]

    # A person's data

    def export_user(self, user_id: str) -> dict[str, Any]:
        """Everything that is stored about a user, as plain values."""
        shown = select(_impressions).where(_impressions.c.user_id == user_id).order_by(_impressions.c.time)
        with self._reading() as connection:
            impressions = [_impression(row) for row in connection.execute(shown).mappings()]
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
                {name: getattr(one, name) for name in _EVENT_COLUMNS} for one in self.events(user_id=user_id)
            ],
        }

    def delete_user(self, user_id: str) -> dict[str, int]:
        """Delete everything about a user, also on the disk; how many rows of each table that were."""
        gone = {}
        with self._writing() as connection:
            for table in (_sessions, _aliases, _impressions, _events):
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
                for table in (_sessions, _impressions, _events)
            }

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _storage_errors(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _storage_errors(self.url), self._engine.begin() as connection:
            yield connection


_EVENT_COLUMNS = ("id", "request_id", "session_id", "user_id", "item_id", "event", "value", "time")


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


def _session(row: Mapping[Any, Any]) -> StoredSession:
    return StoredSession(
        id=row["id"],
        user_id=row["user_id"],
        state=json.loads(row["state"]),
        turns=tuple(json.loads(row["turns"])),
        created=row["created"],
        touched=row["touched"],
    )


def _impression(row: Mapping[Any, Any]) -> Impression:
    return Impression(
        request_id=row["request_id"],
        session_id=row["session_id"],
        user_id=row["user_id"],
        items=tuple(json.loads(row["items"])),
        context=json.loads(row["context"]),
        wish=row["wish"],
        time=row["time"],
    )
