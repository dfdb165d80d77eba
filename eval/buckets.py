"""Where a system is good and where it is not: metrics by history length, popularity, position, and user.

Buckets have fixed edges, so that runs can be laid side by side; empty ones are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.eval.metrics import PerUser, per_user
from tastemaker.eval.outcomes import Column, Outcome, column
from tastemaker.eval.significance import bootstrap_intervals

METRICS = ("recall@10", "ndcg@10")
DEPTHS = (5, 10, 20, 40, 60, 80, 100)

# Lower ends of the buckets. LlamaRec's filter leaves histories of 18 and more, Beauty's a median of 4.
_EDGES: dict[Column, tuple[int, ...]] = {
    "history": (0, 1, 3, 5, 10, 20, 50, 100, 200, 500),
    "popularity": (0, 1, 5, 10, 20, 50, 100, 200),
    "position": (0, 1, 2, 4, 6, 11, 21, 41, 61),
    "new_user": (0, 1),
}
_NAMED = {
    ("history", 0): "none",
    ("popularity", 0): "new item",
    ("position", 0): "not found",
    ("new_user", 0): "known user",
    ("new_user", 1): "new user",
}


def buckets_of(draws: Sequence[Sequence[Outcome]], *, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Per grouping its buckets from low to high: ``label``, ``questions``, ``metrics`` and ``ci95``.

    The questions of all draws count one by one in the means. The intervals resample users, by their means
    over the draws: five draws of one user are not five users. ``position`` is there for rerankers only.
    """
    outcomes = [outcome for outcomes in draws for outcome in outcomes]
    values = per_user(column(outcomes, "rank"), [10])
    users = np.unique([outcome.user for outcome in outcomes], return_inverse=True)[1]
    found: dict[str, list[dict[str, Any]]] = {}
    for name, edges in _EDGES.items():
        # A place of -1 is below every edge: no candidates, so no position.
        place = np.searchsorted(edges, column(outcomes, name), side="right") - 1
        rows = [
            {"label": _label(name, edges, i), **_figures(values, users, place == i, seed)}
            for i in np.unique(place[place >= 0])
        ]
        if rows:
            found[name] = rows
    return found


def _figures(
    values: Mapping[str, PerUser], users: NDArray[np.int64], inside: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    chosen = {metric: values[metric][inside] for metric in METRICS}
    counts = np.bincount(users[inside])
    totals = {metric: np.bincount(users[inside], column)[counts > 0] for metric, column in chosen.items()}
    kept = counts[counts > 0]
    ends = bootstrap_intervals({name: total / kept for name, total in totals.items()}, seed=seed)
    return {
        "questions": int(inside.sum()),
        "metrics": {metric: round(float(column.mean()), 5) for metric, column in chosen.items()},
        "ci95": {metric: [round(low, 5), round(high, 5)] for metric, (low, high) in ends.items()},
    }


def _label(name: Column, edges: Sequence[int], i: int) -> str:
    low = edges[i]
    if (name, low) in _NAMED:
        return _NAMED[name, low]
    if i + 1 == len(edges):
        return f"{low}+"
    last = edges[i + 1] - 1
    return str(low) if last == low else f"{low}-{last}"


def ceiling_of(draws: Sequence[Sequence[Outcome]]) -> dict[str, float]:
    """The best recall that any order of the first n candidates could give, ``{"5": 0.09, "10": 0.15, ...}``.

    For a reranker it is its retriever's recall, the same for every n above its number of candidates; for
    others it is their own.
    """
    outcomes = [outcome for outcomes in draws for outcome in outcomes]
    places = column(outcomes, "position")
    if (places < 0).all():
        places = column(outcomes, "rank")
    return {str(n): round(float(np.mean((places >= 1) & (places <= n))), 5) for n in DEPTHS}
