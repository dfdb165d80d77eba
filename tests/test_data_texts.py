"""Texts from strangers become harmless; spellings of one title meet."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.data.texts import alias_keys, clean_text, split_year, title_key


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("  Alien \n (1979)\t", "Alien (1979)"),
        ("a\x00b\x07c", "abc"),
        ("in\u200bvisi\ufeffble", "invisible"),
        ("\u202eevil\u202c", "evil"),
        ("tag\U000e0041\U000e0042", "tag"),
        ("soft\u00adhyphen", "softhyphen"),
        ("pass\u200dword", "password"),
        ("a\u00a0b", "a b"),
        ("👨\u200d👩\u200d👧 family", "👨\u200d👩\u200d👧 family"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("فيلم", "فيلم"),
    ],
)
def test_what_cannot_be_seen_goes_and_what_can_stays(raw: str, wanted: str) -> None:
    assert clean_text(raw) == wanted


@given(st.text())
def test_clean_text_is_idempotent_and_free_of_control_characters(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert clean == clean.strip()
    assert "  " not in clean
    hidden = {"Cc", "Cf", "Cs", "Co"}
    assert all(unicodedata.category(char) not in hidden for char in clean if char not in "\u200c\u200d")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_printable_ascii_is_untouched(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Matrix, The (1999)", "the matrix"),
        ("The Matrix", "MATRIX, THE"),
        ("Postino, Il (1994)", "il postino"),
        ("Amélie", "amelie"),
        ("Tom & Jerry", "Tom and Jerry"),
        ("Schindler's List", "Schindlers List"),
        ("Se7en: Director's Cut!", "se7en directors cut"),
    ],
)
def test_spellings_of_one_title_have_one_key(one: str, other: str) -> None:
    assert title_key(one) == title_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Learn C", "Learn C++"),
        ("C#", "C"),
        ("Alien", "Aliens"),
        ("か", "が"),
        ("कि", "की"),
        ("👍", "👎"),
        ("!!!", "???"),
    ],
)
def test_different_titles_have_different_keys(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Alien (1979)", ("Alien", 1979)),
        ("Alien (1979) ", ("Alien", 1979)),
        ("Fullmetal Alchemist (2003-2004)", ("Fullmetal Alchemist", 2003)),
        ("The Office (2005–)", ("The Office", 2005)),
        ("2001", ("2001", None)),
        ("Room (1408)", ("Room (1408)", None)),
        ("(1999)", ("(1999)", None)),
    ],
)
def test_the_year_is_split_off(title: str, wanted: tuple[str, int | None]) -> None:
    assert split_year(title) == wanted


def test_names_in_brackets_are_aliases() -> None:
    assert alias_keys("Seven (a.k.a. Se7en) (1995)") == ("seven", "se7en")
    assert alias_keys("City of Lost Children, The (Cité des enfants perdus, La) (1995)") == (
        "the city of lost children",
        "la cite des enfants perdus",
    )
    assert alias_keys("Alien (1979)") == ()
