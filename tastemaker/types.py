"""The values that every part speaks. All are frozen, slotted, keyword-only and checked when made.

No value knows where it is stored, which model reads it or how it is printed. Ids are strings
everywhere. Mappings handed in are copied and become read-only.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

from tastemaker.errors import RequestError

if TYPE_CHECKING:
    from tastemaker.understanding import Understanding

AttributeValue = str | float | int | tuple[str, ...]
Language = Literal["en", "zh"]
EvidenceKind = Literal["history", "fact", "context", "wish"]
FilterOp = Literal["==", "!=", "<", "<=", ">", ">=", "has", "lacks", "in", "not in"]

MAX_WISH_CHARS = 2_000
"""A longer wish is refused: it would push the history out of any prompt."""

CONTEXT_FIELDS = ("place", "device", "company", "mood", "weather", "activity")
"""Named context fields beside ``time``; every other key is kept in ``Context.extra``."""


def freeze(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only copy of ``mapping``."""
    return MappingProxyType(dict(mapping))


def require_id(value: object, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{what} is {value!r}; a non-empty string is wanted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that can be recommended.

    ``attributes`` holds everything beside title and description: ``year`` (int), ``genres`` (tuple of
    str), ``price`` (float), ``brand`` (str) and so on. Filters and explanations read them by name.
    """

    id: str
    title: str
    description: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_id(self.id, "item id")
        object.__setattr__(self, "attributes", freeze(self.attributes))

    @property
    def year(self) -> int | None:
        value = self.attributes.get("year")
        return int(value) if isinstance(value, (int, float)) else None

    @property
    def genres(self) -> tuple[str, ...]:
        value = self.attributes.get("genres", ())
        return value if isinstance(value, tuple) else (str(value),)

    @property
    def display_title(self) -> str:
        """The title with the year behind it, unless the title says it already: ``Alien (1979)``."""
        if self.year is None or f"({self.year})" in self.title:
            return self.title
        return f"{self.title} ({self.year})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One event between a user and an item.

    ``timestamp`` is in seconds since 1970 (UTC) or None when the data have no clock; ``value`` is a
    rating or a weight, higher is better; ``context`` holds further columns of the event.
    """

    user_id: str
    item_id: str
    timestamp: float | None = None
    event: str = "interaction"
    value: float | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_id(self.user_id, "user id")
        require_id(self.item_id, "item id")
        object.__setattr__(self, "context", freeze(self.context))


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One past item of a user; ``item_id`` is None for a typed title that the catalogue lacks.

    ``context`` holds what the data say of the situation of that event.
    """

    title: str
    item_id: str | None = None
    timestamp: float | None = None
    event: str = "interaction"
    value: float | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserHistory:
    """What is known about a user, oldest entry first. ``value_range`` is the rating scale, if any."""

    user_id: str | None = None
    entries: tuple[HistoryEntry, ...] = ()
    value_range: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[HistoryEntry]:
        return iter(self.entries)

    @property
    def item_ids(self) -> tuple[str, ...]:
        return tuple(entry.item_id for entry in self.entries if entry.item_id is not None)

    def without(self, position: int) -> UserHistory:
        """The same history with the entry at ``position`` (0 = oldest) left out."""
        kept = self.entries[:position] + self.entries[position + 1 :]
        return UserHistory(user_id=self.user_id, entries=kept, value_range=self.value_range)

    def is_liked(self, entry: HistoryEntry) -> bool:
        """True when the rating lies in the upper 40 % of its scale (4 and 5 of 1..5), or none was asked."""
        if entry.value is None or self.value_range is None:
            return True
        low, high = self.value_range
        return entry.value >= low + 0.6 * (high - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The present situation. Any field may be missing; ``extra`` keeps keys that have no field."""

    time: datetime | None = None
    place: str | None = None
    device: str | None = None
    company: str | None = None
    mood: str | None = None
    weather: str | None = None
    activity: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", freeze(self.extra))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Context:
        """Build from ``{"time": ISO text or datetime, "company": "family", "budget": 20, ...}``.

        Names are told apart without case and blanks around them; an empty value is none.

        Raises:
            RequestError: the time is not ISO 8601, a key is empty, no text or stands twice, or a value is
                neither a text nor a finite number.
        """
        named: dict[str, str] = {}
        extra: dict[str, str] = {}
        moment: datetime | None = None
        for name, (key, value) in by_field(values).items():
            if name == "time":
                moment = _as_moment(value)
            elif text := _as_text(key, value):
                (named if name in CONTEXT_FIELDS else extra)[name] = text
        return cls(time=moment, extra=extra, **named)

    def as_mapping(self) -> dict[str, str]:
        """The filled fields as text, in a fixed order: time (ISO 8601), named fields, extra keys."""
        out: dict[str, str] = {}
        if self.time is not None:
            out["time"] = self.time.isoformat()
        for name in CONTEXT_FIELDS:
            value = getattr(self, name)
            if value is not None:
                out[name] = value
        out.update(self.extra)
        return out

    def __bool__(self) -> bool:
        return bool(self.as_mapping())


def field_name(key: object) -> str:
    """The name that a key of a context stands for: ``" Company"`` is ``company``.

    Raises:
        RequestError: it is no text, or an empty one.
    """
    if not isinstance(key, str):
        raise RequestError(
            f"context key {key!r} is a {type(key).__name__}; a text is wanted",
            hint='write it like {"company": "family"}',
        )
    name = " ".join(key.lower().split())
    if not name:
        raise RequestError("a context key is empty; KEY=VALUE is wanted")
    return name


def by_field(values: Mapping[str, object]) -> dict[str, tuple[str, object]]:
    """Key and value by the field's name; RequestError where two keys stand for one field."""
    found: dict[str, tuple[str, object]] = {}
    for key, value in values.items():
        name = field_name(key)
        if name in found:
            raise RequestError(
                f"the context says {name!r} twice, as {found[name][0]!r} and as {key!r}",
                hint="leave one of them out",
            )
        found[name] = key, value
    return found


def _as_text(key: str, value: object) -> str:
    """The value as text; "" for none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if finite(value) is not None:
        return str(value)
    hint = f"for several values write a text: {key[:40]}='kids, friends'" if _is_many(value) else None
    raise RequestError(
        f"context {key[:40]!r} is {repr(value)[:40]}, a {type(value).__name__}; "
        "a text or a finite number is wanted",
        hint=hint,
    )


def finite(value: object) -> float | None:
    """A number, of whichever library, as a float; None for anything else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat) or isinstance(value, str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_many(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping))


def _as_moment(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        return parse_time(value) if value.strip() else None
    raise RequestError(
        f"context time is {repr(value)[:40]}, a {type(value).__name__}; ISO 8601 or a datetime is wanted",
        hint="write it like time=2026-11-28T21:30",
    )


def parse_time(text: str) -> datetime:
    """Parse ISO 8601 (``2026-11-28T21:30``, with or without offset); raise RequestError otherwise."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise RequestError(
            f"context time {text!r} is not ISO 8601", hint="write it like time=2026-11-28T21:30"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A hard condition on items, e.g. ``year >= 1990``. Parsed by ``tastemaker.index.filters``."""

    field: str
    op: FilterOp
    value: str | float | tuple[str, ...]

    def __str__(self) -> str:
        value = ", ".join(self.value) if isinstance(self.value, tuple) else str(self.value)
        return f"{self.field} {self.op} {value}"


def new_request_id() -> str:
    return uuid.uuid4().hex[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to the recommender: who, when and where, what is wished, how many."""

    history: UserHistory = field(default_factory=UserHistory)
    context: Context = field(default_factory=Context)
    wish: str = ""
    k: int = 10
    filters: tuple[Filter, ...] = ()
    exclude: frozenset[str] = frozenset()
    rejected: tuple[HistoryEntry, ...] = ()
    """What was turned down in this session: it never comes back, and speaks against what is like it."""

    repeats: bool = False
    """What the user has had may be recommended again, as songs are."""

    language: Language = "en"
    request_id: str = field(default_factory=new_request_id)
    understanding: Understanding | None = None
    """Where situation, filters and what is left of the wish came from, if a wish was taken apart."""

    notes: tuple[str, ...] = ()
    """What of the question is not used as it was meant, in words for whoever asked."""

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= 1_000:
            raise RequestError(f"k is {self.k!r}; a whole number from 1 to 1000 is wanted")
        if len(self.wish) > MAX_WISH_CHARS:
            raise RequestError(
                f"the wish has {len(self.wish):,} characters; at most {MAX_WISH_CHARS:,} are read"
            )

    @property
    def user_id(self) -> str | None:
        return self.history.user_id

    @property
    def said(self) -> str:
        """The wish as it was said, of which ``wish`` is what no rule understood."""
        return self.wish if self.understanding is None else self.understanding.text

    @property
    def unwanted_ids(self) -> frozenset[str]:
        """Items that must never be returned: what the request rules out, what was turned down, and, unless
        ``repeats``, what the user has had.
        """
        rejected = frozenset(entry.item_id for entry in self.rejected if entry.item_id is not None)
        return self.exclude | rejected | (frozenset() if self.repeats else frozenset(self.history.item_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An item that a retriever proposes. ``score``: higher is better, comparable within one request.

    ``sources`` holds the score that each part of a hybrid gave, by retriever name.
    """

    item: Item
    score: float
    sources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError(f"candidate {self.item.id} has score {self.score}")
        object.__setattr__(self, "sources", freeze(self.sources))


Candidates = tuple[Candidate, ...]
"""Best first, each item once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a language model reads, before its chat template is applied.

    Four uses, told apart by ``choices``, ``answers`` and ``match``:

    - no choices: text is generated after the prompt;
    - choices, no answers: each choice is scored as a continuation of the prompt (labels, titles);
    - choices and answers: each choice is appended to ``user``, and the log-odds of ``answers[0]``
      against ``answers[1]`` as the model's next token is its score. No choice sees another one;
    - choices and match: the model's state at the end of ``user`` is compared with a vector of each choice,
      by a head that was trained with the adapter.
    """

    system: str
    user: str
    choices: tuple[str, ...] = ()
    answers: tuple[str, str] | None = None
    match: bool = False
    template: str = ""

    def __post_init__(self) -> None:
        if (self.answers is not None or self.match) and not self.choices:
            raise ValueError("answers or a match are asked for no choices")
        if self.answers is not None and self.match:
            raise ValueError("a prompt asks for answers or for a match, not for both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate with its place. ``score`` is its share (0..1) of the softmax over the candidates.

    ``llm_score`` is the language model's log-score for it, None when no model was asked.
    """

    rank: int
    candidate: Candidate
    score: float
    llm_score: float | None = None

    @property
    def item(self) -> Item:
        return self.candidate.item


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All candidates of one request, best first, and how the order came about.

    ``llm_share`` (0..1) is the part of the spread of the fused scores that the language model causes.
    ``repairs`` counts what had to be mended in model replies; ``degraded`` names a fallback, or is None.
    """

    items: tuple[Ranked, ...]
    model: str = ""
    adapter: str | None = None
    template: str = ""
    llm_share: float = 0.0
    repairs: int = 0
    degraded: str | None = None

    def __post_init__(self) -> None:
        if [entry.rank for entry in self.items] != list(range(1, len(self.items) + 1)):
            raise ValueError("ranks must count from 1 without gaps")

    def top(self, k: int) -> tuple[Ranked, ...]:
        return self.items[:k]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Something a sentence may rest on.

    ``ref`` is the item id (history), the attribute name (fact), the field name (context) or "wish";
    ``text`` is what may be quoted. ``influence`` is the measured fall of the recommended item's
    log-odds when this piece is taken away, in nats; ``retrieval_influence`` the fall if the retriever alone
    had noticed; ``rank_change`` how many places the item falls (negative: rises). None where nothing was
    measured (facts).
    """

    kind: EvidenceKind
    ref: str
    text: str
    influence: float | None = None
    retrieval_influence: float | None = None
    rank_change: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "ref": self.ref,
            "text": self.text,
            "influence": None if self.influence is None else round(self.influence, 4),
            "retrieval_influence": None
            if self.retrieval_influence is None
            else round(self.retrieval_influence, 4),
            "rank_change": self.rank_change,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an item stands in the list. ``writer`` is "llm" or "template"; ``cut`` counts removed statements.

    ``verified`` is True when every statement of ``text`` passed the verifier. ``fallback`` is True when
    the language model was asked and nothing of its text could be kept.
    """

    text: str
    verified: bool
    evidence: tuple[Evidence, ...] = ()
    writer: Literal["llm", "template"] = "template"
    cut: int = 0
    fallback: bool = False


def ids_of(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    return tuple(candidate.item.id for candidate in candidates)
