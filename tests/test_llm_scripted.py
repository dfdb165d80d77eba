"""The scripted fake keeps the contract that it stands in for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tastemaker.errors import ModelError
from tastemaker.testing.language_model_contract import BARE, TITLES, LanguageModelContract
from tastemaker.testing.language_models import ScriptedLanguageModel, word_overlap


class TestScripted(LanguageModelContract):
    @pytest.fixture
    def language_model(self) -> ScriptedLanguageModel:
        return ScriptedLanguageModel(default_reply="hello there", context_length=512)


def test_replies_come_in_order_and_prompts_are_remembered() -> None:
    model = ScriptedLanguageModel(["one two three", "four"])
    assert model.generate([BARE, TITLES], max_new_tokens=2) == ["one two", "four"]
    assert model.prompts == [BARE, TITLES]
    with pytest.raises(ModelError, match="no reply left"):
        model.generate([BARE], max_new_tokens=2)


def test_scores_by_overlap_unless_told_otherwise() -> None:
    known, half, none = ScriptedLanguageModel().score(
        [replace(TITLES, choices=("Alien", "Alien Heat", "Heat"))]
    )[0]
    assert known == 0.0 > half > none
    assert word_overlap(TITLES, "") == 0.0
    model = ScriptedLanguageModel(score=lambda prompt, choice: float(len(choice)))
    assert model.score([replace(TITLES, choices=("a", "abc"))])[0].tolist() == [1.0, 3.0]
