"""From what people hand over to a request: ids, titles, mappings, nobody, and everything that is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tastemaker.agent.requests import as_context, as_history, as_language, build_request
from tastemaker.data.dataset import Dataset
from tastemaker.errors import FilterError, InputError, RequestError, UnknownUserError
from tastemaker.testing.data import film_data
from tastemaker.types import Context, Filter, HistoryEntry, Item, Request

AMBER, BRASS = "The Amber Comedy (1980)", "The Brass Comedy (1982)"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return film_data()


def test_a_known_user_brings_his_history(dataset: Dataset) -> None:
    request = build_request(dataset, user_id="comedy-fan-0")
    assert request.history == dataset.history("comedy-fan-0")
    assert request.history.item_ids == tuple(f"comedy-{place}" for place in range(8))
    assert request.history.value_range == (3.0, 5.0)
    assert request.user_id == "comedy-fan-0"
    assert (request.k, request.wish, request.filters, request.exclude) == (10, "", (), frozenset())


@pytest.mark.parametrize(
    ("entry", "title", "item_id"),
    [
        ("comedy-0", AMBER, "comedy-0"),
        ("The Amber Comedy", AMBER, "comedy-0"),
        ("the amber COMEDY (1980)", AMBER, "comedy-0"),
        ("Amber Comedy, The", AMBER, "comedy-0"),
        ("Unheard Of", "Unheard Of", None),
        ("霸王别姬", "霸王别姬", None),
        ({"id": "comedy-0"}, AMBER, "comedy-0"),
        ({"item_id": "comedy-0", "title": "whatever"}, AMBER, "comedy-0"),
        ({"id": "not-there", "title": "The Amber Comedy"}, AMBER, "comedy-0"),
        ({"id": 7}, "7", None),
        ({"text": "The Brass Comedy"}, BRASS, "comedy-1"),
        ({"title": "Unheard Of", "id": None}, "Unheard Of", None),
        (HistoryEntry(title="as it is", item_id="x"), "as it is", "x"),
    ],
)
def test_typed_entries_are_looked_up(dataset: Dataset, entry: Any, title: str, item_id: str | None) -> None:
    (found,) = as_history([entry], dataset)
    assert (found.title, found.item_id) == (title, item_id)


def test_without_a_catalogue_titles_stay_as_typed() -> None:
    (found,) = as_history(["The Amber Comedy"])
    assert (found.title, found.item_id) == ("The Amber Comedy", None)


def test_mappings_keep_rating_event_and_time(dataset: Dataset) -> None:
    (found,) = as_history(
        [{"id": "comedy-0", "rating": "4", "event": "view", "time": "2020-01-02T00:00:00Z"}], dataset
    )
    moment = datetime(2020, 1, 2, tzinfo=UTC).timestamp()
    assert (found.value, found.event, found.timestamp) == (4.0, "view", moment)
    (other,) = as_history([{"id": "comedy-0", "value": 2, "timestamp": moment}], dataset)
    assert (other.value, other.event, other.timestamp) == (2.0, "interaction", moment)


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize(
    "moment",
    ["2020-01-01", "2020-01-01T00:00", "2020-01-01T09:00+09:00", datetime(2020, 1, 1), 1_577_836_800],
)
def test_times_do_not_depend_on_where_the_machine_stands(moment: object) -> None:
    (found,) = as_history([{"title": "x", "time": moment}])
    assert found.timestamp == 1_577_836_800.0


def test_the_scale_of_typed_ratings(dataset: Dataset) -> None:
    def scale(*ratings: float | None) -> tuple[float, float] | None:
        return as_history([{"title": "x", "rating": rating} for rating in ratings]).value_range

    assert scale(None) is None
    assert scale(1, 5) == (1.0, 5.0)
    assert scale(3, 8) == (1.0, 10.0)
    assert as_history([{"title": "x", "rating": 8}], dataset).value_range == dataset.value_range


def test_typed_entries_come_behind_the_known_ones(dataset: Dataset) -> None:
    request = build_request(dataset, user_id="comedy-fan-0", history=["thriller-3", "Unheard Of"])
    assert request.history.item_ids[-2:] == ("comedy-7", "thriller-3")
    assert request.history.entries[-1].title == "Unheard Of"
    assert "thriller-3" in request.unwanted_ids
    assert request.user_id == "comedy-fan-0"


def test_nobody_at_all(dataset: Dataset) -> None:
    request = build_request(dataset)
    assert len(request.history) == 0
    assert request.user_id is None
    assert request.unwanted_ids == frozenset()
    assert request == Request(request_id=request.request_id)


def test_wish_context_filters_and_exclusions(dataset: Dataset) -> None:
    by_value = Filter(field="year", op="<", value=2000.0)
    request = build_request(
        dataset,
        wish="  something \n light ",
        context={"time": "2026-11-28T21:30", "company": "family"},
        filters=["year>=1990", by_value, "genres has Comedy"],
        exclude=("comedy-3" for _ in range(2)),
        k=3,
    )
    assert request.wish == "something light"
    assert request.context.time == datetime(2026, 11, 28, 21, 30)
    assert sorted(map(str, request.filters)) == ["genres has Comedy", "year < 2000.0", "year >= 1990.0"]
    assert request.unwanted_ids == {"comedy-3"}
    assert build_request(dataset, context=request.context).context is request.context


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ({"wish": "轻松的喜剧"}, "zh"),
        ({"context": {"company": "家人"}}, "zh"),
        ({"context": {"time": "2026-11-28T21:30"}, "wish": "funny"}, "en"),
        ({}, "en"),
        ({"wish": "轻松的喜剧", "language": "en"}, "en"),
        ({"wish": "funny", "language": "zh"}, "zh"),
    ],
)
def test_the_script_decides_the_language_unless_told(
    dataset: Dataset, question: dict[str, Any], language: str
) -> None:
    assert build_request(dataset, **question).language == language


@pytest.mark.parametrize(
    ("question", "kind", "says"),
    [
        ({"user_id": "nobody"}, UnknownUserError, "nobody"),
        ({"user_id": ""}, UnknownUserError, "''"),
        ({"user_id": 196}, RequestError, "user_id is 196; ids are strings"),
        ({"history": "Alien"}, RequestError, "history is a str; a list"),
        ({"history": {"id": "comedy-0"}}, RequestError, "history is a dict; a list"),
        ({"history": {"comedy-0"}}, RequestError, "history is a set; a list"),
        ({"history": 5}, RequestError, "history is a int"),
        ({"history": [3]}, RequestError, "neither an id, a title nor a mapping"),
        ({"history": [None]}, RequestError, "neither an id, a title nor a mapping"),
        ({"history": [" "]}, RequestError, "entry is empty"),
        ({"history": [{}]}, RequestError, "neither an id nor a title"),
        ({"history": [{"title": ""}]}, RequestError, "entry is empty"),
        ({"history": ["x"] * 10_001}, RequestError, "10,001 entries; at most 10,000"),
        ({"history": [{"title": "x", "rating": "good"}]}, RequestError, "'good' is no number"),
        ({"history": [{"title": "x", "rating": float("nan")}]}, RequestError, "nan is no finite number"),
        ({"history": [{"title": "x", "rating": 10**400}]}, RequestError, "is no number"),
        ({"history": [{"title": "x", "rating": [1]}]}, RequestError, "is no number"),
        ({"history": [{"title": "x", "time": "yesterday"}]}, RequestError, "ISO 8601"),
        ({"wish": 3}, RequestError, "wish is a int; a text"),
        ({"wish": None}, RequestError, "wish is a NoneType"),
        ({"wish": "x" * 2_001}, RequestError, "2,001 characters"),
        ({"context": "family"}, RequestError, "context is a str; a mapping"),
        ({"context": {"time": "25:00"}}, RequestError, "'25:00' is not ISO 8601"),
        ({"context": {"": "x"}}, RequestError, "key is empty"),
        ({"k": 0}, RequestError, "k is 0"),
        ({"k": "5"}, RequestError, "k is '5'"),
        ({"filters": ["colour == red"]}, FilterError, "colour"),
        ({"filters": ["year >= wild"]}, FilterError, "wild"),
        ({"filters": [""]}, FilterError, ""),
        ({"filters": "year >= 1990"}, RequestError, "filters is a str; a list"),
        ({"exclude": "comedy-0"}, RequestError, "exclude is a str; a list"),
        ({"exclude": [50]}, RequestError, "exclude holds 50; ids are strings"),
        ({"exclude": 50}, RequestError, "exclude is a int"),
        ({"language": "fr"}, RequestError, "one of auto, en, zh"),
    ],
)
def test_what_cannot_be_a_request(
    dataset: Dataset, question: dict[str, Any], kind: type[InputError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        build_request(dataset, **question)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_what_was_handed_in_stays_as_it_was(dataset: Dataset) -> None:
    entry = {"id": "comedy-0", "rating": 4}
    history, context = [entry, "Unheard Of"], {"company": " family "}
    build_request(dataset, history=history, context=context)
    assert history == [{"id": "comedy-0", "rating": 4}, "Unheard Of"]
    assert context == {"company": " family "}


def test_small_helpers() -> None:
    assert as_context(None) == Context()
    assert as_language("auto", "", Context()) == "en"
    assert Item(id="1", title="x").genres == ()


@pytest.mark.parametrize("filters", [None, 5, "year>=1990", {"year": 1990}])
def test_filters_are_a_list(filters: Any) -> None:
    with pytest.raises(RequestError, match=r"filters is a .*; a list is wanted"):
        build_request(film_data(), filters=filters)
