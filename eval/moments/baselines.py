"""Baselines that read the situation, each tuned on the validation questions of the first split alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.dataset import Dataset
from tastemaker.eval.baselines.additive import additive_stages
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.moments.machine import machine_stages
from tastemaker.eval.moments.neighbours import SituatedNeighbours
from tastemaker.eval.moments.questions import Cut, MomentQuestion
from tastemaker.eval.moments.sets import Kind
from tastemaker.eval.moments.systems import ndcg, scores_of
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.situations import Situations

EPOCHS = 40
PATIENCE = 6
"""Epochs without a better validation NDCG@10 after which no more are tried."""

Setting = Mapping[str, Any]
Stages = Callable[[Dataset, Kind, int, Setting], Iterator[CatalogueRetriever[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``stages``: the retriever after each epoch, or once. ``grid``: settings, by a set's fields."""

    stages: Stages
    grid: Callable[[int], Sequence[Setting]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    setting: Setting
    epoch: int
    score: float


def tune(baseline: Baseline, split: Cut, kind: Kind, seed: int, settings: Sequence[Setting]) -> Tuned:
    """The setting and the epoch with the best mean NDCG@10 on the first validation fold."""
    found = [_best_epoch(baseline, split, kind, seed, setting) for setting in settings]
    return max(found, key=lambda one: one.score)


def _best_epoch(baseline: Baseline, split: Cut, kind: Kind, seed: int, setting: Setting) -> Tuned:
    best = Tuned(setting=setting, epoch=0, score=-1.0)
    stages = baseline.stages(split.validation[0].train, kind, seed, setting)
    for epoch, retriever in enumerate(islice(stages, EPOCHS), start=1):
        score = mean_ndcg(retriever, split.validation[0].questions)
        if score > best.score:
            best = Tuned(setting=setting, epoch=epoch, score=score)
        if epoch >= best.epoch + PATIENCE:
            break
    return best


def mean_ndcg(retriever: CatalogueRetriever[Any], questions: Sequence[MomentQuestion]) -> float:
    scores = scores_of(retriever, questions, situated=True)
    return float(np.mean([ndcg(question, found) for question, found in zip(questions, scores, strict=True)]))


def trained(baseline: Baseline, split: Cut, kind: Kind, seed: int, tuned: Tuned) -> CatalogueRetriever[Any]:
    """The baseline on all but the test part, for as many epochs as validation liked best."""
    stages = baseline.stages(split.test.train, kind, seed, tuned.setting)
    return next(islice(stages, tuned.epoch - 1, None))


def _additive(data: Dataset, kind: Kind, seed: int, setting: Setting) -> Iterator[CatalogueRetriever[Any]]:
    yield from additive_stages(Material(_welcome(data, kind)), seed, **setting)


def _welcome(data: Dataset, kind: Kind) -> Dataset:
    """Of ratings the upper ones only: a softmax over items learns what is chosen."""
    if kind == "choices":
        return data
    low, high = data.value_range or (0.0, 0.0)
    liked = pc.greater_equal(data.interactions["value"], low + 0.6 * (high - low))
    kept = pa.chunked_array(liked).fill_null(False) if not isinstance(liked, pa.ChunkedArray) else liked
    return Dataset(items=data.items, interactions=data.interactions.filter(kept).combine_chunks())


def _machine(data: Dataset, kind: Kind, seed: int, setting: Setting) -> Iterator[CatalogueRetriever[Any]]:
    yield from machine_stages(Catalogue(data), kind, seed, **setting)


def _neighbours(data: Dataset, kind: Kind, seed: int, setting: Setting) -> Iterator[CatalogueRetriever[Any]]:  # noqa: ARG001
    yield SituatedNeighbours(Catalogue(data), kind, **setting)


def _popular(data: Dataset, kind: Kind, seed: int, setting: Setting) -> Iterator[CatalogueRetriever[Any]]:  # noqa: ARG001
    yield PopularityRetriever(_welcome(data, kind), **setting)


def _product(**values: Sequence[Any]) -> list[Setting]:
    return [dict(zip(values, one, strict=True)) for one in product(*values.values())]


def fields_in(data: Dataset) -> int:
    return len(Situations(data).fields)


BASELINES: Mapping[str, Baseline] = {
    "popular in the situation": Baseline(stages=_popular, grid=lambda _: _product(prior=[5.0, 20.0, 80.0])),
    "additive softmax": Baseline(
        stages=_additive,
        grid=lambda _: _product(
            dimension=[16, 64],
            length=[10],
            dropout=[0.2, 0.5],
            learning_rate=[0.01],
            weight_decay=[0.01, 0.1],
        ),
    ),
    "factorisation machine": Baseline(
        stages=_machine,
        grid=lambda _: _product(dimension=[8, 32], learning_rate=[0.01], weight_decay=[0.01, 0.1, 0.5]),
    ),
    "context kNN": Baseline(
        stages=_neighbours, grid=lambda fields: _product(field=list(range(fields)), back=[0.3, 1.0, 3.0])
    ),
}
