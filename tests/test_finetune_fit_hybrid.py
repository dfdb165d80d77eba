"""The fitted weights: right where the answer is known, calibrated, and blind to what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tastemaker.finetune.fit_hybrid import (
    MIN_WEIGHT,
    HybridExample,
    equal_weights,
    fit_hybrid,
    fit_weights,
    hybrid_examples,
    weigh_parts,
)
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import SITUATED, HybridRetriever, HybridWeights, build_retriever
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import contract_dataset
from tastemaker.types import Request

RNG = np.random.default_rng(7)


def drawn(weights: Sequence[float], count: int, items: int = 12) -> list[HybridExample]:
    """Examples whose target is drawn from the very model that is fitted."""
    examples = []
    for _ in range(count):
        logits = RNG.normal(size=(items, len(weights))).astype(np.float32)
        powers = np.exp(logits @ np.array(weights))
        target = int(RNG.choice(items, p=powers / powers.sum()))
        examples.append(HybridExample(logits=logits, target=target))
    return examples


def test_the_weights_that_made_the_choices_are_found() -> None:
    fitted = fit_weights(drawn([1.5, 0.4, 0.0], 4_000), ["a", "b", "c"], 5_000)
    assert fitted.weights["a"] == pytest.approx(1.5, abs=0.08)
    assert fitted.weights["b"] == pytest.approx(0.4, abs=0.08)
    assert fitted.weights["c"] == pytest.approx(MIN_WEIGHT, abs=0.05)
    assert fitted.log_likelihood_uniform == pytest.approx(-np.log(12), abs=1e-4)
    assert fitted.log_likelihood > fitted.log_likelihood_uniform + 0.5
    assert (fitted.reached, fitted.events) == (4_000, 5_000)


def test_a_part_that_misleads_gets_the_least_weight_and_no_less() -> None:
    examples = [HybridExample(logits=np.array([[0.0], [1.0]], np.float32), target=0)] * 3
    assert fit_weights(examples, ["wrong"], 3).weights == {"wrong": MIN_WEIGHT}


def test_an_event_counts_by_its_weight() -> None:
    right = HybridExample(logits=np.array([[2.0], [0.0]], np.float32), target=0, weight=3.0)
    wrong = HybridExample(logits=np.array([[2.0], [0.0]], np.float32), target=1, weight=1.0)
    # The chance of the first is 3 in 4: e^2w = 3.
    assert fit_weights([right, wrong], ["a"], 2).weights["a"] == pytest.approx(np.log(3) / 2, abs=0.01)


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing can be fitted"):
        fit_weights([], ["a"], 0)


def parts(catalogue: Catalogue) -> list[CatalogueRetriever[Any]]:
    return [TransitionRetriever(catalogue), PopularityRetriever(catalogue)]


def test_examples_are_the_pool_s_logits_and_the_target_s_row() -> None:
    dataset = contract_dataset()
    retriever = HybridRetriever(
        Catalogue(dataset), parts(Catalogue(dataset)), equal_weights(("transitions",))
    )
    request = Request(history=dataset.history("horror-fan-0"))
    found = retriever.retrieve([request], 99)[0]
    wanted = found[1]
    gone = "horror-7"  # nobody had it: no part names it
    names = ("transitions", "silent")
    (example,) = hybrid_examples(retriever, [request, request], [wanted.item.id, gone], names)
    assert example.weight == 0.5
    assert example.logits.shape == (len(found), 2)
    assert example.logits[example.target].tolist() == pytest.approx([wanted.sources["transitions"], 0.0])


def test_who_follows_others_is_better_read_by_transitions_than_by_popularity() -> None:
    fitted = fit_hybrid(contract_dataset(), parts, folds=5, last=1)
    assert fitted.events == 15
    assert fitted.weights["transitions"] > 1 > fitted.weights["popularity"]
    assert fitted.log_likelihood > fitted.log_likelihood_uniform


def test_of_many_users_a_sample_is_hidden_at_once() -> None:
    built: list[Catalogue] = []

    def counted(catalogue: Catalogue) -> list[CatalogueRetriever[Any]]:
        built.append(catalogue)
        return parts(catalogue)

    done: list[tuple[int, int | None]] = []
    fitted = fit_hybrid(
        contract_dataset(), counted, last=1, max_users=4, progress=lambda _, n, total: done.append((n, total))
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert fitted.events == 4
    assert [len(catalogue.dataset.sequences()) for catalogue in built] == [11]


def test_the_fit_is_the_same_on_every_run() -> None:
    first, second = (fit_hybrid(contract_dataset(), parts, folds=3, seed=5) for _ in range(2))
    assert first == second


def test_the_product_s_parts_are_weighed_and_the_other_cases_stay() -> None:
    dataset, embedder = contract_dataset(), HashEmbedder(64)
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
    weights = weigh_parts(dataset, index, embedder)
    default = HybridWeights()
    assert set(weights.history) == set(weights.both) == set(default.history) - set(SITUATED)
    assert (weights.words, weights.nobody) == (default.words, default.nobody)
    assert weights.both == {**weights.history, "text": default.both["text"]}
    assert HybridWeights.from_dict(weights.to_dict()) == weights
    found = build_retriever(dataset, index, embedder, weights).retrieve([Request()], 3)[0]
    assert len(found) == 3
