"""What is stored: sessions, impressions and events as values, and the tables that they are rows of."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from tastemaker.answers import Recommendation
from tastemaker.errors import RequestError
from tastemaker.types import freeze

MAX_ID = 200

SCHEMA = MetaData()
SESSIONS = Table(
    "sessions",
    SCHEMA,
    Column("id", String(MAX_ID), primary_key=True),
    Column("user_id", String(MAX_ID), index=True),
    # Columns that earlier versions lack are added to their databases, so they need a default or none.
    Column("client", String(MAX_ID)),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("state", Text, nullable=False),
    Column("turns", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("touched", Float, nullable=False, index=True),
)
ALIASES = Table(
    "aliases",
    SCHEMA,
    Column("name", String(MAX_ID), primary_key=True),
    Column("session_id", String(MAX_ID), nullable=False, index=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("touched", Float, nullable=False, index=True),
)
IMPRESSIONS = Table(
    "impressions",
    SCHEMA,
    Column("request_id", String(MAX_ID), primary_key=True),
    Column("session_id", String(MAX_ID), index=True),
    Column("user_id", String(MAX_ID), index=True),
    Column("items", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("time", Float, nullable=False),
)
EVENTS = Table(
    "events",
    SCHEMA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    # The sender's id, or where ``told_id`` holds that, a key made of it and the client.
    Column("id", String(MAX_ID), unique=True, nullable=False),
    Column("told_id", String(MAX_ID)),
    Column("client", String(MAX_ID)),
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

    ``request_id``: of the impression that the item was shown in. ``value``: a rating. ``client``: name of the
    API key by which it came; ids of two clients have nothing to do with each other.
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
    client: str | None = None

    @property
    def key(self) -> str:
        """What no other event has."""
        if self.client is None:
            return self.id
        return hashlib.sha256(json.dumps([self.client, self.id]).encode()).hexdigest()

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
    """A conversation: its state as ``ChatState.to_dict`` gives it, and the latest turns with replies.

    ``client``: who alone may read and change it, by API key; None: whoever knows its id. ``version``: how
    often it has been saved; 0: not stored.
    """

    id: str
    user_id: str | None
    state: Mapping[str, Any]
    turns: tuple[Mapping[str, Any], ...] = ()
    created: float = 0.0
    touched: float = 0.0
    client: str | None = None
    version: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user_id": self.user_id,
            "state": {name: value for name, value in self.state.items() if name != "past"},
            "turns": [dict(one) for one in self.turns],
            "created": self.created,
            "touched": self.touched,
        }


EVENT_COLUMNS = ("id", "request_id", "session_id", "user_id", "item_id", "event", "value", "time")


def session_of(row: Mapping[Any, Any]) -> StoredSession:
    return StoredSession(
        id=row["id"],
        user_id=row["user_id"],
        state=json.loads(row["state"]),
        turns=tuple(json.loads(row["turns"])),
        created=row["created"],
        touched=row["touched"],
        client=row["client"],
        version=row["version"],
    )


def event_of(row: Mapping[Any, Any]) -> StoredEvent:
    told = {**row, "id": row["told_id"] or row["id"]}
    del told["told_id"]
    return StoredEvent(**told)


def event_row(one: StoredEvent) -> dict[str, Any]:
    told_id = None if one.client is None else one.id
    row = {name: getattr(one, name) for name in EVENT_COLUMNS}
    return {**row, "id": one.key, "told_id": told_id, "client": one.client}


def impression_of(row: Mapping[Any, Any]) -> Impression:
    return Impression(
        request_id=row["request_id"],
        session_id=row["session_id"],
        user_id=row["user_id"],
        items=tuple(json.loads(row["items"])),
        context=json.loads(row["context"]),
        wish=row["wish"],
        time=row["time"],
    )


def impression_row(one: Impression) -> dict[str, Any]:
    return {
        "request_id": one.request_id,
        "session_id": one.session_id,
        "user_id": one.user_id,
        "items": json.dumps(list(one.items)),
        "context": json.dumps(dict(one.context), ensure_ascii=False),
        "wish": one.wish,
        "time": one.time,
    }
