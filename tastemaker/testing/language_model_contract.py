"""What every ``LanguageModel`` must hold, as a test class to inherit. Needs pytest.

::

    class TestMyModel(LanguageModelContract):
        @pytest.fixture
        def language_model(self):
            return MyModel()
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tastemaker.errors import ModelError
from tastemaker.protocols import LanguageModel
from tastemaker.types import Prompt

LABELS = Prompt(
    system="You rank films.", user="History: Alien (1979).\nA. Heat\nB. Aliens\nBest:", choices=("A", "B")
)
TITLES = Prompt(
    system="You rank films.",
    user="The user liked Alien (1979). Next film:",
    choices=("Heat (1995)", "Toy Story (1995)", "Aliens", "推荐一部电影 🎬", "Heat (1995)"),
)
ANSWERS = Prompt(
    system="",
    user="The user liked Alien (1979). Does this film fit?\n",
    choices=("Heat (1995)", "A light comedy for a Friday night", "Heat (1995)"),
    answers=("yes", "no"),
)
BARE = Prompt(system="Be brief.", user="Say hello.")


class LanguageModelContract:
    """Inherit and provide the fixture ``language_model``."""

    tolerance = 1e-3
    """Nats by which equal questions may differ in different batches; about .3 for bfloat16."""
    scores_titles = True
    """False for models that can score labels and answers only."""

    @property
    def prompts(self) -> list[Prompt]:
        return [LABELS, TITLES, ANSWERS] if self.scores_titles else [LABELS, ANSWERS]

    def test_is_a_language_model(self, language_model: LanguageModel) -> None:
        assert isinstance(language_model, LanguageModel)
        assert language_model.name
        assert language_model.context_length > 0

    def test_nothing_in_nothing_out(self, language_model: LanguageModel) -> None:
        assert language_model.score([]) == []
        assert language_model.generate([], max_new_tokens=4) == []
        assert language_model.count_tokens([]) == []

    def test_one_finite_float32_score_per_choice(self, language_model: LanguageModel) -> None:
        for prompt, scores in zip(self.prompts, language_model.score(self.prompts), strict=True):
            assert scores.dtype == np.float32
            assert scores.shape == (len(prompt.choices),)
            assert np.isfinite(scores).all()

    def test_log_probabilities_are_not_positive(self, language_model: LanguageModel) -> None:
        for prompt in self.prompts:
            if prompt.answers is None:
                assert (language_model.score([prompt])[0] <= 1e-4).all()

    def test_a_prompt_without_choices_gets_no_scores(self, language_model: LanguageModel) -> None:
        empty, full = language_model.score([BARE, LABELS])
        assert empty.shape == (0,)
        assert full.shape == (2,)

    def test_a_batch_equals_its_singles_in_any_order(self, language_model: LanguageModel) -> None:
        singles = [language_model.score([prompt])[0] for prompt in self.prompts]
        forward = language_model.score(self.prompts)
        backward = language_model.score(self.prompts[::-1])[::-1]
        for single, one, other in zip(singles, forward, backward, strict=True):
            np.testing.assert_allclose(one, single, atol=self.tolerance, rtol=0)
            np.testing.assert_allclose(other, single, atol=self.tolerance, rtol=0)

    def test_a_score_does_not_depend_on_the_other_choices(self, language_model: LanguageModel) -> None:
        for prompt in self.prompts:
            together = language_model.score([prompt])[0]
            for choice, score in zip(prompt.choices, together, strict=True):
                alone = language_model.score([replace(prompt, choices=(choice,))])[0]
                np.testing.assert_allclose(alone, [score], atol=self.tolerance, rtol=0)

    def test_equal_choices_get_equal_scores(self, language_model: LanguageModel) -> None:
        scores = language_model.score([ANSWERS])[0]
        assert scores[0] == pytest.approx(scores[2], abs=self.tolerance)

    def test_a_very_long_choice_is_scored(self, language_model: LanguageModel) -> None:
        choices = ("Heat (1995)", "very long title " * 625)
        long = replace(ANSWERS, choices=choices)
        asked = [long, replace(TITLES, choices=choices)] if self.scores_titles else [long]
        for scores in language_model.score(asked):
            assert np.isfinite(scores).all()

    def test_generation_keeps_order_and_length(self, language_model: LanguageModel) -> None:
        prompts = [BARE, replace(BARE, user="Name one film, then another one, then a third one.")]
        together = language_model.generate(prompts, max_new_tokens=5)
        assert together == [language_model.generate([prompt], max_new_tokens=5)[0] for prompt in prompts]

    def test_more_text_has_no_fewer_tokens(self, language_model: LanguageModel) -> None:
        none, short, long = language_model.count_tokens(["", "Heat", "Heat and Aliens and Toy Story"])
        assert none == 0 < short < long

    def test_a_prompt_beyond_the_context_is_refused(self, language_model: LanguageModel) -> None:
        endless = replace(ANSWERS, user="word " * 4 * language_model.context_length)
        with pytest.raises(ModelError, match=r"\d"):
            language_model.score([endless])
