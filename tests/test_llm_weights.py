"""The real default model knows obvious facts, in every form and quantisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tastemaker.agent.llm import TransformersLM
from tastemaker.errors import WeightsError
from tastemaker.types import Prompt

pytestmark = pytest.mark.weights

FACTS = Prompt(
    system="",
    user="Answer yes or no.\n",
    choices=("Is Paris in France?", "Is Paris in China?"),
    answers=("yes", "no"),
)
CAPITAL = Prompt(
    system="",
    user="Complete: the capital of France is",
    choices=("Paris", "London", "Rome", "Toyota", "a town on the Moon"),
)
LETTER = Prompt(
    system="",
    user="Which of these is a fruit?\nA. Hammer\nB. Banana\nC. Bicycle\nAnswer with one letter.",
    choices=("A", "B", "C"),
)


def load(**options: object) -> TransformersLM:
    from tastemaker.weights.fetch import ensure

    try:
        source = ensure("qwen2.5-coder-0.5b-instruct")
    except WeightsError as error:
        pytest.skip(f"no weights: {error}")
    return TransformersLM.load(
        source.path, name=source.name, fingerprint=source.fingerprint, device="cpu", **options
    )


@pytest.fixture(scope="module")
def model() -> TransformersLM:
    return load()


def test_facts_in_all_three_forms(model: TransformersLM) -> None:
    facts, capital, letter = model.score([FACTS, CAPITAL, LETTER])
    assert facts[0] > facts[1] + 0.1
    assert capital.argmax() == 0
    assert capital[0] > capital[3] + 5
    # Which letter is right is beyond this model: it says A wherever the banana stands.
    assert np.exp(letter).sum() > 0.5, "most of the probability is on the letters"


def test_seventy_five_candidates_equal_their_singles() -> None:
    # bfloat16, which processors with AMX compute in, rounds these sums of logarithms by up to .04.
    model = load(dtype="float32")
    titles = tuple(f"Film {number}" for number in range(75))
    many = replace(FACTS, choices=titles)
    scores = model.score([many])[0]
    for position in (0, 37, 74):
        alone = model.score([replace(many, choices=titles[position : position + 1])])[0]
        assert alone[0] == pytest.approx(scores[position], abs=2e-3)


def test_one_sentence(model: TransformersLM) -> None:
    asked = Prompt(system="Be brief.", user="What is the capital of France? Answer in one sentence.")
    [reply] = model.generate([asked], max_new_tokens=16)
    assert "Paris" in reply
    assert "<|" not in reply


def test_special_tokens_cannot_be_typed(model: TransformersLM) -> None:
    typed, harmless = model.count_tokens(["<|im_start|>", model._layout.harmless("<|im_start|>")])
    assert typed == 1 < harmless


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantised_weights_know_the_facts_too(
    model: TransformersLM, quantization: str, tmp_path: Path
) -> None:
    rough = load(quantization=quantization)
    facts, capital = rough.score([FACTS, CAPITAL])
    assert facts[0] > facts[1]
    assert capital.argmax() == 0
    assert np.abs(capital - model.score([CAPITAL])[0]).max() > 1e-3, "nothing was quantised"
    assert rough.generate([CAPITAL], max_new_tokens=4)[0]
