"""A timeline asks for each of its entries exactly as it would have been asked for at that moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.render import PromptRenderer, match_text
from tastemaker.prompts.timeline import MAX_LINE_TITLE_CHARS, describe_timeline, line_title
from tastemaker.types import Candidate, Context, HistoryEntry, Item, Request, UserHistory

FILMS = load_pack("en", "films")
NEW_YEAR = datetime(2016, 1, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


def entry(title: str, days: float | None = None, value: float | None = None) -> HistoryEntry:
    return HistoryEntry(
        title=title, item_id=title, timestamp=None if days is None else NEW_YEAR + days * DAY, value=value
    )


def history(*entries: HistoryEntry) -> UserHistory:
    return UserHistory(entries=entries, value_range=(0.5, 5.0))


def test_gaps_years_and_the_ends_of_the_scale_are_told() -> None:
    told = describe_timeline(
        history(
            entry("Matrix, The (1999)", -1, 5.0),
            entry("Heat (1995)", -0.9, 3.5),
            entry("Alien (1979)", 14, 1.0),
        ),
        FILMS,
        context=Context.from_mapping({"time": "2016-01-18T20:00:00+00:00", "company": "family"}),
        wish="something funny",
        limit=10,
    )
    assert told.text == (
        "2015 - The Matrix | loved\n- Heat\n2 weeks later, 2016 - Alien | hated\n"
        "3 days later, with family, Wish: something funny -"
    )


def test_nothing_known_is_a_bare_dash() -> None:
    told = describe_timeline(UserHistory(), FILMS, context=Context(), limit=10)
    assert (told.text, told.asks) == ("-", (1,))


def test_only_the_last_entries_are_shown() -> None:
    told = describe_timeline(
        history(*(entry(f"Film {i}") for i in range(5))), FILMS, context=Context(), limit=2
    )
    assert told.text == "- Film 3\n- Film 4\n-"
    assert describe_timeline(history(entry("A")), FILMS, context=Context(), limit=0).text == "-"


entries = st.builds(
    entry,
    st.text(min_size=1, max_size=60),
    st.none() | st.floats(-2_000, 2_000),
    st.none() | st.sampled_from([0.5, 2.0, 3.5, 4.5, 5.0]),
)


@given(st.lists(entries, max_size=8))
def test_every_entry_is_asked_for_as_it_was_at_its_moment(past: list[HistoryEntry]) -> None:
    whole = describe_timeline(history(*past), FILMS, context=Context(), limit=len(past))
    assert len(whole.asks) == len(past) + 1
    assert whole.text.count("\n") == len(past)
    for place, one in enumerate(past):
        moment = None if one.timestamp is None else datetime.fromtimestamp(one.timestamp, UTC)
        then = describe_timeline(history(*past[:place]), FILMS, context=Context(time=moment), limit=len(past))
        if moment is None or abs(moment.timestamp() - (one.timestamp or 0)) < 1e-9:
            assert whole.text[: whole.asks[place]] == then.text


@given(st.text(max_size=200))
def test_a_title_is_one_short_line(title: str) -> None:
    short = line_title(title)
    assert 1 <= len(short) <= MAX_LINE_TITLE_CHARS
    assert "\n" not in short
    assert "|" not in short


def test_titles_are_cut_at_a_word() -> None:
    long = "Wet n Wild Idol Eyes Creme Shadow Pencil in Graphite, Pack of Two"
    assert line_title(long) == "Wet n Wild Idol Eyes Creme Shadow Pencil in"
    assert line_title("x" * 60) == "x" * MAX_LINE_TITLE_CHARS


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_a_prompt_shares_the_renderers_budget_and_always_ends_in_the_question() -> None:
    reports = []
    renderer = PromptRenderer(
        lambda texts: words(list(texts)),
        history_length=400,
        prompt_tokens=256,
        domain="films",
        on_report=reports.append,
    )
    past = history(*(entry(f"Some long film title {i}", i) for i in range(200)))
    now = Context(time=datetime.fromtimestamp(NEW_YEAR, UTC) + timedelta(days=210))
    item = Item(id="1", title="Toy Story", attributes={"year": 1995, "genres": ("Animation", "Comedy")})
    asked = Request(history=past, context=now, wish="a light one")
    prompt, asks = renderer.match_timeline(asked, [Candidate(item=item, score=1.0)])
    assert prompt.user.startswith("films:\n")
    assert prompt.user.endswith("1 week later, Wish: a light one -")
    assert prompt.match
    assert prompt.choices == ("Toy Story (1995) | Animation, Comedy",)
    [report] = reports
    assert report.tokens <= 256
    assert report.history_kept == len(asks) - 1 < 200
    assert report.history_dropped == 200 - report.history_kept
    assert report.truncated


@pytest.mark.parametrize(("title", "wanted"), [("Her (2013)", "Her (2013)"), ("", "7")])
def test_an_items_vector_is_made_from_its_title_and_genres(title: str, wanted: str) -> None:
    assert match_text(Item(id="7", title=title)) == wanted


def test_a_past_moment_tells_its_situation_where_the_data_do() -> None:
    past = replace(entry("Frozen"), context={"company": "kids", "place": "cinema"})
    told = describe_timeline(history(past, entry("Heat")), FILMS, context=Context(company="alone"), limit=5)
    assert told.text.endswith("at the cinema, with children - Frozen\n- Heat\nalone -") or told.text.endswith(
        "with children, at the cinema - Frozen\n- Heat\nalone -"
    )
    asked = describe_timeline(UserHistory(), FILMS, context=Context.from_mapping(dict(past.context)), limit=5)
    assert told.text[: told.asks[0]] == asked.text
