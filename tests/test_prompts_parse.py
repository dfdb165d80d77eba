"""Whatever a model says becomes a permutation, and what was mended is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.prompts.labels import LABELS
from tastemaker.prompts.parse import parse_order

ABC = ("A", "B", "C")


@pytest.mark.parametrize(
    ("reply", "order", "repairs"),
    [
        ("B > A > C", "BAC", 0),
        ("[C], [A], [B]", "CAB", 0),
        ("1. C\n2. B\n3. A", "CBA", 0),
        ("C, C, A, B", "CAB", 1),
        ("B", "BAC", 2),
        ("", "ABC", 3),
        ("I'm sorry, I cannot.", "ABC", 3),
        ("c > a > b", "CAB", 1),
        ("Ｂ＞Ａ＞Ｃ", "BAC", 0),
        ("选B，然后是A，最后C。", "BAC", 0),
        ("A film like B fits best", "BAC", 2),
        ("A and C, then B", "ACB", 0),
        ("Z > B > X > A > C", "BAC", 0),
        ("CAB", "ABC", 3),
    ],
)
def test_replies(reply: str, order: str, repairs: int) -> None:
    assert parse_order(reply, ABC) == (tuple(order), repairs)


def test_i_think_is_no_label() -> None:
    assert parse_order("I think J > I", LABELS[:10])[0][:2] == ("J", "I")


def test_numbers_can_be_labels_and_the_longest_wins() -> None:
    labels = tuple(str(n) for n in range(1, 13))
    assert parse_order("[12] > [1] > [11]", labels)[0][:3] == ("12", "1", "11")


@given(st.text(), st.integers(0, 20))
def test_any_string_gives_a_permutation(text: str, n: int) -> None:
    order, repairs = parse_order(text, LABELS[:n])
    assert sorted(order) == sorted(LABELS[:n])
    assert repairs >= 0


@given(st.permutations(LABELS), st.sampled_from([" > ", ", ", "\n", "] [", "；"]))
def test_what_is_rendered_parses_back_without_repairs(labels: list[str], separator: str) -> None:
    assert parse_order(separator.join(labels), LABELS) == (tuple(labels), 0)
