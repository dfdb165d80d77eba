"""A report in its folder: asks, works, counts, draws and writes; what is done stays done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tastemaker.artifacts import atomic_file, write_json
from tastemaker.eval.drawing import require_matplotlib
from tastemaker.eval.offline.checks import Checks
from tastemaker.eval.offline.compare import RECORDS, SUMMARY, against, load_report, require_common
from tastemaker.eval.offline.moments import several_moments
from tastemaker.eval.offline.page import render_page
from tastemaker.eval.offline.summary import summarise, timings
from tastemaker.eval.offline.work import Plan, Store, Worker, work
from tastemaker.eval.provenance import provenance
from tastemaker.protocols import ProgressCallback

PAGE = "index.html"
TIMINGS = "timings.jsonl"


def write_report(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    other: Path | None = None,
    restart: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Write the report of ``plan``, or finish the one that was begun in ``folder``; return its summary.

    ``index.html`` is one page that needs nothing else; ``requests.jsonl`` holds a record per request and is
    the same however often the work was cut off and on however many processes it ran; ``timings.jsonl`` what
    each took, ``summary.json`` the figures.

    Args:
        other: folder of a finished report to compare with.
        restart: throw away what ``folder`` holds of another plan, or of this one.

    Raises:
        DataError, RequestError: nobody can be asked about, or ``other`` is no report.
        ConfigError: the folder holds parts of another plan.
        MissingExtraError: matplotlib is not installed.
        TastemakerError: models or data cannot be loaded.
    """
    require_matplotlib()
    compared = None if other is None else load_report(other)
    worker = Worker(plan, progress)
    questions = worker.questions
    if compared is not None:
        require_common((one.request for one in questions.asked), compared[0])
    store = Store(folder)
    store.begin(plan.identity(worker.dataset, questions), restart=restart)
    try:
        work(worker, plan, store, workers=workers, progress=progress)
    finally:
        store.forget_if_empty()
    answered, spent = zip(*store.read(len(worker.parts)), strict=True)
    checks = Checks(worker.dataset, domain=plan.settings.domain)
    records = list(checks.checked(answered, questions.asked))
    found = summarise(records, questions.train or worker.dataset, seed=plan.seed)
    summary = {
        "questions": questions.description,
        **found,
        "moments": several_moments(records),
        "timings_ms": timings(spent),
        "settings": plan.settings.as_dict(),
        "plan": {"users": plan.users, "k": plan.k, "probe": plan.probe, "language": plan.language},
        **provenance(plan.seed),
    }
    if compared is not None and other is not None:
        summary["against"] = {
            "folder": str(other),
            **against(records, found, *compared, seed=plan.seed),
        }
    page = render_page(records, summary)
    with atomic_file(folder / PAGE) as staged:
        staged.write_text(page, encoding="utf-8")
    _write_lines(folder / RECORDS, records)
    _write_lines(
        folder / TIMINGS,
        [
            {"request_id": record["request_id"], **{name: round(ms, 1) for name, ms in took.items()}}
            for record, took in zip(records, spent, strict=True)
        ],
    )
    write_json(folder / SUMMARY, summary)
    return summary


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_file(path) as staged:
        staged.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
