"""Figures about the lists against values by hand; buckets partition the questions; ceilings bound recall."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.eval.buckets import buckets_of, ceiling_of
from tastemaker.eval.lists import ListStatistics
from tastemaker.eval.outcomes import Outcome
from tastemaker.types import HistoryEntry, Request, UserHistory


@pytest.fixture(scope="module")
def train() -> Dataset:
    """Items a, b, c, d with 3, 1, 1 and 0 events."""
    pairs = [("u", "a"), ("v", "a"), ("w", "a"), ("u", "b"), ("v", "c")]
    users, items = zip(*pairs, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": [1.0] * len(pairs)})
    return Dataset.from_tables(pa.table({"id": list("abcd"), "title": list("ABCD")}), table)


def having_had(*item_ids: str) -> Request:
    entries = tuple(HistoryEntry(title=item_id, item_id=item_id) for item_id in item_ids)
    return Request(history=UserHistory(user_id="u", entries=entries))


def test_figures_by_hand(train: Dataset) -> None:
    statistics = ListStatistics(train)
    statistics.add(having_had("a", "unknown"), ["b", "d"])
    statistics.add(having_had("b"), ["b"])
    found = statistics.summary()
    assert found["coverage@10"] == 2 / 4
    # With one added to each count the shares are 4/9, 2/9, 2/9 and 1/9.
    bits_b, bits_d = -math.log2(2 / 9), -math.log2(1 / 9)
    assert found["novelty@10"] == pytest.approx(((bits_b + bits_d) / 2 + bits_b) / 2, abs=1e-5)
    # Percentiles: d 1/8, b and c share (2.5 - .5)/4 = 1/2, a 7/8.
    assert found["popularity@10"] == pytest.approx(((1 / 2 + 1 / 8) / 2 + 1 / 2) / 2, abs=1e-5)
    assert found["popularity_history"] == pytest.approx((7 / 8 + 1 / 2) / 2, abs=1e-5)
    assert (statistics.popularity("a"), statistics.popularity("d")) == (3, 0)
    assert statistics.knows_user("u")
    assert not statistics.knows_user("nobody")
    assert not statistics.knows_user(None)


def test_only_the_first_ten_count() -> None:
    names = [f"i{n}" for n in range(12)]
    items = pa.table({"id": names, "title": names})
    events = pa.table({"user_id": ["u"], "item_id": ["i0"], "timestamp": [1.0]})
    statistics = ListStatistics(Dataset.from_tables(items, events))
    statistics.add(Request(), names)
    assert statistics.summary()["coverage@10"] == round(10 / 12, 5)


def test_nothing_listed_is_nothing(train: Dataset) -> None:
    statistics = ListStatistics(train)
    statistics.add(Request(), [])
    assert set(statistics.summary().values()) == {0.0}


outcomes = st.builds(
    Outcome,
    user=st.text(max_size=3),
    rank=st.integers(0, 60),
    position=st.one_of(st.none(), st.integers(0, 100)),
    history=st.integers(0, 900),
    popularity=st.integers(0, 300),
    new_user=st.booleans(),
)


def outcome(**changed: object) -> Outcome:
    usual = {"user": "u", "rank": 1, "position": None, "history": 7, "popularity": 3, "new_user": False}
    return Outcome(**{**usual, **changed})  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(st.lists(outcomes, min_size=1, max_size=20))
def test_buckets_partition_the_questions(drawn: list[Outcome]) -> None:
    for grouping, rows in buckets_of([drawn], seed=0).items():
        counted = [one for one in drawn if grouping != "position" or one.position is not None]
        assert sum(row["questions"] for row in rows) == len(counted)
        assert len({row["label"] for row in rows}) == len(rows)
        hits = sum(row["questions"] * row["metrics"]["recall@10"] for row in rows)
        assert hits == pytest.approx(sum(1 <= one.rank <= 10 for one in counted), abs=1e-2)


def test_five_draws_of_one_user_are_not_five_users() -> None:
    drawn = [
        Outcome(user=f"u{i}", rank=i % 2, position=None, history=7, popularity=3, new_user=False)
        for i in range(60)
    ]
    once, often = (buckets_of([drawn] * draws, seed=0)["history"][0] for draws in (1, 5))
    assert often["questions"] == 5 * once["questions"]
    assert (often["metrics"], often["ci95"]) == (once["metrics"], once["ci95"])


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("history", 0, "none"),
        ("history", 2, "1-2"),
        ("history", 19, "10-19"),
        ("history", 500, "500+"),
        ("popularity", 0, "new item"),
        ("popularity", 4, "1-4"),
        ("popularity", 5, "5-9"),
        ("position", 0, "not found"),
        ("position", 1, "1"),
        ("position", 3, "2-3"),
        ("position", 20, "11-20"),
        ("position", 61, "61+"),
        ("new_user", True, "new user"),
        ("new_user", False, "known user"),
    ],
)
def test_labels(name: str, value: int, label: str) -> None:
    (row,) = buckets_of([[outcome(**{name: value})]], seed=0)[name]
    assert row["label"] == label


def test_draws_count_one_by_one_and_retrievers_have_no_positions() -> None:
    found = buckets_of([[outcome(rank=1)], [outcome(rank=0)]], seed=0)
    assert found["history"][0]["questions"] == 2
    assert found["history"][0]["metrics"] == {"recall@10": 0.5, "ndcg@10": 0.5}
    assert "position" not in found


def test_the_ceiling_is_the_recall_of_the_candidates() -> None:
    reranked = [outcome(rank=3, position=18), outcome(rank=1, position=4), outcome(rank=0, position=0)]
    found = ceiling_of([reranked])
    assert [found[n] for n in ("5", "10", "20", "100")] == [0.33333, 0.33333, 0.66667, 0.66667]
    retrieved = ceiling_of([[outcome(rank=rank) for rank in (5, 40, 0, 21)]])
    assert [retrieved[n] for n in ("5", "10", "20", "40", "100")] == [0.25, 0.25, 0.25, 0.75, 0.75]
