from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.index.popularity import PopularityRetriever, conditions
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset
from tastemaker.types import Context, Request

HOUR = 3_600.0
DAY = 24 * HOUR
FRIDAY, SATURDAY, SUNDAY, MONDAY = 8 * DAY, 9 * DAY, 10 * DAY, 11 * DAY  # from 9 January 1970


class TestPopularityRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> PopularityRetriever:
        return PopularityRetriever(dataset)


def dataset_of(events: Sequence[tuple[str, float | None, str | None]]) -> Dataset:
    items, times, company = zip(*events, strict=True)
    return Dataset.from_tables(
        pa.table({"id": ["a", "b", "c"], "title": ["A", "B", "C"]}),
        pa.table(
            {
                "user_id": [f"u{row}" for row in range(len(events))],
                "item_id": items,
                "timestamp": pa.array(times, pa.float64()),
                "Company": pa.array(company, pa.string()),
            }
        ),
    )


def order(dataset: Dataset, **context: object) -> str:
    request = Request(context=Context.from_mapping(context))
    return "".join(c.item.id for c in PopularityRetriever(dataset).retrieve([request], 9)[0])


def test_nobody_in_particular_gets_the_most_popular_first() -> None:
    dataset = dataset_of([("b", None, None)] * 3 + [("c", None, None)] * 2)
    assert order(dataset) == "bca"
    scores = [c.score for c in PopularityRetriever(dataset).retrieve([Request()], 9)[0]]
    assert scores == pytest.approx(np.log([4, 3, 1]))


def test_the_clock_moves_the_order() -> None:
    # a: mornings on weekdays; b, a little less popular: Saturday evenings.
    dataset = dataset_of([("a", MONDAY + 9 * HOUR, None)] * 60 + [("b", SATURDAY + 21 * HOUR, None)] * 50)
    assert order(dataset) == "abc"
    assert order(dataset, time=datetime(2026, 11, 28, 20)) == "bac"  # a Saturday
    assert order(dataset, time=datetime(2026, 11, 30, 8)) == "abc"


@pytest.mark.parametrize("weekday", [FRIDAY, MONDAY])
@pytest.mark.parametrize("weekend", [SATURDAY, SUNDAY])
def test_the_weekend_is_saturday_and_sunday(weekday: float, weekend: float) -> None:
    dataset = dataset_of([("a", weekday + HOUR, None)] * 60 + [("b", weekend + HOUR, None)] * 50)
    orders = [order(dataset, time=datetime(2026, 11, day, 1)) for day in (27, 28, 29, 30)]  # Friday to Monday
    assert orders == ["abc", "bac", "bac", "abc"]


def test_what_was_said_clears_what_it_denies_of_the_clock_and_a_date_is_no_night() -> None:
    asked = {"time": "2026-11-27T10:00"}  # a Friday

    def found(**context: object) -> dict[str, str]:
        return dict(conditions(Request(context=Context.from_mapping(context))))

    assert found(**asked) == {"part of day": "morning", "day": "weekday"}
    assert found(time="2026-11-27T18:00") == {"part of day": "evening", "day": "weekend"}
    assert found(**asked, weekday="sunday") == {"day": "weekend"}
    assert found(**asked, part_of_day="night") == {"part of day": "night", "day": "weekend"}
    assert found(time="2026-11-28") == {"day": "weekend"}


def test_context_columns_count_whatever_their_case() -> None:
    dataset = dataset_of(
        [("a", None, "alone")] * 60 + [("b", None, "Family")] * 25 + [("b", None, "family")] * 25
    )
    assert order(dataset, company="FAMILY") == "bac"
    assert order(dataset, company="alone") == "abc"
    assert order(dataset, company="friends") == order(dataset, weather="rain") == order(dataset) == "abc"


def test_lift_by_the_formula_and_shrunk_for_few_events() -> None:
    dataset = dataset_of(
        [("a", None, "x")] * 30 + [("a", None, None)] * 30 + [("b", None, "x"), ("c", None, "y")]
    )
    found = PopularityRetriever(dataset, prior=20).retrieve(
        [Request(context=Context.from_mapping({"company": "x"}))], 9
    )
    share = 31 / 62
    lift = {
        i: (n + 20 * share) / (all_ + 20) / share for i, n, all_ in (("a", 30, 60), ("b", 1, 1), ("c", 0, 1))
    }
    expected = {"a": np.log(61 * lift["a"]), "b": np.log(2 * lift["b"]), "c": np.log(2 * lift["c"])}
    assert {c.item.id: c.score for c in found[0]} == pytest.approx(expected)
    assert 1 < lift["b"] < 1.1


def test_an_item_without_events_scores_0_in_every_situation() -> None:
    dataset = contract_dataset()
    moment = Request(context=Context.from_mapping({"time": "2026-11-28T21:30"}))
    scores = {c.item.id: c.score for c in PopularityRetriever(dataset).retrieve([moment], 99)[0]}
    assert len(scores) == 24
    assert scores["horror-7"] == 0


def test_without_any_interaction_the_ids_decide() -> None:
    dataset = Dataset.from_tables(pa.table({"id": ["b", "a"], "title": ["B", "A"]}))
    found = PopularityRetriever(dataset).retrieve([Request()], 9)[0]
    assert [(c.item.id, c.score) for c in found] == [("a", 0.0), ("b", 0.0)]
