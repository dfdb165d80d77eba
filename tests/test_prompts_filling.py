"""Patterns are strict; what is put into them is never read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.prompts.filling import fill, placeholders


def test_names_are_found() -> None:
    assert placeholders("${title} by ${brand}, ${title}") == {"title", "brand"}


@pytest.mark.parametrize("pattern", ["{title}", "${title", "$title", "costs $5", "${a}}", "${Title}", "${}"])
def test_stray_braces_and_dollars_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        placeholders(pattern)


@given(st.text(), st.text())
def test_values_are_inserted_as_they_are(first: str, second: str) -> None:
    assert fill("<${a}|${b}>", a=first, b=second) == f"<{first}|{second}>"


def test_a_value_that_looks_like_a_placeholder_is_not_filled() -> None:
    assert fill("${a} ${b}", a="${b} {b} $b {{b}} %(b)s", b="x") == "${b} {b} $b {{b}} %(b)s x"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        fill("${a} ${b}", a="x")
