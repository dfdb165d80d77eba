"""Ranking metrics for one relevant item per user, from the rank it got.

Rank 1 is best; rank 0 means that the item was not in the list, and scores 0. With one relevant item
the ideal DCG is 1, so NDCG@k = 1 / log2(rank + 1) (Järvelin & Kekäläinen 2002), recall@k = hit@k and
MRR@k = 1 / rank. All functions take int arrays (n,) and return float64 arrays (n,) with values in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ranks = NDArray[np.int64]
PerUser = NDArray[np.float64]

CUTOFFS = (5, 10, 20, 50)


def pessimistic_rank(scores: Sequence[float], position: int | None) -> int:
    """Rank of the item at ``position``, placed behind every item with the same score; 0 for None."""
    if position is None:
        return 0
    return int((np.asarray(scores) >= scores[position]).sum())


def recall_at_k(ranks: Ranks, k: int) -> PerUser:
    return _within(ranks, k).astype(np.float64)


def ndcg_at_k(ranks: Ranks, k: int) -> PerUser:
    return np.where(_within(ranks, k), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)


def mrr_at_k(ranks: Ranks, k: int) -> PerUser:
    return np.where(_within(ranks, k), 1.0 / np.maximum(ranks, 1), 0.0)


def _within(ranks: Ranks, k: int) -> NDArray[np.bool_]:
    if k < 1:
        raise ValueError(f"k is {k}; at least 1 is wanted")
    return (ranks >= 1) & (ranks <= k)


METRICS = {"recall": recall_at_k, "ndcg": ndcg_at_k, "mrr": mrr_at_k}


def per_user(ranks: ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, PerUser]:
    """``{"recall@5": (n,), ..., "mrr@50": (n,)}`` for the rank of each user's item; any shape will do."""
    array = np.asarray(ranks, dtype=np.int64)
    return {f"{name}@{k}": metric(array, k) for name, metric in METRICS.items() for k in cutoffs}
