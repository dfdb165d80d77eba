"""Situations of events and requests, and the parts that learn from them, on data whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.hybrid import build_retriever
from tastemaker.index.opinion import OpinionRetriever
from tastemaker.index.situation import HabitRetriever, Lifts, SituationRetriever
from tastemaker.index.situations import CLOCK, GAP, Situations
from tastemaker.index.store import ItemIndex
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import context_phrases
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Context, HistoryEntry, Request, UserHistory

SATURDAY = datetime(2024, 6, 15, 20, 30, tzinfo=UTC)


def table(
    rows: list[tuple[str, str, float | None, float | None, str | None]], items: str = "abcd"
) -> Dataset:
    users, ids, times, values, company = zip(*rows, strict=True)
    shelf = pa.table(
        {
            "id": list(items),
            "title": [f"Film {name}" for name in items],
            "genres": pa.array(
                [["Cartoon"] if name in "ab" else ["Thriller"] for name in items], pa.list_(pa.string())
            ),
        }
    )
    events = pa.table(
        {
            "user_id": users,
            "item_id": ids,
            "timestamp": pa.array(times, pa.float64()),
            "value": pa.array(values, pa.float64()),
            "company": pa.array(company, pa.string()),
        }
    )
    return Dataset.from_tables(shelf, events)


def asked(user: str | None = None, history: str = "", **context: object) -> Request:
    entries = tuple(HistoryEntry(title=name, item_id=name) for name in history)
    return Request(history=UserHistory(user_id=user, entries=entries), context=Context.from_mapping(context))


def test_events_and_requests_of_one_moment_have_the_same_codes() -> None:
    seconds = SATURDAY.timestamp()
    data = table([("u", "a", seconds - 2 * 3_600, 1.0, None), ("u", "b", seconds, 1.0, "Family")])
    found = Situations(data)
    entry = HistoryEntry(title="a", item_id="a", timestamp=seconds - 2 * 3_600)
    request = Request(
        history=UserHistory(entries=(entry,)),
        context=Context.from_mapping({"time": SATURDAY, "company": "FAMILY"}),
    )
    assert found.of(request).tolist() == found.codes[1].tolist()
    assert dict(zip(found.fields, found.codes[1].tolist(), strict=True)) == {
        "slot": 7, "part_of_day": 3, "weekday": 6, "day_type": 2, "season": 3, GAP: 2, "company": 1,
    }  # fmt: skip
    assert found.codes[0].tolist()[-2:] == [0, 0]


def test_what_is_said_counts_before_the_clock_and_what_is_unknown_says_nothing() -> None:
    found = Situations(table([("u", "a", SATURDAY.timestamp(), 1.0, "family")]))

    def codes(**context: object) -> dict[str, int]:
        return dict(zip(found.fields, found.of(asked(**context)).tolist(), strict=True))

    monday = codes(time=SATURDAY, weekday="monday")
    assert (monday["weekday"], monday["day_type"], monday["slot"], monday["part_of_day"]) == (1, 1, 0, 0)
    assert codes(company="strangers", smell="good") == dict.fromkeys(found.fields, 0)
    assert Situations(table([("u", "a", None, 1.0, "x")])).fields == ("company",)


def read(**context: object) -> dict[str, str]:
    """What retrieval sees of the clock, by name."""
    found = Situations(table([("u", "a", SATURDAY.timestamp(), 1.0, None)]))
    codes = dict(zip(found.fields, found.of(asked(**context)).tolist(), strict=True))
    return {name: values[codes[name] - 1] for name, values in CLOCK.items() if codes[name]}


FRIDAY_10 = "2026-11-27T10:00"


@pytest.mark.parametrize(
    ("context", "seen"),
    [
        ({"time": FRIDAY_10}, "9-12 morning friday workday autumn"),
        ({"time": "2026-11-27T18:00"}, "18-21 evening friday weekend autumn"),
        ({"time": "2026-11-28"}, "saturday weekend autumn"),
        ({"time": FRIDAY_10, "weekday": "sunday"}, "sunday weekend autumn"),
        ({"time": FRIDAY_10, "weekday": "friday"}, "9-12 morning friday workday autumn"),
        ({"time": FRIDAY_10, "part_of_day": "evening"}, "evening friday weekend autumn"),
        ({"time": FRIDAY_10, "part_of_day": "morning"}, "9-12 morning friday workday autumn"),
        ({"time": FRIDAY_10, "day_type": "weekend"}, "weekend autumn"),
        ({"time": "2026-11-27T18:00", "day_type": "workday"}, "18-21 evening friday workday autumn"),
        ({"time": FRIDAY_10, "season": "spring"}, "9-12 morning friday workday spring"),
        ({"weekday": "saturday"}, "saturday weekend"),
        ({"weekday": "friday", "part_of_day": "night"}, "night friday weekend"),
    ],
)
def test_retrieval_sees_one_moment(context: dict[str, object], seen: str) -> None:
    assert " ".join(read(**context).values()) == seen


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))
def test_retrieval_and_prompt_see_the_same_moment(moment: datetime) -> None:
    pack = load_pack("en")
    seen, told = read(time=moment), context_phrases(Context(time=moment), pack)
    assert told["time"].lower() == " ".join(seen[name] for name in ("weekday", "part_of_day") if name in seen)
    assert ("weekend" in told) == (seen["day_type"] == "weekend")
    assert told["season"] == seen["season"]


def test_days_without_hours_are_no_nights() -> None:
    day = datetime(2024, 6, 14, tzinfo=UTC).timestamp()
    dates = Situations(table([("u", "a", day, 1.0, None), ("u", "b", day + 86_400, 1.0, None)]))
    assert not dates.codes[:, :2].any()
    clock = Situations(table([("u", "a", day, 1.0, None), ("u", "b", day + 60, 1.0, None)]))
    assert clock.codes[:, :2].tolist() == [[1, 4], [1, 4]]


def test_a_column_of_many_values_keeps_them_apart() -> None:
    many = 40_000
    rows = [("u", "a", None, 1.0, f"s{number}") for number in range(many)]
    found = Situations(table(rows))  # type: ignore[arg-type]
    assert found.codes[:, 0].tolist() == list(range(1, many + 1))
    assert found.of(asked(company="s39999")).tolist() == [many]


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))
def test_the_clock_of_the_data_is_the_clock_of_requests(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    found = Situations(table([("u", "a", moment.timestamp(), 1.0, None)]))
    assert found.of(asked(time=moment)).tolist() == found.codes[0].tolist()


def family_and_alone(copies: int = 12) -> Dataset:
    """Families see the cartoon a, who is alone the thriller c; b was seen twice, by families."""
    rows = [
        (f"{who}{n}", item, None, 5.0, who)
        for n in range(copies)
        for who, item in (("family", "a"), ("alone", "c"))
    ]
    return table([*rows, ("family0", "b", None, 5.0, "family"), ("family1", "b", None, 5.0, "family")])


def test_lifts_are_the_formula_s() -> None:
    data = family_and_alone()
    codes = data.codes()
    column = Situations(data).codes[:, 0]
    family = int(column[0])
    lift = Lifts(Catalogue(data)).of_items(codes.item, column, family)
    share = 14 / 26
    assert lift[0] == pytest.approx(np.log((12 + 5 * share) / (12 + 5) / share))
    assert lift[2] == pytest.approx(np.log((0 + 5 * share) / (12 + 5) / share))
    assert lift[3] == 0.0  # never seen: nothing is known
    kinds = Lifts(Catalogue(data)).of_kinds(codes.item, column, family)
    assert kinds[3] == pytest.approx(kinds[2])  # but it is a thriller
    assert kinds[2] < 0 < kinds[0]
    assert not Lifts(Catalogue(data)).of_items(codes.item, column, 0).any()


def test_the_situation_orders_what_nobody_s_history_could() -> None:
    data = family_and_alone()
    part = SituationRetriever(Catalogue(data), Situations(data))
    first = {who: part.retrieve([asked(company=who)], 4)[0][0].item.id for who in ("family", "alone")}
    assert first == {"family": "a", "alone": "c"}
    assert part.prepare([asked(), asked(company="strangers")]) == [None, None]


def test_without_situations_nothing_is_said() -> None:
    data = table([("u", item, None, 1.0, None) for item in "abcd"])
    assert SituationRetriever(Catalogue(data), Situations(data)).prepare([asked(company="family")]) == [None]


def days(pattern: str, *, hour: int, user: str) -> list[tuple[str, str, float, None, None]]:
    start = datetime(2024, 1, 1, hour, tzinfo=UTC).timestamp()
    return [
        (user, item, start + 86_400 * (place // 2) + 60 * (place % 2), None, None)
        for place, item in enumerate(pattern)
    ]


def test_a_habit_depends_on_the_hour() -> None:
    """After a comes b in the morning and c at night."""
    rows = [
        row
        for n in range(8)
        for row in (*days("abab", hour=8, user=f"m{n}"), *days("acac", hour=23, user=f"n{n}"))
    ]
    data = table(rows)  # type: ignore[arg-type]
    part = HabitRetriever(Catalogue(data), Situations(data))

    def after_a(hour: int) -> str:
        time = datetime(2024, 3, 4, hour, 1, tzinfo=UTC)
        return part.retrieve([asked(history="a", time=time)], 1)[0][0].item.id

    assert (after_a(8), after_a(23)) == ("b", "c")
    plain = HabitRetriever(Catalogue(data), None)
    assert plain.retrieve([asked(history="a", time=SATURDAY)], 4) == plain.retrieve([asked(history="a")], 4)
    assert part.prepare([asked(), asked(history="d")]) == [None, None]


def test_two_items_back_tell_more_than_one() -> None:
    """After b comes c where a was before it, and a where d was."""
    data = table([(f"u{n}", item, float(place), None, None) for n in range(6)
                  for place, item in enumerate("abc" if n % 2 else "dba")])  # fmt: skip
    part = HabitRetriever(Catalogue(data), None)
    first = [part.retrieve([asked(history=past)], 1)[0][0].item.id for past in ("ab", "db")]
    assert first == ["c", "a"]


def opinions() -> Dataset:
    """Everybody likes cartoons with the family and thrillers alone; b and d are rated by few."""
    rows = [
        (f"u{n}", item, None, 5.0 if (item in "ab") == (who == "family") else 2.0, who)
        for n in range(6)
        for item in ("ac" if n else "abcd")
        for who in ("family", "alone")
    ]
    return table(rows)


def test_an_opinion_depends_on_company_also_of_items_and_users_that_are_new_to_it() -> None:
    data = opinions()
    part = OpinionRetriever(Catalogue(data), Situations(data))
    every = np.arange(4)

    def scores(user: str | None, **context: object) -> list[float]:
        (state,) = part.prepare([asked(user, **context)])
        assert state is not None
        return part.scores(state, every).tolist()

    for user in ("u3", "nobody", None):
        family, alone = scores(user, company="family"), scores(user, company="alone")
        assert family[0] > family[2] and family[1] > family[3]  # noqa: PT018
        assert alone[2] > alone[0] and alone[3] > alone[1]  # noqa: PT018
    blind = OpinionRetriever(Catalogue(data), None)
    assert (
        blind.prepare([asked("u3", company="family")])[0].tolist() == blind.prepare([asked("u3")])[0].tolist()
    )  # type: ignore[union-attr]


def test_without_ratings_there_is_no_opinion() -> None:
    data = table([("u", "a", 1.0, None, None), ("u", "b", 2.0, None, None)])
    assert OpinionRetriever(Catalogue(data), Situations(data)).prepare([asked("u")]) == [None]


def test_the_product_serves_what_the_situation_calls_for() -> None:
    """The whole retriever, with its default weights, over data with a context column."""
    data = family_and_alone()
    index = ItemIndex.build(data.item_ids, index_texts(data), HashEmbedder(64))
    retriever = build_retriever(data, index, HashEmbedder(64))
    names = {who: retriever.retrieve([asked(company=who)], 4)[0][0].item.id for who in ("family", "alone")}
    assert names == {"family": "a", "alone": "c"}


def test_a_catalogue_larger_than_the_sample_learns_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.index.situation.MAX_ITEMS", 3)
    test_the_situation_orders_what_nobody_s_history_could()
    test_a_habit_depends_on_the_hour()


def test_data_that_tell_nothing_of_situations_are_served_all_the_same() -> None:
    """Plays without times and context columns, in a domain where songs come again."""
    shelf = pa.table({"id": ["a", "b"], "title": ["One", "Two"]})
    plays = pa.table({"user_id": [f"u{n}" for n in range(12)], "item_id": ["a", "b"] * 6})
    data = Dataset.from_tables(shelf, plays)
    index = ItemIndex.build(data.item_ids, index_texts(data), HashEmbedder(64))
    retriever = build_retriever(data, index, HashEmbedder(64), repeats=True)
    assert len(retriever.retrieve([asked("u1", "b")], 2)[0]) == 1
    assert HabitRetriever(Catalogue(data), Situations(data)).prepare([asked(history="a")]) == [None]
