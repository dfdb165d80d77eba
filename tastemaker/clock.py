"""What a moment is: its slot, part of the day, weekday, day type and season, and what of that holds beside
what was said of it. Retrieval and prompts both ask here, so that they see one moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from tastemaker.types import Context
from tastemaker.understanding import FACET_VALUES

PartOfDay = Literal["morning", "afternoon", "evening", "night"]
Season = Literal["spring", "summer", "autumn", "winter"]

SLOTS = tuple(f"{hour}-{hour + 3}" for hour in range(0, 24, 3))
PARTS: tuple[PartOfDay, ...] = ("morning", "afternoon", "evening", "night")
PART_STARTS = (5, 12, 17, 22)
"""Hours that the parts of the day begin at."""

WEEKDAYS = FACET_VALUES["weekday"]
SEASONS: tuple[Season, ...] = ("winter", "spring", "summer", "autumn")
FRIDAY, SATURDAY = 4, 5
FRIDAY_EVENING = 17
"""The hour from which a Friday is weekend."""


def part_of_day(moment: datetime) -> PartOfDay:
    """By the clock of ``moment``: morning from 5, afternoon from 12, evening from 17, night from 22."""
    # Before 5 none has begun: -1, the night.
    return PARTS[sum(moment.hour >= start for start in PART_STARTS) - 1]


def season(moment: datetime) -> Season:
    """The meteorological season of the northern hemisphere: spring from March, and so on."""
    return SEASONS[moment.month % 12 // 3]


def is_weekend(moment: datetime) -> bool:
    """Saturday, Sunday, and Friday from 17 o'clock."""
    day = moment.weekday()
    return day >= SATURDAY or (day == FRIDAY and moment.hour >= FRIDAY_EVENING)


def is_dated_only(moment: datetime) -> bool:
    """A bare date is read as midnight sharp; to call it night would be invented."""
    return (moment.hour, moment.minute, moment.second) == (0, 0, 0)


def facets_of(moment: datetime) -> dict[str, str]:
    """Everything that the clock says; of a bare date neither slot nor part of the day."""
    day = {
        "weekday": WEEKDAYS[moment.weekday()],
        "day_type": "weekend" if is_weekend(moment) else "workday",
        "season": season(moment),
    }
    if is_dated_only(moment):
        return day
    return {"slot": SLOTS[moment.hour // 3], "part_of_day": part_of_day(moment), **day}


def said_facets(context: Context) -> dict[str, str]:
    """What was said of the time beside the clock, in lower case."""
    return {name: context.extra[name].lower() for name in FACET_VALUES if name in context.extra}


def facets(context: Context) -> dict[str, str]:
    """What is known of the moment: what was said, and what the clock says where nothing said denies it.

    Another day than the clock's, by weekday or day type, leaves of the clock the season alone: at what hour
    of that day it is to be, nobody has said.
    """
    said = said_facets(context)
    found = {**_holding(context.time, said), **said}
    if "day_type" not in found and (implied := _day_type(found)):
        found["day_type"] = implied
    return found


def clashes(context: Context) -> tuple[str, ...]:
    """What was said of the time against the clock or against itself, in words for whoever said it."""
    said, time = said_facets(context), context.time
    notes = []
    if said.get("day_type") in _other_day_types(said.get("weekday")):
        notes.append(
            f"weekday {said['weekday']!r} and day_type {said['day_type']!r} exclude each other; each is read"
        )
    if time is None:
        return tuple(notes)
    clock = facets_of(time)
    notes += [
        f"{name} is {said[name]!r} as said, and the time {time.isoformat()} is a {clock[name]}; "
        "of the clock only the season counts"
        for name in ("weekday", "day_type")
        if name in said and not _fits(name, said[name], time)
    ]
    part = clock.get("part_of_day")
    if "part_of_day" in said and part not in (None, said["part_of_day"]):
        notes.append(
            f"part_of_day is {said['part_of_day']!r} as said, and the time {time.isoformat()} is {part}; "
            "the hour does not count"
        )
    return tuple(notes)


def _holding(moment: datetime | None, said: Mapping[str, str]) -> dict[str, str]:
    """What the clock says and nothing said denies."""
    if moment is None:
        return {}
    clock = facets_of(moment)
    if not all(_fits(name, said[name], moment) for name in ("weekday", "day_type") if name in said):
        return {"season": clock["season"]}
    if "part_of_day" in said and said["part_of_day"] != clock.get("part_of_day"):
        # A Friday is weekend by its hour; the day type follows from what was said instead.
        return {name: clock[name] for name in ("weekday", "season")}
    return clock


def _fits(name: str, value: str, moment: datetime) -> bool:
    """Whether what was said may be said of the moment; a holiday may be any day, Friday evening is both."""
    if name == "weekday":
        return value == WEEKDAYS[moment.weekday()]
    if value == "weekend":
        return is_weekend(moment)
    return value == "holiday" or (value == "workday" and moment.weekday() < SATURDAY)


def _other_day_types(weekday: str | None) -> tuple[str, ...]:
    """The day types that a weekday is not; a Friday may be either, any day a holiday."""
    if weekday not in WEEKDAYS or weekday == WEEKDAYS[FRIDAY]:
        return ()
    return ("workday",) if WEEKDAYS.index(weekday) >= SATURDAY else ("weekend",)


def _day_type(known: Mapping[str, str]) -> str | None:
    """Of a weekday and a part of the day; None where the weekday is not known."""
    day = known.get("weekday")
    if day not in WEEKDAYS:
        return None
    late = known.get("part_of_day") in ("evening", "night")
    number = WEEKDAYS.index(day)
    return "weekend" if number >= SATURDAY or (number == FRIDAY and late) else "workday"
