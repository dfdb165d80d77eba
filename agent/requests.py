"""From what people hand over (ids, titles, plain mappings) to a ``Request``.

History entries may be ids, titles, or mappings with ``id`` / ``title`` / ``rating`` / ``time`` /
``event``; a title that the catalogue knows gets its id, any other is kept as typed.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.agent.situation_notes import event_notes, situation_notes
from tastemaker.clock import clashes
from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.index.filters import parse_filters
from tastemaker.prompts.domains import Domain, load_domain
from tastemaker.prompts.words import detect_language
from tastemaker.types import (
    MAX_WISH_CHARS,
    Context,
    Filter,
    HistoryEntry,
    Language,
    Request,
    UserHistory,
    by_field,
    finite,
    parse_time,
)
from tastemaker.understanding import Understanding

HistoryLike = Sequence[str | Mapping[str, Any] | HistoryEntry]
ContextLike = Context | Mapping[str, object] | None
LanguageChoice = Literal["auto", "en", "zh"]

MAX_HISTORY = 10_000
FIRST_SECOND, LAST_SECOND = -62_135_596_800.0, 253_402_300_799.0
"""The years 1 to 9999: beyond them a moment has no date."""

_SHOWN = 40
"""Characters of a strange value that a message repeats."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_Entries = tuple[HistoryEntry, ...]
_Notes = tuple[str, ...]


def as_context(context: ContextLike) -> Context:
    return context if isinstance(context, Context) else Context.from_mapping(as_mapping(context))


def as_mapping(context: ContextLike) -> dict[str, object]:
    """The fields of a context by name; RequestError when it is no mapping, or says a field twice."""
    if context is None:
        return {}
    if isinstance(context, Context):
        return dict(context.as_mapping())
    if not isinstance(context, Mapping):
        raise RequestError(f"context is a {type(context).__name__}; a mapping of names to values is wanted")
    return {name: value for name, (_, value) in by_field(context).items()}


def as_language(choice: LanguageChoice, wish: str, context: Context) -> Language:
    """``auto`` goes by the script of the wish and the context's values."""
    if choice in ("en", "zh"):
        return choice
    if choice != "auto":
        raise RequestError(f"language is {choice!r}; one of auto, en, zh is wanted")
    values = [value for key, value in context.as_mapping().items() if key != "time"]
    return detect_language(" ".join([wish, *values]))


def as_wish(wish: object) -> str:
    """The wish on one line; RequestError when it is no text."""
    if not isinstance(wish, str):
        raise RequestError(f"wish is a {type(wish).__name__}; a text is wanted")
    # Half a surrogate pair cannot be tokenised or kept; it stands for nothing. Escape codes move a cursor.
    plain = _CONTROL.sub(" ", wish.encode("utf-8", "ignore").decode("utf-8"))
    return " ".join(plain.split())


def as_history(entries: HistoryLike, dataset: Dataset | None = None) -> UserHistory:
    """Build a history, oldest first, from ids, titles or mappings; see the module's text.

    Raises:
        RequestError: an entry is neither, is empty, has a rating that is no finite number or a time that is
            neither seconds nor ISO 8601; or there are more than 10,000.
    """
    if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Sequence):
        raise RequestError(f"history is a {type(entries).__name__}; a list of ids or titles is wanted")
    if len(entries) > MAX_HISTORY:
        raise RequestError(f"the history has {len(entries):,} entries; at most {MAX_HISTORY:,} are read")
    found = tuple(_entry(entry, dataset) for entry in entries)
    return UserHistory(entries=found, value_range=_value_range(found, dataset))


def _value_range(entries: Sequence[HistoryEntry], dataset: Dataset | None) -> tuple[float, float] | None:
    values = [entry.value for entry in entries if entry.value is not None]
    if not values:
        return None
    known = dataset.value_range if dataset is not None else None
    # Hand-written ratings without a data set behind them: five stars, or ten if one is above five.
    return known or (1.0, 5.0 if max(values) <= 5.0 else 10.0)


def _entry(entry: str | Mapping[str, Any] | HistoryEntry, dataset: Dataset | None) -> HistoryEntry:
    if isinstance(entry, HistoryEntry):
        return entry
    if isinstance(entry, str):
        return _named(_text(entry), _text(entry), dataset)
    if not isinstance(entry, Mapping):
        raise RequestError(f"history entry {entry!r} is neither an id, a title nor a mapping")
    item_id, title = entry.get("id", entry.get("item_id")), entry.get("title", entry.get("text"))
    if item_id is None and title is None:
        raise RequestError(f"history entry {dict(entry)!r} has neither an id nor a title")
    base = _named(_text(item_id), _text(title), dataset)
    return HistoryEntry(
        title=base.title,
        item_id=base.item_id,
        timestamp=_timestamp(entry.get("time", entry.get("timestamp"))),
        event=str(entry.get("event", "interaction")),
        value=_number(entry.get("rating", entry.get("value"))),
    )


def _named(item_id: str | None, title: str | None, dataset: Dataset | None) -> HistoryEntry:
    if not (item_id or "").strip() and not (title or "").strip():
        raise RequestError("a history entry is empty; an id or a title is wanted")
    if dataset is not None:
        if item_id and dataset.has_item(item_id):
            return HistoryEntry(title=dataset.item(item_id).display_title, item_id=item_id)
        # Where people write an id, they also write the title.
        known = next(filter(None, map(dataset.find_title, filter(None, (title, item_id)))), None)
        if known is not None:
            return HistoryEntry(title=dataset.item(known).display_title, item_id=known)
    return HistoryEntry(title=str(title or item_id))


def _text(value: Any) -> str | None:
    return None if value is None else str(value).encode("utf-8", "ignore").decode("utf-8")


def _timestamp(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = parse_time(value)
    if isinstance(value, datetime):
        # As in the data: a time without an offset is UTC, whatever zone this machine stands in.
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return as_seconds(value, "a time")


def as_seconds(value: object, what: str) -> float:
    """Seconds since 1970 as a calendar knows them; RequestError for anything else."""
    seconds = finite(value)
    if seconds is None or not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise RequestError(
            f"{what} is {repr(value)[:_SHOWN]}; finite seconds since 1970 are wanted",
            hint=f"write it like {time.time():.0f}",
        )
    return seconds


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"{str(value)[:40]!r} is no number") from error
    if not math.isfinite(number):
        raise RequestError(f"{value!r} is no finite number")
    return number


def as_ids(ids: Iterable[str], what: str) -> frozenset[str]:
    """A set of item ids; RequestError for a bare string or for ids that are no strings."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise RequestError(f"{what} is a {type(ids).__name__}; a list of item ids is wanted")
    found = list(ids)
    wrong = [one for one in found if not isinstance(one, str)]
    if wrong:
        raise RequestError(f"{what} holds {wrong[0]!r}; ids are strings", hint=f"write {str(wrong[0])!r}")
    return frozenset(found)


def _filters(filters: Sequence[str | Filter], dataset: Dataset) -> tuple[Filter, ...]:
    if isinstance(filters, (str, bytes, Filter, Mapping)) or not isinstance(filters, Iterable):
        raise RequestError(f"filters is a {type(filters).__name__}; a list is wanted")
    expressions = [str(one) for one in filters if not isinstance(one, Filter)]
    parsed = [one for one in filters if isinstance(one, Filter)]
    return (*parsed, *parse_filters(expressions, dataset.items.schema))


def _known_history(dataset: Dataset, user_id: str | None) -> UserHistory:
    if user_id is None:
        return UserHistory()
    if not isinstance(user_id, str):
        raise RequestError(f"user_id is {user_id!r}; ids are strings", hint=f"write {str(user_id)!r}")
    return dataset.history(user_id)


def build_request(
    dataset: Dataset,
    *,
    user_id: str | None = None,
    history: HistoryLike | None = None,
    session: HistoryLike = (),
    wish: str = "",
    context: ContextLike = None,
    k: int = 10,
    filters: Sequence[str | Filter] = (),
    exclude: Iterable[str] = (),
    language: LanguageChoice = "auto",
    domain: str = "generic",
    recogniser: Recogniser | None = None,
    words_read: bool = True,
) -> Request:
    """Build a request for a known user, a typed history, both (typed entries come last), or nobody.

    Args:
        session: what happened since, oldest first, each with its ``event``: what speaks for an item joins the
            history, what speaks against it ("skip", "not_now") rules it out until it is clearly taken back
            ("like"); an event that the domain does not know says nothing, and a note says so.
        domain: says which events speak against an item, and whether what was had may come back.
        recogniser: takes the wish apart into situation, conditions and what remains; None leaves it whole, as
            a conversation does, which has told of clashes with the clock when it took its turn apart.
        words_read: a language model reads the situation; notes say what is not used without one.

    Raises:
        UnknownUserError: ``user_id`` is not in the data.
        DataError: an event of the session names an item that the catalogue lacks.
        FilterError: a filter does not parse.
        RequestError: anything else that cannot be used.
    """
    known = _known_history(dataset, user_id)
    typed = as_history(history, dataset) if history is not None else UserHistory()
    pack = load_domain(domain)
    wanted, rejected, event_remarks = _session(session, dataset, pack)
    given = situation = as_context(context)
    wish = as_wish(wish)
    language = as_language(language, wish, situation)
    conditions = _filters(filters, dataset)
    read = None
    if recogniser is not None and 0 < len(wish) <= MAX_WISH_CHARS:
        read, situation, said = _taken_apart(recogniser, wish, situation, language)
        conditions = (*conditions, *(one for one in said if one not in conditions))
    notes = (
        *event_remarks,
        *(clashes(given) if recogniser is not None else ()),
        *situation_notes(situation, dataset, domain, words_read=words_read),
        *(read.notes if read is not None else ()),
    )
    return Request(
        history=UserHistory(
            user_id=user_id,
            entries=known.entries + typed.entries + wanted,
            value_range=known.value_range or typed.value_range,
        ),
        context=situation,
        wish=wish if read is None else read.wish,
        k=k,
        filters=conditions,
        exclude=as_ids(exclude, "exclude"),
        rejected=rejected,
        repeats=pack.repeats,
        language=language,
        understanding=read,
        notes=notes,
    )


def standing_rejections(events: Sequence[tuple[str, str]], pack: Domain) -> dict[str, int]:
    """By item the place in ``events`` (item, name) of the first event that turned it down and still does.

    A rejection stands until an event lifts it that is clearly for the item (``Domain.takes_back``): that it
    was seen, played or shown again takes nothing back.
    """
    found: dict[str, int] = {}
    for place, (item, name) in enumerate(events):
        if (pack.said(name) or 0.0) < 0:
            found.setdefault(item, place)
        elif pack.takes_back(name):
            found.pop(item, None)
    return found


def _session(events: HistoryLike, dataset: Dataset, pack: Domain) -> tuple[_Entries, _Entries, _Notes]:
    """What the session's events speak for and against, of each item the latest; notes on unknown ones."""
    entries = as_history(events, dataset).entries
    # An event without its item would be ignored silently; this raises and names what is near.
    items = [entry.item_id or dataset.item(entry.title).id for entry in entries]
    told = [(item, entry.event) for item, entry in zip(items, entries, strict=True)]
    out = standing_rejections(told, pack)
    sides: tuple[dict[str, HistoryEntry], dict[str, HistoryEntry]] = {}, {}
    for item, entry in zip(items, entries, strict=True):
        weight = pack.said(entry.event)
        if weight is not None and (weight < 0) == (item in out):
            side = sides[item in out]
            side.pop(item, None)
            side[item] = entry
    return tuple(sides[False].values()), tuple(sides[True].values()), event_notes(told, pack)


def _taken_apart(
    recogniser: Recogniser, wish: str, situation: Context, language: Language
) -> tuple[Understanding | None, Context, tuple[Filter, ...]]:
    """What the wish says, the situation with it, and its conditions; None where nothing was understood."""
    read = recogniser.read(wish, now=situation.time, language=language)
    if not read.passages and not read.notes:
        return None, situation, ()
    whole, notes = read.situation(situation)
    excluded = tuple(one for thing in read.exclude for one in recogniser.fields.exclusion(thing))
    return replace(read, notes=(*read.notes, *notes)), whole, (*read.filters, *excluded)
