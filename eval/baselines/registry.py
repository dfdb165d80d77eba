"""The baselines by name, and the settings that were chosen for each protocol.

::

    system = BASELINES["lstm"](protocol.train, protocol=protocol.name, seed=0)
    run_system("lstm", system, protocol, facts=lambda: system.facts)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import islice, product
from typing import Any, Protocol

from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.eval.baselines.dense import RandomRetriever
from tastemaker.eval.baselines.material import EMBEDDER, Material
from tastemaker.eval.metrics import CUTOFFS
from tastemaker.eval.run import ScoredList
from tastemaker.index.catalogue import CatalogueRetriever
from tastemaker.index.ease import EaseRetriever
from tastemaker.index.item_knn import ItemKNNRetriever
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.text_retriever import TextProfile, TextRetriever
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.protocols import Embedder, ProgressCallback, Retriever
from tastemaker.types import Request

Setting = Mapping[str, Any]
"""Keyword arguments of ``Baseline.stages``, and ``epochs`` for a baseline that is trained in epochs."""

AnyRetriever = CatalogueRetriever[Any]
DEPTH = 2 * max(CUTOFFS)
"""Items listed: beyond the largest cutoff, so that ties at its end change no metric."""

TUNED_FILE = "tuned.json"

_TUNED_LIKE = {"llamarec-tiesafe": "llamarec"}
"""Protocols with the data of another one, whose settings they take over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How a baseline is made and what is tried when it is tuned.

    ``stages(material, seed, **setting)`` yields the retriever after each epoch, or once when nothing is
    trained in epochs. ``grid``: settings to try, the usual one first. ``epochs``: the most that tuning
    trains for. ``untuned``: epochs where no tuning has been done.
    """

    stages: Callable[..., Iterator[AnyRetriever]]
    grid: tuple[Setting, ...] = ({},)
    epochs: int = 1
    untuned: int = 1

    @property
    def default(self) -> Setting:
        return self.grid[0] if self.epochs == 1 else {**self.grid[0], "epochs": self.untuned}

    def build(self, material: Material, setting: Setting, seed: int) -> AnyRetriever:
        """The retriever of one setting, trained to its end."""
        options = dict(setting)
        last = int(options.pop("epochs", 1)) if self.epochs > 1 else 1
        return next(islice(self.stages(material, seed, **options), last - 1, None))


class BaselineSystem:
    """A ``System`` over a retriever. ``facts``: its setting, how that was chosen, seconds of training."""

    def __init__(self, retriever: Retriever, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        self._retriever = retriever

    def __call__(self, requests: Sequence[Request]) -> list[ScoredList]:
        found = self._retriever.retrieve(requests, DEPTH)
        return [[(one.item.id, one.score) for one in candidates] for candidates in found]


class BuildSystem(Protocol):
    """A training part to a system with the settings chosen for a protocol, or the usual ones for others."""

    def __call__(
        self,
        train: Dataset,
        *,
        protocol: str,
        seed: int = 0,
        embedder: str | Embedder = EMBEDDER,
        progress: ProgressCallback | None = None,
    ) -> BaselineSystem: ...


def build_baseline(
    name: str,
    train: Dataset,
    *,
    protocol: str,
    seed: int = 0,
    embedder: str | Embedder = EMBEDDER,
    progress: ProgressCallback | None = None,
) -> BaselineSystem:
    """See ``BuildSystem``.

    Raises:
        RequestError: the name is unknown.
        MissingExtraError: the baseline's library is not installed.
    """
    baseline = baseline_of(name)
    tuning = tuned(name, protocol)
    setting = baseline.default if tuning is None else tuning["setting"]
    material = Material(train, embedder=embedder, progress=progress)
    started = time.perf_counter()
    retriever = baseline.build(material, setting, seed)
    return BaselineSystem(
        retriever,
        {
            "setting": dict(setting),
            "tuning": tuning,
            "train_seconds": round(time.perf_counter() - started, 2),
        },
    )


def baseline_of(name: str) -> Baseline:
    """The baseline of this name; RequestError for an unknown one."""
    if name not in DEFINITIONS:
        raise RequestError(f"unknown baseline {name!r}; known are {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]


def tuning_protocol(protocol: str) -> str:
    """The protocol whose questions choose the settings for ``protocol``; never one with test questions."""
    plain = protocol.removesuffix("-validation")
    return f"{_TUNED_LIKE.get(plain, plain)}-validation"


def tuned(name: str, protocol: str) -> dict[str, Any] | None:
    """What tuning found for a baseline (``tuning.Tuning.to_dict``), None where nobody has tuned it."""
    chosen: dict[str, Any] | None = tuned_settings().get(tuning_protocol(protocol), {}).get(name)
    return chosen


def tuned_settings() -> dict[str, dict[str, Any]]:
    """All of ``tuned.json``: protocol, then baseline, then what tuning found."""
    text = resources.files("tastemaker.eval.baselines").joinpath(TUNED_FILE).read_text(encoding="utf-8")
    return dict(json.loads(text))


def once(make: Callable[..., AnyRetriever]) -> Callable[..., Iterator[AnyRetriever]]:
    """``stages`` of a baseline that is made in one go."""

    def stages(material: Material, seed: int, **setting: Any) -> Iterator[AnyRetriever]:
        yield make(material, seed, **setting)

    return stages


def grid(**values: Sequence[Any]) -> tuple[Setting, ...]:
    """Every combination of the values, the first ones first."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


def _chance(material: Material, seed: int) -> AnyRetriever:
    return RandomRetriever(material.catalogue, seed=seed)


def _popularity(material: Material, _seed: int, *, prior: float) -> AnyRetriever:
    return PopularityRetriever(material.catalogue, prior=prior)


def _transitions(material: Material, _seed: int, **setting: Any) -> AnyRetriever:
    return TransitionRetriever(material.catalogue, **setting)


def _item_knn(material: Material, _seed: int, *, length: int, decay: float, **setting: Any) -> AnyRetriever:
    key = ("item-knn", *sorted(setting.items()))
    neighbours = material.keep(key, lambda: ItemKNNRetriever(material.catalogue, **setting))
    return neighbours.with_history("item-knn", length=length, decay=decay)


def _ease(material: Material, _seed: int, *, length: int, decay: float, l2: float) -> AnyRetriever:
    weights = material.keep(("ease", l2), lambda: EaseRetriever(material.catalogue, l2=l2))
    return weights.with_history("ease", length=length, decay=decay)


def _text(material: Material, _seed: int, **setting: Any) -> AnyRetriever:
    profile = TextProfile(**setting)
    return TextRetriever(material.catalogue, material.text_index, material.embedder, profile)


def _lstm(material: Material, seed: int, **setting: Any) -> Iterator[AnyRetriever]:
    from tastemaker.eval.baselines.sequence_models import lstm_stages

    return lstm_stages(material, seed, **setting)


def _attention(material: Material, seed: int, **setting: Any) -> Iterator[AnyRetriever]:
    from tastemaker.eval.baselines.sequence_models import attention_stages

    return attention_stages(material, seed, **setting)


def _additive(material: Material, seed: int, **setting: Any) -> Iterator[AnyRetriever]:
    from tastemaker.eval.baselines.additive import additive_stages

    return additive_stages(material, seed, **setting)


def _gru4rec(material: Material, seed: int, **setting: Any) -> AnyRetriever:
    from tastemaker.eval.baselines.gru4rec import gru4rec

    return gru4rec(material, seed, **setting)


DEFINITIONS: Mapping[str, Baseline] = {
    "chance": Baseline(stages=once(_chance)),
    # A prior beyond all counts leaves plain popularity: every lift is 1.
    "popularity": Baseline(stages=once(_popularity), grid=grid(prior=(20.0, 100.0, 1e9))),
    # A decay of 1, every item of the history alike, is how both are published.
    "item-knn": Baseline(
        stages=once(_item_knn),
        grid=grid(neighbours=(200, 500), shrinkage=(10.0, 1.0), length=(50,), decay=(0.9, 0.7, 0.5, 1.0)),
    ),
    "ease": Baseline(
        stages=once(_ease), grid=grid(l2=(200.0, 50.0, 1000.0), length=(50,), decay=(0.9, 0.7, 0.5, 1.0))
    ),
    "text": Baseline(
        stages=once(_text), grid=grid(length=(20, 5), decay=(0.9, 0.7, 0.5), disliked=(0.3, 1.0))
    ),
    "transitions": Baseline(
        stages=once(_transitions),
        grid=grid(window=(20, 10, 50), popularity_power=(0.5, 0.3, 0.2), decay=(0.8, 0.7), length=(30,)),
    ),
    "gru4rec": Baseline(
        stages=once(_gru4rec),
        grid=grid(
            dimension=(64,),
            epochs=(10, 5),
            learning_rate=(0.05,),
            dropout=(0.2,),
            batch_size=(32,),
            negatives=(512,),
            length=(100,),
        ),
    ),
    "sasrec": Baseline(
        stages=_attention,
        grid=grid(dimension=(64,), length=(50,), dropout=(0.5, 0.3), learning_rate=(2e-3,)),
        epochs=24,
        untuned=15,
    ),
    "lstm": Baseline(
        stages=_lstm,
        grid=grid(dimension=(64,), length=(50,), dropout=(0.5, 0.3), learning_rate=(3e-3,)),
        epochs=24,
        untuned=15,
    ),
    "additive": Baseline(
        stages=_additive,
        grid=grid(dimension=(64,), length=(10, 3), dropout=(0.3,), learning_rate=(5e-3,)),
        epochs=24,
        untuned=15,
    ),
}
"""By name, simplest first."""

BASELINES: Mapping[str, BuildSystem] = {name: partial(build_baseline, name) for name in DEFINITIONS}
