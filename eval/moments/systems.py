"""The product's retriever over a set, with the situation or without, its weights fitted on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.eval.moments.questions import Cut, MomentQuestion, unsituated, without_situation
from tastemaker.finetune.fit_hybrid import HybridExample, equal_weights, fit_weights, hybrid_examples
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, behaviour_parts
from tastemaker.index.opinion import OpinionRetriever
from tastemaker.index.situation import HabitRetriever
from tastemaker.types import Request


def parts_of(data: Dataset, *, situated: bool) -> tuple[Catalogue, list[CatalogueRetriever[Any]]]:
    """Everything that counts behaviour; unsituated, the same parts without any situation."""
    catalogue = Catalogue(data if situated else without_situation(data))
    if situated:
        return catalogue, behaviour_parts(catalogue, repeats=True)
    blind = [HabitRetriever(catalogue, None), OpinionRetriever(catalogue, None)]
    return catalogue, [*behaviour_parts(catalogue), *blind]


def fitted(split: Cut, *, situated: bool) -> HybridRetriever:
    """Weights from every fold but the test's, each asked of parts that do not know it."""
    names: list[str] = []
    examples: list[HybridExample] = []
    for fold in split.validation:
        catalogue, parts = parts_of(fold.train, situated=situated)
        names = [part.name for part in parts]
        retriever = HybridRetriever(catalogue, parts, everywhere(equal_weights(names)))
        had = dict(zip(fold.train.item_ids, fold.train.item_counts.tolist(), strict=True))
        for question in fold.questions:
            # Of an item that nobody else has had, counts know nothing. Of LDOS-CoMoDa's choices 45 % are
            # such; only the situation's kinds name them, and fitting on them silenced what counts.
            wanted = [item for item in best_of(question) if had[item]]
            request = asked(question, situated)
            examples += hybrid_examples(retriever, [request] * len(wanted), wanted, names)
    weights = fit_weights(examples, names, len(examples)).weights
    catalogue, parts = parts_of(split.test.train, situated=situated)
    return HybridRetriever(catalogue, parts, everywhere(HybridWeights(history=weights)))


def everywhere(weights: HybridWeights) -> HybridWeights:
    """The weights of who has a history for everybody: of few events there are few without one."""
    same = dict(weights.history)
    return HybridWeights(history=same, both=same, words=same, nobody=same)


def best_of(question: MomentQuestion) -> list[str]:
    highest = max(question.gains.values())
    return [item for item, gain in question.gains.items() if gain == highest]


def asked(question: MomentQuestion, situated: bool) -> Request:
    return question.request if situated else unsituated(question.request)


def scores_of(
    retriever: HybridRetriever | CatalogueRetriever[Any],
    questions: Sequence[MomentQuestion],
    *,
    situated: bool,
) -> list[dict[str, float]]:
    """What a retriever gives each item that it names, per question."""
    requests = [asked(question, situated) for question in questions]
    if isinstance(retriever, CatalogueRetriever):
        return [_named(retriever, request) for request in requests]
    found = []
    for first in range(0, len(requests), 256):
        batch = requests[first : first + 256]
        found += retriever.retrieve(batch, max((request.k for request in batch), default=1))
    return [{one.item.id: one.score for one in candidates} for candidates in found]


def _named(retriever: CatalogueRetriever[Any], request: Request) -> dict[str, float]:
    """``retrieve`` without making items, ten times as fast: baselines are tried after every epoch."""
    (state,) = retriever.prepare([request])
    if state is None:
        return {}
    catalogue = retriever.catalogue
    positions, scores = retriever.top(state, catalogue.allowed(request), request.k)
    ids = [catalogue.dataset.item_ids[position] for position in positions.tolist()]
    return dict(zip(ids, scores.tolist(), strict=True))


def ndcg(question: MomentQuestion, scores: dict[str, float], k: int = 10) -> float:
    """NDCG@k with gains (Järvelin & Kekäläinen 2002); equal scores in the worst order, others last."""
    named = sorted(scores, key=lambda item: (-scores[item], question.gains.get(item, 0.0)))
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = [question.gains.get(item, 0.0) for item in named[:k]]
    ideal = sorted(question.gains.values(), reverse=True)[:k]
    return float(np.dot(gains, discounts[: len(gains)]) / np.dot(ideal, discounts[: len(ideal)]))
