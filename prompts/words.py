"""A situation and a history in words. Knows nothing of tokens or templates.

The season is that of the northern hemisphere, since a request says no latitude: hand over
``context={"season": "summer"}`` and that word is used instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from tastemaker.clock import WEEKDAYS, PartOfDay, Season, facets
from tastemaker.prompts.filling import fill
from tastemaker.prompts.packs import FieldWords, GapUnit, Pack
from tastemaker.prompts.sanitise import FIELD_SEPARATOR, clean_field
from tastemaker.types import CONTEXT_FIELDS, Context, HistoryEntry, Language, UserHistory

MAX_VALUE_CHARS = 60
"""Longer context values and event names are cut."""

MAX_EXTRA_FIELDS = 12
"""Further free context keys are not rendered."""

MAX_TITLE_CHARS = 300

_HOUR, _DAY = 3_600.0, 86_400.0
_UNITS: tuple[tuple[GapUnit, float], ...] = (
    ("year", 365.25 * _DAY),
    ("month", 30.44 * _DAY),
    ("week", 7 * _DAY),
    ("day", _DAY),
    ("hour", _HOUR),
)
# Events that say no more than that there was one.
_SILENT_EVENTS = frozenset({"interaction", "rating", "rate", ""})
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_OTHER_WORD = re.compile(r"[^\W\d_]+")


def detect_language(text: str) -> Language:
    """ "zh" when the text has at least as many Chinese characters as words in other scripts, else "en".

    A character weighs as much as a word, so that "想看 Star Wars" is Chinese; Japanese counts by its kanji.
    """
    characters = len(_CJK.findall(text))
    others = len(_OTHER_WORD.findall(_CJK.sub(" ", text)))
    return "zh" if characters and characters >= others else "en"


def context_phrases(context: Context, pack: Pack) -> dict[str, str]:
    """One phrase per known fact, by field: time, weekend, season, place … activity, then extra keys.

    ``weekend`` and ``season`` follow from ``time``; an extra key of the same name replaces them, and of the
    clock only that is told which nothing said denies (``tastemaker.clock.facets``).
    """
    phrases = _time_phrases(context, pack)
    for name in CONTEXT_FIELDS:
        value = getattr(context, name)
        if value is not None and (phrase := _phrase(pack.context[name], name, value)):
            phrases[name] = phrase
    for key, value in list(context.extra.items())[:MAX_EXTRA_FIELDS]:
        if phrase := _phrase(pack.context["extra"], key, value):
            phrases[key] = phrase
    return phrases


def describe_context(context: Context, pack: Pack) -> list[str]:
    """The phrases of ``context_phrases``: ["Friday evening", "weekend", "autumn", "with family", …]."""
    return list(context_phrases(context, pack).values())


def _time_phrases(context: Context, pack: Pack) -> dict[str, str]:
    """What the clock says and nothing said denies; what was said has phrases of its own."""
    if context.time is None:
        return {}
    known, said = facets(context), context.extra
    told = {name: value for name, value in known.items() if name not in said}
    phrases = {}
    if moment := _moment(told, pack):
        phrases["time"] = moment
    if told.get("day_type") == "weekend" and "weekday" in told:
        phrases["weekend"] = pack.time.weekend
    if "season" in told:
        phrases["season"] = pack.time.seasons[cast(Season, told["season"])]
    return phrases


def _moment(told: Mapping[str, str], pack: Pack) -> str:
    """ "Friday evening", or as much of it as the clock tells; "" for nothing."""
    weekday = pack.time.weekdays[WEEKDAYS.index(told["weekday"])] if "weekday" in told else ""
    part = pack.time.parts[cast(PartOfDay, told["part_of_day"])] if "part_of_day" in told else ""
    if weekday and part:
        return fill(pack.time.moment, weekday=weekday, part=part)
    return weekday or part


def _phrase(words: FieldWords, key: str, value: str) -> str:
    text = clean_field(value, MAX_VALUE_CHARS)
    name = clean_field(key, MAX_VALUE_CHARS).replace("_", " ")
    if not text or not name:
        return ""
    # The pattern of a named field has no ${key}; an unused value is ignored.
    return words.known.get(text.casefold()) or fill(words.other, key=name, value=text)


def describe_gap(seconds: float, pack: Pack) -> str:
    """A span of time in its largest unit ("2 weeks"), rounded down; "" below one hour."""
    for unit, length in _UNITS:
        if (n := int(seconds // length)) >= 1:
            one, many = pack.gaps.units[unit]
            return one if n == 1 else fill(many, n=str(n))
    return ""


def rating_word(value: float, value_range: tuple[float, float], pack: Pack) -> str:
    """A rating in words; the upper two of five are exactly those that ``UserHistory.is_liked`` accepts."""
    low, high = value_range
    share = (value - low) / (high - low) if high > low else 1.0
    steps = (0.2, 0.4, 0.6, 0.9)  # 1..5 -> 0, .25, .5, .75, 1
    return pack.ratings[sum(share >= step for step in steps)]


def describe_history(
    history: UserHistory, pack: Pack, *, now: datetime | None = None, limit: int
) -> list[str]:
    """The last ``limit`` entries, oldest first, one line each: ``- Aliens (1986) | loved | 2 days later``.

    A line has the title, then the rating in words (or what was done), then the gap to the entry before when
    that is a day or more. The last line tells how long ago it was, if ``now`` and its time are known.
    """
    entries = history.entries[-limit:] if limit else ()
    lines = []
    for position, entry in enumerate(entries):
        fields = [clean_field(entry.title, MAX_TITLE_CHARS), _verdict(entry, history.value_range, pack)]
        if position:
            fields.append(_later(entries[position - 1], entry, pack))
        if position == len(entries) - 1:
            fields.append(_ago(entry, now, pack))
        lines.append("- " + FIELD_SEPARATOR.join(field for field in fields if field))
    return lines


def _verdict(entry: HistoryEntry, value_range: tuple[float, float] | None, pack: Pack) -> str:
    if entry.value is not None and value_range is not None:
        return rating_word(entry.value, value_range, pack)
    return describe_event(entry.event, pack)


def describe_event(event: str, pack: Pack) -> str:
    """What was done ("watched"); "" for events that say no more than that there was one."""
    name = clean_field(event, MAX_VALUE_CHARS)
    key = name.casefold()
    return "" if key in _SILENT_EVENTS else pack.events.get(key.replace(" ", "_").replace("-", "_"), name)


def _later(before: HistoryEntry, entry: HistoryEntry, pack: Pack) -> str:
    if before.timestamp is None or entry.timestamp is None:
        return ""
    seconds = entry.timestamp - before.timestamp
    return fill(pack.gaps.later, gap=describe_gap(seconds, pack)) if seconds >= _DAY else ""


def _ago(entry: HistoryEntry, now: datetime | None, pack: Pack) -> str:
    if now is None or entry.timestamp is None:
        return ""
    # A clock without a zone is taken as UTC: at most half a day off in a phrase of days.
    moment = now if now.tzinfo is not None else now.replace(tzinfo=UTC)
    gap = describe_gap(moment.timestamp() - entry.timestamp, pack)
    return fill(pack.gaps.ago, gap=gap) if gap else ""
