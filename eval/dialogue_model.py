"""Which film is recommended next in a dialogue: a conditional logit that learns from other dialogues.

The score of a film is linear in its features (``dialogue_features``) plus ``query · interactions · traits``:
what was said and mentioned can call for genres, years, themes and tastes whose films no other dialogue
recommends. Weights are fitted on turns whose features count other dialogues only: what is learned from is
dealt into ``FOLDS``, and a fold's features come from the others, as those of asked turns do later. (To leave
out only a turn's own dialogue would give its answer away: its film has one vote less than elsewhere.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from tastemaker.eval.dialogue_features import NAMES, PROPOSING, TurnFeatures
from tastemaker.index.catalogue import BoolArray, IntArray
from tastemaker.protocols import FloatArray

FOLDS = 4
NEAR, FAR = 200, 60
"""Films that a turn is fitted on: the best of ``PROPOSING``, and random others that stand for the rest."""

PENALTY = 3e-3
PENALTIES = (0.5, 1.0, 2.0, 4.0)
"""Of the squared interactions. That one is taken under which the first fold is likeliest, fitted on the
others."""

ROUNDS = 40
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueModel:
    """``weights`` (features,) and ``interactions`` (q, traits); ``penalty``: the one that was chosen."""

    weights: FloatArray
    interactions: FloatArray
    query: FloatArray
    counted: BoolArray
    penalty: float

    def scores(self, features: TurnFeatures, rows: IntArray) -> FloatArray:
        """(rows, films), in nats."""
        linear = features.of(rows, self.counted) @ self.weights
        called = (self.query[rows] @ self.interactions) @ features.films.traits.T
        return np.asarray(linear + called, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    """Films, turn by turn: the turn, its fold, the film's features, and the log of how many it stands for."""

    turn: IntArray
    fold: IntArray
    film: IntArray
    values: FloatArray
    stands_for: FloatArray
    target: BoolArray

    def where(self, mask: BoolArray) -> _Pools:
        return _Pools(**{name: getattr(self, name)[mask] for name in self.__slots__})


def learn(features: TurnFeatures, learned: IntArray, seed: int = 0) -> DialogueModel:
    """Fit on the turns ``learned``; the dialogues of others are not looked at."""
    query = features.query(learned)
    counted = np.zeros(len(features.turns), bool)
    counted[learned] = True
    pools = _pools(features, counted, np.random.default_rng(seed))
    spread = np.maximum(pools.values.std(0), 1e-6)
    np.divide(pools.values, spread, out=pools.values)
    rest, held = pools.where(pools.fold > 0), pools.where(pools.fold == 0)
    losses = {}
    for penalty in PENALTIES:
        fitted = _Likelihood(rest, query, features.films.traits).fitted(penalty)
        losses[penalty] = _Likelihood(held, query, features.films.traits).loss(fitted)[0]
    penalty = min(losses, key=lambda one: losses[one])
    likelihood = _Likelihood(pools, query, features.films.traits)
    weights, interactions = likelihood.apart(likelihood.fitted(penalty))
    return DialogueModel(
        weights=weights / spread, interactions=interactions, query=query, counted=counted, penalty=penalty
    )


def batches(rows: IntArray) -> Iterator[IntArray]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH]


def _pools(features: TurnFeatures, counted: BoolArray, random: np.random.Generator) -> _Pools:
    fold_of = random.integers(FOLDS, size=features.dialogue.max() + 1)[features.dialogue]
    found = []
    for fold in range(FOLDS):
        others = counted & (fold_of != fold)
        asked = np.flatnonzero(counted & (fold_of == fold) & (features.wanted.sum(1).A1 > 0))
        for rows in batches(asked):
            for row, values in zip(rows.tolist(), features.of(rows, others), strict=True):
                found.append(_pool(features.wanted[[row]].indices, values, random, row, fold))
    found.sort(key=lambda one: int(one.turn[0]))
    return _Pools(
        **{name: np.concatenate([getattr(one, name) for one in found]) for name in _Pools.__slots__}
    )


def _pool(wanted: IntArray, values: FloatArray, random: np.random.Generator, row: int, fold: int) -> _Pools:
    """The films that a turn is fitted on; those wanted and those mentioned before are always among them."""
    sums = values[:, [NAMES.index(name) for name in PROPOSING]].sum(1)
    kept = values[:, NAMES.index("repeat")] > 0
    kept[np.argsort(-sums, kind="stable")[:NEAR]] = True
    kept[wanted] = True
    rest = np.flatnonzero(~kept)
    far = random.permutation(rest)[:FAR]
    film = np.concatenate([np.flatnonzero(kept), far])
    stands_for = np.zeros(len(film), np.float32)
    stands_for[len(film) - len(far) :] = np.log(len(rest) / max(len(far), 1)) if len(far) else 0.0
    return _Pools(
        turn=np.full(len(film), row, np.int64),
        fold=np.full(len(film), fold, np.int64),
        film=film,
        values=values[film],
        stands_for=stands_for,
        target=np.isin(film, wanted),
    )


class _Likelihood:
    """Negative log-likelihood of the films wanted, per film, and its slope."""

    def __init__(self, pools: _Pools, query: FloatArray, traits: FloatArray) -> None:
        self._pools, self._traits = pools, traits
        turns, self._starts, self._place = np.unique(pools.turn, return_index=True, return_inverse=True)
        self._query = query[turns]
        self._ends = np.append(self._starts, len(pools.turn))
        self._target = pools.target.astype(np.float32)
        self._wanted = np.add.reduceat(self._target, self._starts)
        self._columns = pools.values.shape[1]
        self._shape = (query.shape[1], traits.shape[1])

    def apart(self, both: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Weights of the features, and interactions."""
        numbers = both.astype(np.float32)
        return numbers[: self._columns], numbers[self._columns :].reshape(self._shape)

    def fitted(self, penalty: float) -> NDArray[np.float64]:
        scale = np.repeat((PENALTY, penalty), (self._columns, self._shape[0] * self._shape[1]))

        def penalised(both: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            loss, slope = self.loss(both)
            return loss + float(scale @ both**2), slope + 2 * scale * both

        start = np.zeros(len(scale))
        found = minimize(penalised, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
        return np.asarray(found.x, np.float64)

    def loss(self, both: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, interactions = self.apart(both)
        pools, place = self._pools, self._place
        called = (self._query @ interactions) @ self._traits.T  # (turns, films)
        scores = pools.values @ weights + called[place, pools.film]
        logits = scores + pools.stands_for
        highest = np.maximum.reduceat(logits, self._starts)
        powers = np.exp(logits - highest[place])
        sums = np.add.reduceat(powers, self._starts)
        gain = float(self._target @ scores - self._wanted @ (highest + np.log(sums)))
        missing = powers * (self._wanted / sums)[place] - self._target
        by_turn = sparse.csr_matrix(
            (missing, pools.film, self._ends), shape=(len(self._query), len(self._traits))
        )
        slope = [missing @ pools.values, (self._query.T @ (by_turn @ self._traits)).ravel()]
        total = float(self._wanted.sum())
        return -gain / total, np.concatenate(slope).astype(np.float64) / total
