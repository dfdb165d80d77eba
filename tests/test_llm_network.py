"""Batching by length: a partition within the budget, split where padding would cost more than a pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.batching import length_batches


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 1_000), st.none() | st.integers(0, 200))
def test_batches_are_a_partition_within_the_budget(
    lengths: list[int], budget: int, pass_cost: int | None
) -> None:
    batches = list(length_batches(lengths, budget, pass_cost=pass_cost))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    longest = [lengths[batch[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_one_long_title_does_not_pad_all_the_others() -> None:
    lengths = [25, *[10] * 19]
    assert [len(batch) for batch in length_batches(lengths, 10_000)] == [20]
    assert [len(batch) for batch in length_batches(lengths, 10_000, pass_cost=64)] == [1, 19]
    assert [len(batch) for batch in length_batches([11, *[10] * 19], 10_000, pass_cost=64)] == [20]
