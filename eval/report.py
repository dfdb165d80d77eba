"""A report on run files: one self-contained page, and the same as Markdown with the plots as SVG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tastemaker.artifacts import atomic_file
from tastemaker.eval import plots
from tastemaker.eval.compare import compare_runs, load_comparable
from tastemaker.eval.runfile import StoredRun

SHOWN = ("recall@5", "recall@10", "recall@20", "ndcg@10", "mrr@10")
_BUCKETS = (
    ("history", "By length of history", "events in the history"),
    ("popularity", "By popularity of the item sought", "events of the item in the training data"),
    ("position", "By the place that the retriever gave", "place among the candidates"),
)
_NEW = {"popularity": "new item", "new_user": "new user"}


def write_report(paths: Sequence[Path], folder: Path, *, seed: int = 0) -> list[Path]:
    """Write ``report.html``, ``report.md`` and its plots; the others are tested against the first run.

    Returns:
        The paths written, the page first.

    Raises:
        DataError: there is no file, one is no run file, or the questions differ.
        MissingExtraError: matplotlib is not installed.
    """
    runs = load_comparable(paths)
    drawn = list(_figures(runs))
    facts = {
        "rows": compare_runs(paths, metric=plots.METRIC, seed=seed),
        "shown": SHOWN,
        "metric": plots.METRIC,
        "new": _new_rows(runs),
        "figures": drawn,
    }
    written = {"report.html": _render("report.html.j2", facts), "report.md": _render("report.md.j2", facts)}
    written |= {f"{figure['name']}.svg": figure["svg"] + "\n" for figure in drawn}
    for name, text in written.items():
        with atomic_file(folder / name) as staged:
            staged.write_text(text, encoding="utf-8")
    return [folder / name for name in written]


def _figures(runs: Sequence[StoredRun]) -> list[dict[str, str]]:
    found = [
        {
            "name": "overview",
            "title": "Ranking quality",
            "svg": plots.overview(runs),
            "text": "NDCG@10 with 95 % bootstrap intervals over users. The intervals of two systems may "
            "overlap although their paired difference is significant: see the table.",
        }
    ]
    for grouping, title, xlabel in _BUCKETS:
        svg = plots.by_bucket(runs, grouping, xlabel)
        if svg is not None:
            text = "Every bucket with its 95 % interval; wide ones hold few questions."
            if grouping == "position":
                text += " Above the dashes reranking has moved the item up, below them down."
            found.append({"name": f"by-{grouping}", "title": title, "svg": svg, "text": text})
    found.append(
        {
            "name": "ceiling",
            "title": "The retriever's ceiling",
            "svg": plots.ceiling(runs),
            "text": "Recall by length of the list. A reranker only reorders its candidates: the dashed line "
            "is what they hold.",
        }
    )
    return found


def _new_rows(runs: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """Questions for items, or by users, that training has not seen."""
    return [
        {"system": run.summary["system"], **row}
        for grouping, label in _NEW.items()
        for run in runs
        for row in run.summary["buckets"][grouping]
        if row["label"] == label
    ]


def _render(template: str, facts: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("tastemaker.eval"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["figure4"] = lambda value: f"{value:.4f}"
    return environment.get_template(template).render(facts)
