"""Put run files side by side: the same questions, paired tests against the first, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import DataError
from tastemaker.eval.metrics import PerUser
from tastemaker.eval.runfile import StoredRun, load_run
from tastemaker.eval.significance import bootstrap_interval, paired_randomisation_p


def compare_runs(paths: Sequence[Path], *, metric: str = "ndcg@10", seed: int = 0) -> list[dict[str, Any]]:
    """Summaries with ``p``: Holm-corrected, two-sided, paired over users; None for the base.

    Also with ``difference`` (mean and 95 % interval of the paired difference) and ``gain`` (relative).

    Raises:
        DataError: there is no file, one is no run file, the questions differ, or the metric is unknown.
    """
    runs = load_comparable(paths)
    columns = [_column(run, metric) for run in runs]
    tests = [paired(column, columns[0], seed=seed) for column in columns[1:]]
    for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p"] = p
    none: dict[str, Any] = {"p": None, "difference": None, "gain": None}
    return [{**run.summary, **test} for run, test in zip(runs, (none, *tests), strict=True)]


def load_comparable(paths: Sequence[Path]) -> list[StoredRun]:
    """Load run files that asked the same questions.

    Raises:
        DataError: there is no file, one is no run file, or the questions differ.
    """
    if not paths:
        raise DataError("there are no run files to compare")
    runs = [load_run(path) for path in paths]
    for run in runs[1:]:
        require_same_questions(run.path, run.summary, paths[0], runs[0].summary)
    return runs


def require_same_questions(
    path: object, summary: dict[str, Any], base_path: object, base: dict[str, Any]
) -> None:
    """Raise DataError unless both runs asked the same."""
    if any(summary[name] != base[name] for name in ("protocol", "questions")):
        raise DataError(
            f"{path} ({summary['protocol']}, {summary['users']} users) and {base_path} "
            f"({base['protocol']}, {base['users']} users) asked different questions",
            hint="run both on the same data with the same --protocol, --users and --seed",
        )


def paired(values: PerUser, base: PerUser, *, seed: int) -> dict[str, Any]:
    """Difference, relative gain and p of one system's figures per user (n,) against another's."""
    low, high = bootstrap_interval(values - base, seed=seed)
    mean = float(base.mean())
    return {
        "p": paired_randomisation_p(values, base, seed=seed),
        "difference": [round(float((values - base).mean()), 5), round(low, 5), round(high, 5)],
        "gain": round(float(values.mean()) / mean - 1.0, 5) if mean > 0 else None,
    }


def _column(run: StoredRun, metric: str) -> PerUser:
    values = run.values()
    if metric not in values:
        raise DataError(f"unknown metric {metric!r}; known are {', '.join(values)}")
    return values[metric]


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down correction for several tests (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    out = [0.0] * len(p_values)
    running = 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[i]))
        out[i] = running
    return out
