from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.index.transitions import TransitionRetriever, transition_counts
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset, typed
from tastemaker.types import HistoryEntry, Request, UserHistory


class TestTransitionRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> TransitionRetriever:
        return TransitionRetriever(dataset)


def history_of(*item_ids: str) -> Request:
    return Request(history=UserHistory(entries=tuple(HistoryEntry(title=i, item_id=i) for i in item_ids)))


def dataset_of(*sequences: str) -> Dataset:
    """One user per text, one event per letter, in order; items a..h."""
    events = [
        (f"u{user}", letter, float(step))
        for user, letters in enumerate(sequences)
        for step, letter in enumerate(letters)
    ]
    users, items, times = zip(*events, strict=True)
    letters = list("abcdefgh")
    return Dataset.from_tables(
        pa.table({"id": letters, "title": letters}),
        pa.table({"user_id": users, "item_id": items, "timestamp": times}),
    )


def test_scores_known_by_construction() -> None:
    # a b c twice, and b d: after b come c (2 of 2 at distance 1) and d (1); a-c are two steps apart.
    dataset = dataset_of("abc", "abc", "bd")
    retriever = TransitionRetriever(
        dataset, window=2, gap_weight=0.5, popularity_power=1.0, length=2, decay=0.25
    )
    found = {c.item.id: c.score for c in retriever.retrieve([history_of("a", "b")], 9)[0]}
    # from b (age 0): c 2/(3*2), d 1/(3*1); from a (age 1, times .25): c 2*.5/(2*2)
    assert found == pytest.approx({"c": 2 / 6 + 0.25 * 1 / 4, "d": 1 / 3})


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=7), min_size=1, max_size=4), st.integers(1, 9))
def test_counts_equal_a_plain_double_loop(sequences: list[str], window: int) -> None:
    expected = np.zeros((8, 8))
    for letters in sequences:
        for i, earlier in enumerate(letters):
            for j in range(i + 1, min(i + window, len(letters) - 1) + 1):
                if letters[j] != earlier:
                    expected["abcdefgh".index(earlier), "abcdefgh".index(letters[j])] += 0.9 ** (j - i - 1)
    codes = dataset_of(*sequences).codes()
    found = transition_counts(codes.user, codes.item, 8, window, 0.9)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5)


def test_users_are_not_mixed_and_order_matters() -> None:
    retriever = TransitionRetriever(dataset_of("ab", "cd"))
    ids = [[c.item.id for c in found] for found in retriever.retrieve([history_of("a"), history_of("b")], 9)]
    assert ids == [["b"], []]


def test_only_what_followed_is_known() -> None:
    retriever = TransitionRetriever(contract_dataset())
    silent = [Request(), Request(history=typed("x")), Request(wish="horror"), history_of("horror-7")]
    assert retriever.retrieve(silent, 9) == [()] * 4
    found = retriever.retrieve([history_of("western-0", "gone")], 9)[0]
    assert {c.item.genres[0] for c in found} == {"western"}


def test_only_the_last_entries_are_read() -> None:
    retriever = TransitionRetriever(dataset_of("ab", "cd"), length=1)
    assert [c.item.id for c in retriever.retrieve([history_of("a", "c")], 9)[0]] == ["d"]


def test_without_interactions_it_is_silent() -> None:
    dataset = Dataset.from_tables(pa.table({"id": ["a"], "title": ["A"]}))
    assert TransitionRetriever(dataset).retrieve([history_of("a")], 3) == [()]
