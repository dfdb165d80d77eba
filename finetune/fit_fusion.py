"""Fit the fusion weights: the likelihood of the next item among the candidates, on validation users.

The model is the conditional logit of ``tastemaker.fusion`` with both weights at least 0. Users whose item
is not among the candidates say nothing about the order and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from tastemaker.fusion import Scores

MAX_WEIGHT = 50.0
"""A bound for data that one score separates perfectly, where the likelihood has no maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionExample:
    """Scores of one user's candidates, each (n,), and the position of the item that came next."""

    retrieval: Scores
    llm: Scores
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFusion:
    """Weights, and the mean log-likelihood (nats per user) with and without the language model."""

    retrieval: float
    llm: float
    log_likelihood: float
    log_likelihood_retrieval_only: float
    users: int


def fit_fusion(examples: Sequence[FusionExample]) -> FittedFusion:
    """Maximum-likelihood weights, both at least 0; the problem is concave, so the start does not matter.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("no user has the next item among the candidates; nothing can be fitted")
    features = [np.stack([one.retrieval, one.llm], axis=1) for one in examples]
    targets = [one.target for one in examples]
    both = _maximise(features, targets)
    alone = _maximise([matrix[:, :1] for matrix in features], targets)
    return FittedFusion(
        retrieval=float(both.x[0]),
        llm=float(both.x[1]),
        log_likelihood=-float(both.fun),
        log_likelihood_retrieval_only=-float(alone.fun),
        users=len(examples),
    )


def _maximise(features: Sequence[Scores], targets: Sequence[int]) -> OptimizeResult:
    def loss(weights: Scores) -> tuple[float, Scores]:
        total, slope = 0.0, np.zeros_like(weights)
        for matrix, target in zip(features, targets, strict=True):
            logits = matrix @ weights
            shares = np.exp(logits - logits.max())
            normaliser = shares.sum()
            total -= logits[target] - logits.max() - np.log(normaliser)
            slope -= matrix[target] - (shares / normaliser) @ matrix
        return total / len(targets), slope / len(targets)

    columns = features[0].shape[1]
    return minimize(loss, np.ones(columns), jac=True, method="L-BFGS-B", bounds=[(0.0, MAX_WEIGHT)] * columns)
