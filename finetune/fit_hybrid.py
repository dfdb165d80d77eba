"""Fit the hybrid's weights for users with a history: the likelihood of the next item within the pool.

The model is a conditional logit (McFadden 1974) over the parts' logits (``tastemaker.index.hybrid``), weights
above 0, so that the softmax of the hybrid's scores is a calibrated chance. It is fitted on training events
whose users the parts have never seen (``tastemaker.finetune.crossfit``): nothing held out is needed, and a
user gives several events. What the pool lacks says nothing about the order and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tastemaker.data.dataset import Dataset
from tastemaker.finetune.crossfit import FOLDS, deal, moments, without
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, Pool, behaviour_parts, text_parts
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import Embedder, FloatArray, ProgressCallback
from tastemaker.types import Request

LAST = 8
"""Events per user: their latest ones, which are most like those that serving will be asked for."""

MAX_USERS = 2_000
"""Of more users so many are sampled and hidden together, so that the parts are built once."""

MIN_WEIGHT, MAX_WEIGHT = 0.01, 50.0
"""No part is shut out: where others know nothing, it can still name items."""

PENALTY = 1e-3
"""Of the squared weights, per event: keeps parts that say nearly the same from trading places."""

BuildParts = Callable[[Catalogue], Sequence[CatalogueRetriever[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridExample:
    """One pool: logits (items, parts), the row of the item that came next, and the event's weight."""

    logits: FloatArray
    target: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHybrid:
    """Weights by part; mean log-likelihood in nats per event with them and with all items alike.

    ``reached`` of ``events`` had their item in the pool.
    """

    weights: Mapping[str, float]
    log_likelihood: float
    log_likelihood_uniform: float
    reached: int
    events: int


def fit_hybrid(
    train: Dataset,
    build: BuildParts,
    *,
    folds: int = FOLDS,
    last: int = LAST,
    max_users: int = MAX_USERS,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> FittedHybrid:
    """Fit the weights of ``build``'s parts on the training events of hidden users.

    Args:
        train: the training part alone.
        build: makes the parts over a catalogue; called once per fold, or once when users are sampled.
        last: events per user, the latest; each user weighs the same.

    Raises:
        ValueError: fewer users than folds, or no item that came next is in any pool.
    """
    names: list[str] = []
    examples: list[HybridExample] = []
    events = done = 0
    for others, users in _hidden(train, folds, max_users, seed):
        catalogue = Catalogue(others)
        parts = build(catalogue)
        names = [part.name for part in parts]
        retriever = HybridRetriever(catalogue, parts, equal_weights(names))
        for user in users:
            asked = moments(train, user, last)
            events += len(asked)
            requests = [moment.request for moment in asked]
            targets = [moment.target for moment in asked]
            examples += hybrid_examples(retriever, requests, targets, names)
            done += 1
            if progress is not None:
                progress("fitting the hybrid", done, min(len(train.sequences()), max_users))
    return fit_weights(examples, names, events)


def weigh_parts(
    train: Dataset,
    index: ItemIndex,
    embedder: Embedder,
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> HybridWeights:
    """Weights of ``build_retriever(train, index, embedder)``, fitted by ``fit_hybrid``.

    Only requests with a history are fitted: what a wish weighs cannot be, since past events have none.

    Raises:
        ValueError: too few users, or no item that came next is in any pool.
    """

    def build(catalogue: Catalogue) -> list[CatalogueRetriever[Any]]:
        return [*behaviour_parts(catalogue), *text_parts(catalogue, index, embedder)]

    return with_history(fit_hybrid(train, build, seed=seed, progress=progress).weights)


def with_history(weights: Mapping[str, float]) -> HybridWeights:
    """The default weights, with fitted ones where there is a history; a wish keeps its text weight."""
    history = {name: round(weight, 4) for name, weight in weights.items()}
    return HybridWeights(history=history, both={**history, "text": HybridWeights().both["text"]})


def _hidden(train: Dataset, folds: int, max_users: int, seed: int) -> Iterator[tuple[Dataset, list[str]]]:
    """Each user hidden once, fold by fold; of many users a sample, hidden together."""
    users = list(train.sequences())
    if len(users) <= max_users:
        yield from deal(train, folds, seed)
        return
    picks = np.sort(np.random.default_rng(seed).choice(len(users), size=max_users, replace=False))
    chosen = [users[pick] for pick in picks.tolist()]
    yield without(train, chosen), chosen


def equal_weights(names: Iterable[str]) -> HybridWeights:
    """Every part proposes and speaks, for requests with a history."""
    return HybridWeights(history=dict.fromkeys(names, 1.0))


def hybrid_examples(
    retriever: HybridRetriever, requests: Sequence[Request], targets: Sequence[str], names: Sequence[str]
) -> Iterator[HybridExample]:
    """One example per request whose target is in the pool; together they weigh as much as one user."""
    position = retriever.catalogue.dataset.item_positions
    for pool, target in zip(retriever.pools(requests), targets, strict=True):
        row = int(np.searchsorted(pool.positions, position[target]))
        if row < len(pool.positions) and pool.positions[row] == position[target]:
            yield HybridExample(logits=_columns(pool, names), target=row, weight=1 / len(requests))


def _columns(pool: Pool, names: Sequence[str]) -> FloatArray:
    """(items, parts); 0 from a part that is silent."""
    silent = np.zeros(len(pool.positions), np.float32)
    return np.stack([pool.logits.get(name, silent) for name in names], axis=1)


def fit_weights(examples: Sequence[HybridExample], names: Sequence[str], events: int) -> FittedHybrid:
    """Maximum-likelihood weights, at least ``MIN_WEIGHT``; the problem is concave: any start will do.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("no item that came next is in its pool; nothing can be fitted")
    likelihood = _Likelihood(examples)
    columns = len(names)
    found = minimize(
        likelihood,
        np.full(columns, 1 / columns),
        jac=True,
        method="L-BFGS-B",
        bounds=[(MIN_WEIGHT, MAX_WEIGHT)] * columns,
    )
    return FittedHybrid(
        weights={name: float(weight) for name, weight in zip(names, found.x, strict=True)},
        log_likelihood=-likelihood.loss(found.x)[0],
        log_likelihood_uniform=-likelihood.loss(np.zeros(columns))[0],
        reached=len(examples),
        events=events,
    )


class _Likelihood:
    """Negative log-likelihood per event and its slope, over all pools as one long array."""

    def __init__(self, examples: Sequence[HybridExample]) -> None:
        self._logits = np.concatenate([one.logits for one in examples])  # (all items, parts)
        sizes = np.array([len(one.logits) for one in examples])
        self._starts = np.cumsum(sizes) - sizes
        self._pool = np.repeat(np.arange(len(examples)), sizes)
        self._target = self._logits[self._starts + [one.target for one in examples]]  # (examples, parts)
        weight = np.array([one.weight for one in examples])
        self._weight = (weight / weight.sum()).astype(np.float32)

    def __call__(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, slope = self.loss(weights)
        return loss + PENALTY * float(weights @ weights), slope + 2 * PENALTY * weights

    def loss(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # float32 throughout: half the time, and 1e-6 nats of error.
        beta = weights.astype(np.float32)
        logits = self._logits @ beta
        highest = np.maximum.reduceat(logits, self._starts)
        powers = np.exp(logits - highest[self._pool])
        sums = np.add.reduceat(powers, self._starts)
        chances = powers * (self._weight / sums)[self._pool]
        gains = self._target @ beta - highest - np.log(sums)
        slope = chances @ self._logits - self._weight @ self._target
        return -float(self._weight @ gains), slope.astype(np.float64)
