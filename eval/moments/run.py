"""With and without the situation, and the baselines, over several random splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.eval.moments.baselines import BASELINES, Tuned, fields_in, trained, tune
from tastemaker.eval.moments.questions import MomentQuestion, cut, shuffled
from tastemaker.eval.moments.sets import MomentSet
from tastemaker.eval.moments.systems import fitted, ndcg, scores_of
from tastemaker.eval.significance import paired_randomisation_p

WITH, WITHOUT, SHUFFLED = "with context", "without context", "context shuffled"
Progress = Callable[[str], None]


def measure(
    moments: MomentSet, splits: int, *, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Every system on the test questions of ``splits`` random splits.

    Means are over questions; intervals and tests draw clusters: a user or stretch is in several splits.
    ``p_value``: two-sided, of with against without context; ``lift``: their difference as a share.
    """
    values: dict[str, list[float]] = defaultdict(list)
    first: dict[str, list[float]] = defaultdict(list)
    clusters: list[str] = []
    settings: dict[str, Tuned] = {}
    for number in range(splits):
        split = cut(moments, seed + number)
        clusters += [question.cluster for question in split.test.questions]

        def note(name: str, questions: Sequence[MomentQuestion], retriever: Any, *, situated: bool) -> None:
            scores = scores_of(retriever, questions, situated=situated)
            for question, found in zip(questions, scores, strict=True):
                values[name].append(ndcg(question, found))
                first[name].append(ndcg(question, found, 1))

        full = fitted(split, situated=True)
        note(WITH, split.test.questions, full, situated=True)
        note(SHUFFLED, shuffled(split.test.questions, seed + number), full, situated=True)
        note(WITHOUT, split.test.questions, fitted(split, situated=False), situated=False)
        for name, baseline in BASELINES.items():
            grid = (
                [settings[name].setting] if name in settings else baseline.grid(fields_in(split.test.train))
            )
            found = tune(baseline, split, moments.kind, seed + number, grid)
            settings.setdefault(name, found)
            note(
                name,
                split.test.questions,
                trained(baseline, split, moments.kind, seed + number, found),
                situated=True,
            )
        if progress is not None:
            told = ", ".join(f"{name} {np.mean(one):.4f}" for name, one in values.items())
            progress(f"{moments.name}: {number + 1} of {splits} splits; {told}")
    return _result(moments, values, first, np.array(clusters), settings, splits, seed)


def _result(
    moments: MomentSet,
    values: dict[str, list[float]],
    first: dict[str, list[float]],
    clusters: NDArray[np.str_],
    settings: dict[str, Tuned],
    splits: int,
    seed: int,
) -> dict[str, Any]:
    table = {name: np.array(one) for name, one in values.items()}
    own, other = table[WITH], table[WITHOUT]
    best = max(BASELINES, key=lambda name: float(table[name].mean()))
    return {
        "kind": moments.kind,
        "metric": "ndcg@10",
        "splits": splits,
        "questions": len(own),
        "clusters": len(np.unique(clusters)),
        "with_context": round(float(own.mean()), 4),
        "without_context": round(float(other.mean()), 4),
        "shuffled_context": round(float(table[SHUFFLED].mean()), 4),
        "lift": round(float(own.mean() / other.mean() - 1), 4),
        "difference_ci95": _interval(own - other, clusters, seed),
        "p_value": round(p_value(own, other, clusters, seed), 5),
        "shuffled_p_value": round(p_value(own, table[SHUFFLED], clusters, seed), 5),
        "accuracy": {name: round(float(np.mean(one)), 4) for name, one in first.items()},
        "accuracy_p_value": round(
            p_value(np.array(first[WITH]), np.array(first[WITHOUT]), clusters, seed), 5
        ),
        "baselines": {name: round(float(table[name].mean()), 4) for name in BASELINES},
        "ahead_of_best_baseline": {
            "baseline": best,
            "difference_ci95": _interval(own - table[best], clusters, seed),
            "p_value": round(p_value(own, table[best], clusters, seed), 5),
        },
        "settings": {name: {**one.setting, "epoch": one.epoch} for name, one in settings.items()},
    }


def _sums(
    values: NDArray[np.float64], clusters: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum and number of the values of each cluster."""
    _, place = np.unique(clusters, return_inverse=True)
    return np.bincount(place, values).astype(np.float64), np.bincount(place).astype(np.int64)


def p_value(
    one: NDArray[np.float64], other: NDArray[np.float64], clusters: NDArray[np.str_], seed: int
) -> float:
    """Paired randomisation test that swaps the two systems on all questions of a cluster at once."""
    sums, _ = _sums(one - other, clusters)
    return paired_randomisation_p(sums, np.zeros(len(sums)), seed=seed)


def _interval(difference: NDArray[np.float64], clusters: NDArray[np.str_], seed: int) -> list[float]:
    """95 % bootstrap interval of the mean difference over questions, clusters drawn."""
    sums, sizes = _sums(difference, clusters)
    draw = np.random.default_rng(seed).integers(len(sums), size=(2_000, len(sums)))
    means = sums[draw].sum(1) / sizes[draw].sum(1)
    return [round(float(end), 4) for end in np.quantile(means, [0.025, 0.975])]
