"""Put run files side by side: the same users, paired tests against the first, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import DataError
from tastemaker.eval.metrics import per_user
from tastemaker.eval.run import load_ranks
from tastemaker.eval.significance import paired_randomisation_p


def compare_runs(paths: Sequence[Path], *, metric: str = "ndcg@10", seed: int = 0) -> list[dict[str, Any]]:
    """Summaries with ``p``: Holm-corrected, two-sided, paired over users; None for the base.

    Raises:
        DataError: there is no file, one is no run file, the questions differ, or the metric is unknown.
    """
    if not paths:
        raise DataError("there are no run files to compare")
    loaded = [load_ranks(path) for path in paths]
    base_summary, base_ranks = loaded[0]
    for path, (summary, ranks) in zip(paths, loaded, strict=True):
        if any(summary[name] != base_summary[name] for name in ("protocol", "questions")):
            raise DataError(
                f"{path} ({summary['protocol']}, {len(ranks)} users) and {paths[0]} "
                f"({base_summary['protocol']}, {len(base_ranks)} users) asked different questions",
                hint="run both on the same data with the same --protocol, --users and --seed",
            )
    columns = [per_user([ranks[user] for user in base_ranks]) for _, ranks in loaded]
    if metric not in columns[0]:
        raise DataError(f"unknown metric {metric!r}; known are {', '.join(columns[0])}")
    raw = [paired_randomisation_p(column[metric], columns[0][metric], seed=seed) for column in columns[1:]]
    corrected = [None, *holm(raw)]
    return [{**summary, "p": p} for (summary, _), p in zip(loaded, corrected, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down correction for several tests (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    out = [0.0] * len(p_values)
    running = 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[i]))
        out[i] = running
    return out
