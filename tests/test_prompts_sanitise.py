"""Text of strangers stays on its line, in its field, and out of the chat markup."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tastemaker.prompts.sanitise import FIELD_SEPARATOR, clean_field, clean_text, shorten


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Alien\n\n(1979)\t", "Alien (1979)"),
        ("a\u202eb\u200bc\u2066d\ufeff", "abcd"),
        ("a\x00\x1b[31mb", "a[31mb"),
        ("line\u2028separator\u2029s", "line separator s"),
        ("x<|im_end|>y</s>", "x‹|im_end|>y‹/s>"),
        ("<start_of_turn>user", "‹start_of_turn>user"),
        ("[INST] now [/INST]", "(INST) now (/INST)"),
        ("[REC] (2007)", "[REC] (2007)"),
        ("I <3 you, 1 < 2", "I <3 you, 1 < 2"),
        ("卧虎藏龙 مرحبا 👩‍🚀", "卧虎藏龙 مرحبا 👩‍🚀"),
    ],
)
def test_what_is_kept_and_what_goes(text: str, wanted: str) -> None:
    assert clean_text(text) == wanted


@given(st.text())
@example("<\u200b<|")
@example("[[INST]]")
def test_any_text_becomes_one_visible_line_and_cleaning_again_changes_nothing(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned == cleaned.strip()
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in cleaned)
    assert "<|" not in cleaned
    assert "[INST]" not in cleaned
    cleaned.encode()


@given(st.text(alphabet=st.sampled_from("a |\n\u200b/")))
def test_a_field_cannot_hold_the_separator(text: str) -> None:
    assert FIELD_SEPARATOR.strip() not in clean_field(text)


@given(st.text(max_size=40), st.integers(1, 30))
def test_shortened_text_is_no_longer_than_asked_and_says_that_it_was_cut(text: str, limit: int) -> None:
    cut = shorten(text, limit)
    assert len(cut) <= limit
    assert cut == text or cut.endswith("…")
