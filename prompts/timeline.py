"""A history as a text that goes on: one short line per item, the last line begun and not ended.

::

    2015 - The Matrix | loved
    - Heat
    2 weeks later, 2016 - Alien
    3 days later, with family, Wish: something funny -

What stands before a dash is known before its item is: the year where it changes, the gap where it is a day or
more, the situation where the data tell it, and for the item that is asked for also the wish. The text up to a
dash is therefore what would have been asked at that moment, whatever follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tastemaker.prompts.filling import fill
from tastemaker.prompts.packs import Pack
from tastemaker.prompts.sanitise import FIELD_SEPARATOR, clean_field, clean_text
from tastemaker.prompts.words import context_phrases, describe_event, describe_gap, rating_word
from tastemaker.types import MAX_WISH_CHARS, Context, HistoryEntry, UserHistory

MAX_LINE_TITLE_CHARS = 48
"""About ten tokens. Films have 17 characters on average, shop articles 60, whose first words name them."""

_DAY = 86_400
_YEAR = re.compile(r" \(\d{4}\)$")
_ARTICLE = re.compile(r"^(.+), (The|A|An|Les|La|Le|El|Il|Das|Der|Die|L')$")
_CLOCK_PHRASES = ("time", "weekend", "season")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """``asks[i]``: the number of characters of ``text`` after which entry i is asked for; the last one is
    the end of the text, where the item that comes next is.
    """

    text: str
    asks: tuple[int, ...]


def describe_timeline(
    history: UserHistory, pack: Pack, *, context: Context, wish: str = "", limit: int
) -> Timeline:
    """The last ``limit`` entries and the beginning of the line of the next item.

    Of a rating only the ends of the scale are told (loved, disliked, hated): they are rarer and say more.
    """
    entries = history.entries[-limit:] if limit else ()
    text, asks = "", []
    clock = _Clock(pack)
    for entry in entries:
        then = Context.from_mapping(entry.context) if entry.context else Context()
        known = [clock.tell(entry.timestamp), *_situation(then, "", pack)]
        text += _begin(pack.join(part for part in known if part))
        asks.append(len(text))
        text += f" {_finish(entry, history.value_range, pack)}\n"
    now = None if context.time is None else _seconds(context.time)
    told = [clock.tell(now), *_situation(context, wish, pack)]
    text += _begin(pack.join(part for part in told if part))
    return Timeline(text=text, asks=(*asks, len(text)))


class _Clock:
    """Says of each moment what is new since the one before."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._before: float | None = None
        self._year = ""

    def tell(self, seconds: float | None) -> str:
        """``"2 weeks later, 2016"``; "" where nothing is known or nothing new."""
        if seconds is None:
            return ""
        return self._pack.join(self._news(seconds))

    def _news(self, seconds: float) -> Iterator[str]:
        if self._before is not None and seconds - self._before >= _DAY:
            yield fill(self._pack.gaps.later, gap=describe_gap(seconds - self._before, self._pack))
        year = str(datetime.fromtimestamp(seconds, UTC).year)
        if year != self._year:
            yield year
        self._before, self._year = seconds, year


def _begin(known: str) -> str:
    return f"{known} -" if known else "-"


def _finish(entry: HistoryEntry, value_range: tuple[float, float] | None, pack: Pack) -> str:
    return FIELD_SEPARATOR.join(filter(None, (line_title(entry.title), _verdict(entry, value_range, pack))))


def line_title(title: str) -> str:
    """``"Matrix, The (1999)"`` -> ``"The Matrix"``, cut at a word. A year costs five tokens, a title four."""
    short = _YEAR.sub("", clean_field(title))
    short = _ARTICLE.sub(r"\2 \1", short)
    if len(short) > MAX_LINE_TITLE_CHARS:
        cut = short[: MAX_LINE_TITLE_CHARS + 1].rsplit(" ", 1)[0]
        short = cut[:MAX_LINE_TITLE_CHARS]
    return short or "?"


def _verdict(entry: HistoryEntry, value_range: tuple[float, float] | None, pack: Pack) -> str:
    if entry.value is None or value_range is None:
        return describe_event(entry.event, pack)
    word = rating_word(entry.value, value_range, pack)
    return word if word in (*pack.ratings[:2], pack.ratings[-1]) else ""


def _situation(context: Context, wish: str, pack: Pack) -> Iterator[str]:
    """Phrases of everything but the clock, which the gaps tell, and the wish."""
    for name, phrase in context_phrases(context, pack).items():
        if name not in _CLOCK_PHRASES:
            yield phrase
    if cleaned := clean_text(wish, MAX_WISH_CHARS):
        yield fill(pack.wish_line, value=cleaned)


def _seconds(moment: datetime) -> float:
    """A clock without a zone is taken as UTC."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
