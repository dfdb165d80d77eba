"""Splits are partitions, repeat exactly, and never let training see what comes after a held-out event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Split, TieRule, global_time, leave_one_out, per_user_ratio
from tastemaker.errors import DataError

ITEMS = pa.table({"id": [str(n) for n in range(12)], "title": [f"t{n}" for n in range(12)]})
times = st.one_of(st.none(), st.integers(0, 6).map(float))
events = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 11).map(str), times), max_size=40)


def make(rows: list[tuple[str, str, float | None]]) -> Dataset:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    table = pa.table(
        {
            "user_id": pa.array(columns[0], pa.string()),
            "item_id": pa.array(columns[1], pa.string()),
            "timestamp": pa.array(columns[2], pa.float64()),
            "mood": pa.array([f"mood {n}" for n in range(len(rows))], pa.string()),
        }
    )
    return Dataset.from_tables(ITEMS, table)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["user_id"], row["item_id"], row["timestamp"], row["mood"]


def check_partition(dataset: Dataset, split: Split) -> None:
    train = [key(row) for row in split.train.interactions.to_pylist()]
    held = [
        (one.user_id, one.item_id, one.timestamp, one.context["mood"])
        for one in (*split.validation, *split.test)
    ]
    assert Counter(train) + Counter(held) == Counter(map(key, dataset.interactions.to_pylist()))
    assert split.train.item_ids == dataset.item_ids

    def clock(value: float | None) -> float:
        return -1.0 if value is None else value

    newest: dict[str, float] = {}
    for stage in (
        [(row[0], row[2]) for row in train],
        [(one.user_id, one.timestamp) for one in split.validation],
        [(one.user_id, one.timestamp) for one in split.test],
    ):
        for user, time in stage:
            assert clock(time) >= newest.get(user, -1.0)
        for user, time in stage:
            newest[user] = max(newest.get(user, -1.0), clock(time))


@settings(deadline=None)
@given(events, st.sampled_from(["item_id", "random", "row"]), st.integers(0, 3))
def test_leave_one_out_partitions_without_leaks(
    rows: list[tuple[str, str, float | None]], ties: TieRule, seed: int
) -> None:
    dataset = make(rows)
    split = leave_one_out(dataset, ties=ties, seed=seed)
    check_partition(dataset, split)
    counts = Counter(row[0] for row in rows)
    assert {one.user_id for one in split.test} == {user for user, count in counts.items() if count >= 3}
    again = leave_one_out(dataset, ties=ties, seed=seed)
    assert (split.test, split.validation) == (again.test, again.validation)


@settings(deadline=None)
@given(events, st.floats(0.05, 0.6), st.floats(0, 0.35))
def test_ratio_partitions_without_leaks(
    rows: list[tuple[str, str, float | None]], test: float, validation: float
) -> None:
    dataset = make(rows)
    split = per_user_ratio(dataset, test_share=test, validation_share=validation)
    check_partition(dataset, split)
    assert set(split.train.interactions["user_id"].to_pylist()) == {row[0] for row in rows}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.just("1"), st.integers(0, 30).map(float)),
        min_size=1,
        max_size=40,
    )
)
def test_global_time_partitions_without_leaks(rows: list[tuple[str, str, float | None]]) -> None:
    dataset = make(rows)
    try:
        split = global_time(dataset)
    except DataError:
        assert (
            min(row[2] or 0 for row in rows)
            == sorted(row[2] or 0 for row in rows)[-(-len(rows) * 8 // 10) - 1]
        )
        return
    check_partition(dataset, split)
    train = [time or 0.0 for time in split.train.interactions["timestamp"].to_pylist()]
    held = [one.timestamp or 0.0 for one in (*split.validation, *split.test)]
    assert max(train) < min(held)


def test_the_last_event_is_the_test_and_the_one_before_validation() -> None:
    dataset = make([("a", "3", 30.0), ("a", "1", 10.0), ("a", "2", 20.0), ("b", "4", 1.0), ("b", "5", 2.0)])
    split = leave_one_out(dataset)
    assert [(one.user_id, one.item_id) for one in split.test] == [("a", "3")]
    assert [(one.user_id, one.item_id) for one in split.validation] == [("a", "2")]
    assert split.test[0].context == {"mood": "mood 0"}
    assert split.train.history("b").item_ids == ("4", "5")


def test_tie_rules() -> None:
    dataset = make([("a", "10", 5.0), ("a", "9", 5.0), ("a", "2", 5.0)])
    assert leave_one_out(dataset, ties="item_id").test[0].item_id == "10"  # numbers, not text: "10" < "9"
    assert leave_one_out(dataset, ties="row").test[0].item_id == "2"
    drawn = {leave_one_out(dataset, ties="random", seed=seed).test[0].item_id for seed in range(40)}
    assert drawn == {"10", "9", "2"}
    assert "equal times by item id" in leave_one_out(dataset).description
    assert "seed 7" in leave_one_out(dataset, ties="random", seed=7).description


def test_histories_follow_the_tie_rule_too() -> None:
    dataset = make([("a", item, 5.0) for item in ("10", "9", "2", "11", "7", "1")])
    assert leave_one_out(dataset, ties="item_id").train.history("a").item_ids == ("1", "2", "7", "9")
    assert leave_one_out(dataset, ties="row").train.history("a").item_ids == ("10", "9", "2", "11")
    splits = [leave_one_out(dataset, ties="random", seed=seed) for seed in range(40)]
    assert len({split.train.history("a").item_ids for split in splits}) > 30


def test_without_a_clock_the_file_is_the_order() -> None:
    dataset = make([("a", "3", None), ("a", "1", None), ("a", "2", None)])
    assert leave_one_out(dataset, ties="item_id").test[0].item_id == "2"
    with pytest.raises(DataError, match="3 of 3 events have no time"):
        global_time(dataset)


def test_ratio_counts() -> None:
    dataset = make([("a", str(n), float(n)) for n in range(10)])
    split = per_user_ratio(dataset, test_share=0.2, validation_share=0.1)
    assert [one.item_id for one in split.test] == ["8", "9"]
    assert [one.item_id for one in split.validation] == ["7"]


@pytest.mark.parametrize(("test", "validation"), [(0.0, 0.0), (0.9, 0.2), (-0.1, 0.5)])
def test_impossible_shares_are_refused(test: float, validation: float) -> None:
    with pytest.raises(DataError, match="shares"):
        per_user_ratio(make([("a", "1", 1.0)]), test_share=test, validation_share=validation)
