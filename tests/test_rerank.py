"""The reranker: permutations whatever the model does, the three forms, fusion and fallbacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.rerank import LLMReranker, RetrievalReranker, deal, mend
from tastemaker.config import ScoringForm
from tastemaker.errors import ModelError
from tastemaker.fusion import Fusion
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.language_models import ScriptedLanguageModel, tiny_model_folder
from tastemaker.testing.reranker_contract import (
    RerankerContract,
    assert_permutation,
    candidates_of,
    request_of,
)
from tastemaker.types import Prompt

FORMS: tuple[ScoringForm, ...] = ("labels", "answer", "title")


def reranker_of(
    model: ScriptedLanguageModel | TransformersLM, form: ScoringForm, **weights: float
) -> LLMReranker:
    renderer = PromptRenderer(
        model.count_tokens, history_length=10, prompt_tokens=512, title_tokens=32, domain="films"
    )
    return LLMReranker(model, renderer, form=form, fusion=Fusion(**weights))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TransformersLM:
    folder: Path = tiny_model_folder(tmp_path_factory.mktemp("tiny"))
    return TransformersLM.load(folder, name="tiny")


class TestTitleForm(RerankerContract):
    @pytest.fixture
    def reranker(self, tiny: TransformersLM) -> LLMReranker:
        return reranker_of(tiny, "title")


class TestAnswerForm(RerankerContract):
    @pytest.fixture
    def reranker(self, tiny: TransformersLM) -> LLMReranker:
        return reranker_of(tiny, "answer")


class TestLabelsForm(RerankerContract):
    @pytest.fixture
    def reranker(self, tiny: TransformersLM) -> LLMReranker:
        return reranker_of(tiny, "labels")

    def test_equal_titles_stay_apart(self, reranker: LLMReranker) -> None:  # type: ignore[override]
        """Letters differ even where titles do not, so only the permutation is promised."""
        found = candidates_of(["Hamlet", "Hamlet", "Hamlet"])
        (ranking,) = reranker.rerank([request_of("Macbeth")], [found])
        assert_permutation(ranking, found)


class TestRetrievalOrder(RerankerContract):
    @pytest.fixture
    def reranker(self) -> RetrievalReranker:
        return RetrievalReranker("no model")

    def test_says_that_it_is_a_fallback(self, reranker: RetrievalReranker) -> None:
        found = candidates_of(["a", "b"])
        (ranking,) = reranker.rerank([request_of("x")], [found])
        assert ranking.degraded == "no model"
        assert ranking.llm_share == 0.0
        assert [entry.item.id for entry in ranking.items] == ["c0", "c1"]
        assert all(entry.llm_score is None for entry in ranking.items)


def likes_toys(prompt: Prompt, choice: str) -> float:
    return 5.0 if "Toy" in choice else 0.0


@pytest.mark.parametrize("form", ["answer", "title"])
def test_the_model_moves_what_it_prefers_to_the_top(form: ScoringForm) -> None:
    found = candidates_of(["Alien", "Heat", "Toy Story", "Babe"])
    # The prior of the title form must not cancel the preference: it is asked without the history.
    model = ScriptedLanguageModel(score=lambda p, c: likes_toys(p, c) if "Macbeth" in p.user else 0.0)
    (ranking,) = reranker_of(model, form, retrieval=0.5, llm=5.0).rerank([request_of("Macbeth")], [found])
    assert ranking.items[0].item.title == "Toy Story"
    assert ranking.llm_share > 0.5
    assert ranking.model == "scripted"
    assert "@" in ranking.template


def test_labels_are_mapped_back_to_their_candidates() -> None:
    titles = [f"Film {i}" for i in range(45)]
    shown: list[str] = []

    def prefers_31(prompt: Prompt, choice: str) -> float:
        line = next(line for line in prompt.user.splitlines() if line.startswith(f"{choice.strip()}. "))
        shown.append(line)
        return 3.0 if "Film 31" in line else -3.0

    model = ScriptedLanguageModel(score=prefers_31)
    (ranking,) = reranker_of(model, "labels", retrieval=0.0, llm=1.0).rerank(
        [request_of("x")], [candidates_of(titles)]
    )
    assert ranking.items[0].item.title == "Film 31"
    assert len(shown) == 45
    assert len(model.prompts) == 3


def test_a_title_is_judged_against_its_own_likelihood() -> None:
    """A title that is likely for anybody must not win: only what history and wish add counts."""

    def likelihood(prompt: Prompt, choice: str) -> float:
        base = -1.0 if "Blockbuster" in choice else -20.0
        return base + (2.0 if "Rare" in choice and "Macbeth" in prompt.user else 0.0)

    model = ScriptedLanguageModel(score=likelihood)
    reranker = reranker_of(model, "title", retrieval=0.0, llm=1.0)
    (ranking,) = reranker.rerank([request_of("Macbeth")], [candidates_of(["Blockbuster", "Rare", "Other"])])
    assert ranking.items[0].item.title == "Rare"
    assert {entry.item.title: entry.llm_score for entry in ranking.items} == {
        "Blockbuster": pytest.approx(0.0),
        "Rare": pytest.approx(2.0),
        "Other": pytest.approx(0.0),
    }
    asked = len(model.prompts)
    reranker.rerank([request_of("Macbeth")], [candidates_of(["Blockbuster", "Rare", "Other"])])
    assert len(model.prompts) == asked + 1, "priors are computed once"


def test_a_failing_model_leaves_the_retrievers_order_and_says_so() -> None:
    def fail(prompt: Prompt, choice: str) -> float:
        raise ModelError("out of memory")

    found = candidates_of(["a", "b", "c"])
    reranker = reranker_of(ScriptedLanguageModel(score=fail), "title")
    (ranking,) = reranker.rerank([request_of("x")], [found])
    assert_permutation(ranking, found)
    assert [entry.item.id for entry in ranking.items] == ["c0", "c1", "c2"]
    assert ranking.degraded is not None
    assert "out of memory" in ranking.degraded


def test_scores_that_are_no_numbers_are_mended_and_counted() -> None:
    broken = {"b": float("nan"), "c": float("-inf")}
    model = ScriptedLanguageModel(score=lambda p, c: next((v for k, v in broken.items() if k in c), 1.0))
    found = candidates_of(["a", "b", "c", "d"])
    (ranking,) = reranker_of(model, "answer").rerank([request_of("x")], [found])
    assert_permutation(ranking, found)
    assert ranking.repairs == 2


@given(st.integers(0, 300), st.integers(1, 30))
def test_dealing_is_a_partition_into_the_fewest_even_hands(n: int, hand: int) -> None:
    hands = deal(n, hand)
    assert sorted(i for one in hands for i in one) == list(range(n))
    assert len(hands) == -(-n // hand)
    sizes = [len(one) for one in hands]
    assert not sizes or (max(sizes) <= hand and max(sizes) - min(sizes) <= 1)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_mending_leaves_good_scores_alone(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float64)
    mended, repairs = mend(scores)
    assert np.isfinite(mended).all()
    good = np.isfinite(scores)
    assert repairs == int((~good).sum())
    np.testing.assert_array_equal(mended[good], scores[good])
