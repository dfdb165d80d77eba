"""Values are checked when made, frozen, and speak the JSON contract."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.answers import Recommendation, RecommendedItem, Trace
from tastemaker.errors import RequestError
from tastemaker.types import (
    Candidate,
    Context,
    Evidence,
    Explanation,
    HistoryEntry,
    Interaction,
    Item,
    Prompt,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)


def test_values_are_frozen_and_their_mappings_read_only() -> None:
    attributes = {"year": 1979}
    item = Item(id="1", title="Alien", attributes=attributes)
    attributes["year"] = 2000
    assert item.year == 1979
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.title = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        item.attributes["year"] = 1  # type: ignore[index]
    with pytest.raises(RequestError, match="item id"):
        Item(id=" ", title="x")
    with pytest.raises(RequestError, match="item id is 7"):
        Item(id=7, title="x")  # type: ignore[arg-type]


def test_the_year_is_shown_once() -> None:
    assert Item(id="1", title="Alien", attributes={"year": 1979}).display_title == "Alien (1979)"
    assert Item(id="1", title="Alien (1979)", attributes={"year": 1979}).display_title == "Alien (1979)"
    assert Item(id="1", title="Kettle").display_title == "Kettle"


def test_context_reads_names_time_and_anything_else() -> None:
    context = Context.from_mapping(
        {"time": "2026-11-28T21:30", "company": " family ", "budget": 20, "mood": "", "place": None}
    )
    assert context.time == datetime(2026, 11, 28, 21, 30)
    assert context.as_mapping() == {"time": "2026-11-28T21:30:00", "company": "family", "budget": "20"}
    assert Context.from_mapping(context.as_mapping()) == context
    assert not Context.from_mapping({"time": " "})
    with pytest.raises(RequestError, match="ISO 8601"):
        Context.from_mapping({"time": "tomorrow"})
    with pytest.raises(RequestError, match="empty"):
        Context.from_mapping({" ": "x"})


def test_a_field_s_name_is_told_apart_without_case_and_blanks() -> None:
    context = Context.from_mapping({" Company": "family", "Part of  Day": "night", "TIME": "2026-11-28"})
    assert context.as_mapping() == {
        "time": "2026-11-28T00:00:00",
        "company": "family",
        "part of day": "night",
    }
    with pytest.raises(RequestError, match="'company' twice, as 'Company' and as 'company '"):
        Context.from_mapping({"Company": "alone", "company ": "family"})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["kids", "friends"], "is ['kids', 'friends'], a list; a text or a finite number is wanted"),
        (True, "is True, a bool"),
        (float("nan"), "is nan, a float"),
        (float("inf"), "is inf, a float"),
        ({"a": 1}, "is {'a': 1}, a dict"),
        (b"kids", "is b'kids', a bytes"),
        (datetime(2026, 11, 28), "a datetime"),
    ],
)
def test_a_context_s_values_are_texts_and_finite_numbers(value: object, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        Context.from_mapping({"company": value})
    assert "context 'company' " in str(refused.value)
    assert says in str(refused.value)


def test_a_context_s_keys_are_texts_and_its_time_a_moment() -> None:
    assert Context.from_mapping({"budget": 2.5, "guests": 4}).extra == {"budget": "2.5", "guests": "4"}
    assert Context.from_mapping({"time": date(2026, 11, 28)}).time == datetime(2026, 11, 28)
    with pytest.raises(RequestError, match="context key None is a NoneType; a text is wanted"):
        Context.from_mapping({None: "x"})  # type: ignore[dict-item]
    with pytest.raises(RequestError, match="context time is 20261128, a int; ISO 8601"):
        Context.from_mapping({"time": 20261128})


@pytest.mark.parametrize("k", [0, -1, 1_001, True, 2.5])
def test_k_has_limits(k: object) -> None:
    with pytest.raises(RequestError, match="k is"):
        Request(k=k)  # type: ignore[arg-type]


def test_wishes_have_a_limit() -> None:
    Request(wish="x" * 2_000)
    with pytest.raises(RequestError, match="2,001 characters"):
        Request(wish="x" * 2_001)


def test_liking_goes_by_the_scale() -> None:
    history = UserHistory(value_range=(1.0, 5.0))
    liked = [value for value in (1, 2, 3, 4, 5) if history.is_liked(HistoryEntry(title="x", value=value))]
    assert liked == [4, 5]
    assert UserHistory().is_liked(HistoryEntry(title="x", value=1.0))
    assert history.is_liked(HistoryEntry(title="x"))


def test_leaving_an_entry_out() -> None:
    entries = tuple(HistoryEntry(title=letter, item_id=letter) for letter in "abc")
    assert UserHistory(entries=entries).without(1).item_ids == ("a", "c")
    request = Request(history=UserHistory(entries=entries), exclude=frozenset({"z"}))
    assert request.unwanted_ids == {"a", "b", "c", "z"}


def test_impossible_values_are_refused() -> None:
    item = Item(id="1", title="x")
    with pytest.raises(ValueError, match="nan"):
        Candidate(item=item, score=float("nan"))
    with pytest.raises(ValueError, match="no choices"):
        Prompt(system="", user="", answers=("yes", "no"))
    with pytest.raises(ValueError, match="without gaps"):
        Ranking(items=(Ranked(rank=2, candidate=Candidate(item=item, score=1.0), score=1.0),))


def test_the_json_contract() -> None:
    item = Item(id="50", title="Star Wars", attributes={"year": 1977})
    ranked = Ranked(rank=1, candidate=Candidate(item=item, score=1.9), score=0.31, llm_score=-0.4)
    piece = Evidence(
        kind="history",
        ref="172",
        text="Empire Strikes Back, The (1980)",
        influence=0.42,
        retrieval_influence=0.3,
        rank_change=2,
    )
    explanation = Explanation(text="Because.", verified=True, evidence=(piece,))
    answer = Recommendation(
        request=Request(history=UserHistory(user_id="196"), wish="light", request_id="r"),
        items=(RecommendedItem(ranked=ranked, explanation=explanation),),
        trace=Trace(model="m", timings_ms={"total": 1.23}),
    ).to_dict()
    assert answer["user_id"] == "196"
    assert answer["items"] == [
        {
            "rank": 1,
            "id": "50",
            "title": "Star Wars (1977)",
            "score": 0.31,
            "retrieval_score": 1.9,
            "llm_score": -0.4,
            "explanation": {
                "text": "Because.",
                "verified": True,
                "writer": "template",
                "evidence": [
                    {
                        "kind": "history",
                        "ref": "172",
                        "text": "Empire Strikes Back, The (1980)",
                        "influence": 0.42,
                        "retrieval_influence": 0.3,
                        "rank_change": 2,
                    }
                ],
            },
        }
    ]
    assert answer["trace"]["timings_ms"] == {"total": 1.2}
    assert set(answer) == {
        "request_id",
        "user_id",
        "wish",
        "context",
        "understood",
        "notes",
        "items",
        "trace",
    }
    wanted = {"model", "adapter", "template", "index", "candidates", "repairs", "degraded", "timings_ms"}
    assert set(answer["trace"]) == wanted | {"llm_share", "explanation_fallbacks"}
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_events_name_a_user_and_an_item(value: object) -> None:
    with pytest.raises(RequestError, match="user id"):
        Interaction(user_id=value, item_id="1")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="item id"):
        Interaction(user_id="1", item_id=value)  # type: ignore[arg-type]


def test_mappings_of_every_value_are_copies_that_nobody_can_change() -> None:
    given = {"a": 1.0}
    item = Item(id="1", title="x")
    kept = [
        Candidate(item=item, score=1.0, sources=given).sources,
        Trace(timings_ms=given).timings_ms,
        Context(extra={"a": "1"}).extra,
        Interaction(user_id="1", item_id="1", context={"a": "1"}).context,
    ]
    given["a"] = 2.0
    for mapping in kept:
        assert dict(mapping) in ({"a": 1.0}, {"a": "1"})
        with pytest.raises(TypeError):
            mapping["a"] = 3  # type: ignore[index]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_candidates_have_finite_scores(score: float) -> None:
    with pytest.raises(ValueError, match="candidate 1 has score"):
        Candidate(item=Item(id="1", title="x"), score=score)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers())))
def test_a_context_is_the_same_after_a_round_trip(values: dict[str, object]) -> None:
    try:
        context = Context.from_mapping(values)
    except RequestError:
        return
    assert Context.from_mapping(context.as_mapping()) == context
    assert bool(context) == bool(context.as_mapping())
    assert all(value == value.strip() != "" for value in context.as_mapping().values())


def test_two_requests_are_told_apart() -> None:
    assert Request().request_id != Request().request_id
    with pytest.raises(dataclasses.FrozenInstanceError):
        Request().k = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Request(UserHistory())  # type: ignore[misc]
