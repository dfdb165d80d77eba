"""Situations and histories in words, checked against values known by construction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.clock import part_of_day, season
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import (
    context_phrases,
    describe_context,
    describe_gap,
    describe_history,
    detect_language,
    rating_word,
)
from tastemaker.types import Context, HistoryEntry, UserHistory

EN, ZH = load_pack("en"), load_pack("zh")
DAY = 86_400.0


@pytest.mark.parametrize(
    ("hour", "part"),
    [(0, "night"), (4, "night"), (5, "morning"), (11, "morning"), (12, "afternoon"), (16, "afternoon"),
     (17, "evening"), (21, "evening"), (22, "night"), (23, "night")],
)  # fmt: skip
def test_part_of_day(hour: int, part: str) -> None:
    assert part_of_day(datetime(2026, 1, 1, hour, 59)) == part


def test_seasons_by_month() -> None:
    names = [season(datetime(2026, month, 1)) for month in range(1, 13)]
    assert names == [
        *["winter"] * 2, *["spring"] * 3, *["summer"] * 3, *["autumn"] * 3, "winter"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("light, for a Friday night", "en"),
        ("想看轻松的电影", "zh"),
        ("想看 Star Wars", "zh"),
        ("I want to watch 卧虎藏龙 with my family tonight", "en"),
        ("каламбур 12 !!", "en"),
        ("👻 2026", "en"),
    ],
)
def test_language_by_script(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_a_whole_situation_in_both_languages() -> None:
    context = Context.from_mapping(
        {
            "time": "2026-11-27T21:30",
            "company": "family",
            "device": "Phone",
            "place": "home",
            "weather": "rain",
            "mood": "happy",
            "activity": "knitting",
            "budget_left": "low",
        }
    )
    assert describe_context(context, EN) == [
        "Friday evening", "weekend", "autumn", "at home", "on a phone", "with family", "in a happy mood",
        "rainy weather", "activity: knitting", "budget left: low",
    ]  # fmt: skip
    assert describe_context(context, ZH) == [
        "周五晚上", "周末", "秋季", "在家", "用手机", "和家人一起", "心情愉快", "下雨天", "活动：knitting",
        "budget left：low",
    ]  # fmt: skip


def test_nothing_is_said_about_nothing() -> None:
    assert describe_context(Context(), EN) == []
    assert describe_context(Context(extra={"x": "\u200b"}, mood="\n"), EN) == []


def test_a_bare_date_has_no_part_of_day() -> None:
    assert describe_context(Context.from_mapping({"time": "2026-11-25"}), EN) == ["Wednesday", "autumn"]


@pytest.mark.parametrize(
    ("said", "clock"),
    [
        ({"weekday": "sunday"}, ["autumn"]),
        ({"weekday": "friday"}, ["morning", "autumn"]),
        ({"part_of_day": "night"}, ["Friday", "weekend", "autumn"]),
        ({"part_of_day": "morning"}, ["Friday", "autumn"]),
        ({"day_type": "weekend"}, ["autumn"]),
        ({"day_type": "workday"}, ["Friday morning", "autumn"]),
        ({"day_type": "holiday"}, ["Friday morning", "autumn"]),
    ],
)
def test_what_was_said_clears_what_it_denies_of_the_clock(said: dict[str, str], clock: list[str]) -> None:
    context = Context.from_mapping({"time": "2026-11-27T10:00", **said})  # a Friday
    assert describe_context(context, EN)[:-1] == clock


def test_a_season_that_is_told_replaces_the_northern_one() -> None:
    context = Context.from_mapping({"time": "2026-01-05T12:00", "season": "summer"})
    assert context_phrases(context, EN)["season"] == "summer"
    assert "winter" not in describe_context(context, EN)


def test_context_values_stay_on_one_line_and_short() -> None:
    context = Context(company="x\ny | z" * 100, extra={f"k{i}": "v" for i in range(100)})
    phrases = describe_context(context, EN)
    assert len(phrases) == 13
    assert phrases[0].startswith("with x y / z")
    assert len(phrases[0]) <= 65


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, ""),
        (3_599, ""),
        (3_600, "1 hour"),
        (2 * DAY - 1, "1 day"),
        (14 * DAY, "2 weeks"),
        (60 * DAY, "1 month"),
        (61 * DAY, "2 months"),
        (400 * DAY, "1 year"),
        (365.25 * DAY * 29, "29 years"),
    ],
)
def test_gaps_are_told_in_their_largest_unit(seconds: float, words: str) -> None:
    assert describe_gap(seconds, EN) == words


def test_ratings_in_words() -> None:
    assert [rating_word(value, (1, 5), EN) for value in (1, 2, 3, 4, 5)] == [
        "hated", "disliked", "okay", "liked", "loved",
    ]  # fmt: skip
    assert rating_word(3, (3, 3), EN) == "loved"


@given(st.sampled_from([(1.0, 5.0), (0.5, 5.0), (1.0, 10.0), (0.0, 100.0)]), st.integers(0, 9))
def test_liked_in_words_is_liked_in_the_history(scale: tuple[float, float], step: int) -> None:
    value = scale[0] + step / 9 * (scale[1] - scale[0])
    entry = HistoryEntry(title="x", value=value)
    said = rating_word(value, scale, EN) in ("liked", "loved")
    assert said == UserHistory(entries=(entry,), value_range=scale).is_liked(entry)


def history(*entries: HistoryEntry) -> UserHistory:
    return UserHistory(entries=entries, value_range=(1, 5))


def test_a_history_line_has_title_rating_gap_and_age() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    clock = start.timestamp()
    past = history(
        HistoryEntry(title="Alien (1979)", value=5, timestamp=clock),
        HistoryEntry(title="Aliens (1986)", value=4, timestamp=clock + 60),
        HistoryEntry(title="Heat (1995)", value=1, timestamp=clock + 15 * DAY),
    )
    now = start + timedelta(days=18)
    assert describe_history(past, EN, now=now, limit=9) == [
        "- Alien (1979) | loved",
        "- Aliens (1986) | liked",
        "- Heat (1995) | hated | 2 weeks later | 3 days ago",
    ]
    assert describe_history(past, ZH, now=now, limit=1) == ["- Heat (1995) | 讨厌 | 3天前"]
    assert describe_history(past, EN, limit=0) == []
    assert describe_history(UserHistory(), EN, now=now, limit=9) == []


def test_the_clock_of_now_may_have_a_zone_or_none() -> None:
    past = history(HistoryEntry(title="x", timestamp=0.0))
    naive, there = datetime(1970, 1, 3), datetime(1970, 1, 3, 8, tzinfo=timezone(timedelta(hours=8)))
    assert describe_history(past, EN, now=naive, limit=1) == ["- x | 2 days ago"]
    assert describe_history(past, EN, now=there, limit=1) == ["- x | 2 days ago"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ("interaction", "- x"),
        ("rating", "- x"),
        ("purchase", "- x | bought"),
        ("Add to cart", "- x | put in the cart"),
        ("zapped\n| hard", "- x | zapped / hard"),
    ],
)
def test_events_in_words(event: str, line: str) -> None:
    assert describe_history(history(HistoryEntry(title="x", event=event)), EN, limit=1) == [line]


def test_a_value_without_a_scale_is_no_rating() -> None:
    past = UserHistory(entries=(HistoryEntry(title="x", value=17.0),))
    assert describe_history(past, EN, limit=1) == ["- x"]


@given(st.lists(st.text(max_size=50), max_size=8), st.integers(0, 10))
def test_one_line_per_entry_whatever_the_titles(titles: list[str], limit: int) -> None:
    past = history(*(HistoryEntry(title=title, value=3) for title in titles))
    lines = describe_history(past, EN, limit=limit)
    assert len(lines) == min(len(titles), limit)
    assert all(line.startswith("- ") and len(line.splitlines()) == 1 for line in lines)
    assert all(line.removeprefix("- ").split(" | ")[-1] == "okay" for line in lines)
