"""Plots of run files as SVG text, with intervals of 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tastemaker.eval.drawing import figure, legend, look
from tastemaker.eval.outcomes import column
from tastemaker.eval.runfile import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC = "ndcg@10"
DEPTH = 100
"""Longest list that the ceiling is drawn for."""


def overview(runs: Sequence[StoredRun]) -> str:
    """NDCG@10 of every system with its interval, in the order given."""
    with figure(7.4, 0.9 + 0.34 * len(runs)) as (axes, drawn):
        for place, run in enumerate(runs):
            value, (low, high) = run.summary["metrics"][METRIC], run.summary["ci95"][METRIC]
            axes.errorbar(
                value, place, xerr=[[value - low], [high - value]], **look(place), markersize=6, capsize=0
            )
            axes.annotate(
                f"{value:.4f}", (value, place), (0, 7), textcoords="offset points", ha="center", fontsize=8.5
            )
        axes.set_yticks(range(len(runs)), [run.summary["system"] for run in runs])
        axes.set_ylim(len(runs) - 0.5, -0.7)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("NDCG@10")
    return drawn[0]


def by_bucket(runs: Sequence[StoredRun], grouping: str, xlabel: str) -> str | None:
    """NDCG@10 per bucket of a grouping, systems side by side; None when no run has the grouping."""
    having = [(place, run) for place, run in enumerate(runs) if grouping in run.summary["buckets"]]
    if not having:
        return None
    buckets = {place: run.summary["buckets"][grouping] for place, run in having}
    # All runs asked the same questions; rerankers may differ in what their candidates held.
    labels = list(dict.fromkeys(row["label"] for rows in buckets.values() for row in rows))
    counts = {row["label"]: row["questions"] for rows in buckets.values() for row in rows}
    with figure(7.4, 3.2) as (axes, drawn):
        for turn, (place, run) in enumerate(having):
            shift = (turn - (len(having) - 1) / 2) * min(0.14, 0.7 / len(having))
            rows = buckets[place]
            x = np.array([labels.index(row["label"]) for row in rows]) + shift
            y = np.array([row["metrics"][METRIC] for row in rows])
            ends = np.array([row["ci95"][METRIC] for row in rows]).T
            axes.errorbar(
                x,
                y,
                yerr=np.abs(ends - y),
                **look(place),
                linewidth=0.9,
                elinewidth=1.1,
                markersize=4.5,
                label=run.summary["system"],
            )
        if grouping == "position":
            _kept_order(axes, having[0][1], labels)
        axes.set_xticks(range(len(labels)), [f"{label}\n{counts[label]:,}" for label in labels])
        axes.tick_params(axis="x", labelsize=8.5)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{xlabel} (below: questions)")
        axes.set_ylabel("NDCG@10")
        legend(axes)
    return drawn[0]


def _kept_order(axes: Axes, run: StoredRun, labels: Sequence[str]) -> None:
    """What the retriever's own order gives in each bucket of candidate positions."""
    places = np.concatenate([column(outcomes, "position") for outcomes in run.outcomes])
    gains = np.where((places >= 1) & (places <= 10), 1.0 / np.log2(np.maximum(places, 1) + 1.0), 0.0)
    firsts = [_first(label) for label in labels]
    for i, first in enumerate(firsts):
        last = firsts[i + 1] - 1 if i + 1 < len(firsts) else math.inf
        inside = (places >= first) & (places <= last)
        if inside.any():
            axes.hlines(
                gains[inside].mean(),
                i - 0.4,
                i + 0.4,
                colors="#1f2429",
                linestyles=(0, (2, 2)),
                linewidth=1.1,
                label="order of the retriever" if i == 0 else "_",
            )


def _first(label: str) -> int:
    """The lowest position in a bucket: "6-10" -> 6, "61+" -> 61, "not found" -> 0."""
    digits = label.rstrip("+").split("-")[0]
    return int(digits) if digits.isdigit() else 0


def ceiling(runs: Sequence[StoredRun]) -> str:
    """Recall against list length; dashed is what a reranker's candidates hold: it cannot get above that."""
    with figure(7.4, 3.2) as (axes, drawn):
        for place, run in enumerate(runs):
            colour = look(place)["color"]
            ranks = np.concatenate([column(outcomes, "rank") for outcomes in run.outcomes])
            found = np.concatenate([column(outcomes, "position") for outcomes in run.outcomes])
            axes.plot(*_recall(ranks), color=colour, label=run.summary["system"])
            if (found >= 0).any():
                depth, held = _recall(found)
                axes.plot(depth, held, color=colour, linestyle=(0, (3, 2)), linewidth=1)
                axes.annotate(
                    f"ceiling {held[-1]:.3f}",
                    (depth[-1], held[-1]),
                    (5, -3),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=colour,
                    bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1},
                )
        axes.set_xlim(0, DEPTH)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("length of the list")
        axes.set_ylabel("recall")
        legend(axes)
    return drawn[0]


def _recall(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """List lengths 0, 1, ... up to the last at which something was found, and the recall at each."""
    counts = np.bincount(places[places <= DEPTH])
    counts[0] = 0
    return np.arange(len(counts)), counts.cumsum() / len(places)
