"""Factors of items: who was had shortly before or after whom, in few numbers.

Counts that hold a user's own events tell what comes next in them, which no count will when serving. So a
training question of a user reads factors that were counted without the user's fold (``finetune.crossfit``),
turned into the axes of the factors that serving reads.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.linalg import orthogonal_procrustes
from scipy.sparse.linalg import svds

from tastemaker.data.dataset import Dataset
from tastemaker.finetune.crossfit import FOLDS, deal
from tastemaker.index.transitions import transition_counts
from tastemaker.protocols import FloatArray

WINDOW = 20
GAP_WEIGHT = 0.9


def crossfit_factors(train: Dataset, size: int, folds: int = FOLDS, seed: int = 0) -> FloatArray:
    """Factors of everybody, then of everybody but each fold of ``deal``: float32 (folds + 1, items, size)."""
    whole = item_factors(train, size)
    others = [aligned(item_factors(rest, size), whole) for rest, _ in deal(train, folds, seed)]
    return np.stack([whole, *others])


def aligned(factors: FloatArray, like: FloatArray) -> FloatArray:
    """``factors`` turned so that they lie closest to ``like``, both (n, size); lengths and angles stay.

    Singular vectors of slightly other counts come in another order and with other signs: the orthogonal
    Procrustes problem (Schönemann 1966).
    """
    if not factors.shape[1]:
        return factors
    turn, _ = orthogonal_procrustes(factors.astype(np.float64), like.astype(np.float64))
    turned: FloatArray = (factors @ turn).astype(np.float32)
    return turned


def item_factors(train: Dataset, size: int) -> FloatArray:
    """Rows of length 1 (0 for items that nobody had), float32 (items, size), in the order of the data set.

    The leading singular vectors of the symmetric, degree-normalised counts of items that stand within
    ``WINDOW`` events of each other, each scaled by the root of its singular value. Fewer items than
    ``size`` leave the last columns 0.
    """
    codes = train.codes()
    counts = transition_counts(codes.user, codes.item, len(train.item_ids), WINDOW, GAP_WEIGHT)
    both = (counts + counts.T).astype(np.float64)
    degree = np.sqrt(np.maximum(both.sum(axis=1), 1e-9))
    damping = sparse.diags_array(1 / degree)
    rank = min(size, len(train.item_ids) - 1)
    out = np.zeros((len(train.item_ids), size), np.float32)
    if rank < 1 or not both.nnz:
        return out
    # The solver starts, and starts again, from random vectors: always the same ones.
    matrix = sparse.csr_array(damping @ both @ damping)
    left, strength, _ = svds(matrix, k=rank, rng=np.random.default_rng(0))
    order = np.argsort(-strength)
    found = left[:, order] * np.sqrt(np.maximum(strength[order], 0))
    # The sign of a singular vector is arbitrary; make its largest entry positive.
    largest = np.abs(found).argmax(axis=0)
    found *= np.sign(found[largest, np.arange(rank)])
    length = np.linalg.norm(found, axis=1, keepdims=True)
    out[:, :rank] = found / np.maximum(length, 1e-6) * (length > 1e-6)
    return out
