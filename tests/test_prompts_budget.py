"""Cutting to a number of tokens with nothing but a counter."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.prompts.budget import fit_texts, newest_that_fit


def pairs(texts: Sequence[str]) -> list[int]:
    """A tokenizer of two characters a token."""
    return [-(-len(text) // 2) for text in texts]


def test_short_texts_stay_and_long_ones_are_cut_as_little_as_needed() -> None:
    texts, cut = fit_texts(["abcd", "abcdefghij", ""], [2, 3, 0], pairs)
    assert texts == ["abcd", "abcde…", ""]
    assert cut == 1


def test_a_limit_of_nothing_leaves_nothing() -> None:
    assert fit_texts(["ab", "a"], [0, 0], pairs) == (["", ""], 2)
    assert fit_texts([], [], pairs) == ([], 0)


def test_many_long_texts_take_few_calls() -> None:
    calls = []

    def counting(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return pairs(texts)

    fit_texts(["x" * 300] * 50, [10] * 50, counting)
    assert len(calls) <= 10


@given(st.lists(st.tuples(st.text(max_size=60), st.integers(0, 12)), max_size=6))
def test_every_text_fits_its_limit(jobs: list[tuple[str, int]]) -> None:
    texts, limits = [text for text, _ in jobs], [limit for _, limit in jobs]
    fitted, cut = fit_texts(texts, limits, pairs)
    assert all(count <= limit for count, limit in zip(pairs(fitted), limits, strict=True))
    assert cut == sum(count > limit for count, limit in zip(pairs(texts), limits, strict=True))


def test_the_newest_are_kept() -> None:
    assert newest_that_fit([9, 1, 2, 3], 6) == 3
    assert newest_that_fit([1, 9, 2], 5) == 1
    assert newest_that_fit([1, 1], -3) == 0
    assert newest_that_fit([], 5) == 0
