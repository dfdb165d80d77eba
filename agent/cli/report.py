"""``tastemaker report``: many requests answered, explained, checked and shown on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    WorkspaceOption,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.errors import RequestError
from tastemaker.types import Language

SHOWN = (
    "requests",
    "failed",
    "items",
    "explained_share",
    "statement_precision",
    "statement_precision_second_checker",
    "fallback_share",
    "faithfulness_win_rate",
    "faithfulness_ratio",
    "unique_sentence_ratio",
)


def report(
    users: Annotated[
        str,
        typer.Option(
            "--users",
            metavar="N|FILE|moments:ID",
            help="So many random users, asked about at their last event; a file with a user id, or a JSON "
            "request, per line; or one user in ten situations.",
        ),
    ],
    target: Annotated[
        Path, typer.Option("--out", help="Folder of the report; one that was cut off goes on.")
    ],
    workspace: WorkspaceOption = Path("workspace"),
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Items per request.")] = 5,
    probe: Annotated[
        int, typer.Option(min=0, help="Test the evidence of so many requests by deletion and shuffling.")
    ] = 200,
    language: Annotated[str, typer.Option("--language", help="auto, en or zh.")] = "auto",
    against: Annotated[
        Path | None, typer.Option("--against", help="Folder of another report to compare with.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes, each on one core with its own models; 0: a core each.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the users and of what is deleted.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what the folder holds.")] = False,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Explain many recommendations offline: a page for people, JSON lines for programs, figures for both."""
    from tastemaker.config import resolve
    from tastemaker.eval.offline.build import PAGE, write_report
    from tastemaker.eval.offline.work import Plan
    from tastemaker.machine import usable_cores
    from tastemaker.workspace import Workspace

    settings, _ = resolve(Workspace(workspace).config, setting_flags(set_, llm=llm))
    if settings.explain == "none":
        raise RequestError("explain is none; there is nothing to report", hint="--set explain=template")
    plan = Plan(
        workspace=workspace,
        settings=settings,
        users=users,
        k=k,
        seed=seed,
        probe=probe,
        language=_language(language),
    )
    with progress_bars() as progress:
        summary = write_report(
            plan,
            target,
            workers=workers or usable_cores(),
            other=against,
            restart=restart,
            progress=progress,
        )
    if json_:
        print_json(summary)
    else:
        _show(summary)
        out.print(f"\nopen {escape(str(target / PAGE))}", soft_wrap=True)
    if summary["failed"] == summary["requests"]:
        raise typer.Exit(1)


def _language(name: str) -> Language | None:
    """None: that of each request."""
    if name == "auto":
        return None
    if name not in ("en", "zh"):
        raise RequestError(f"language is {name!r}; auto, en or zh is wanted")
    return name  # type: ignore[return-value]


def _show(summary: dict[str, Any]) -> None:
    for name in SHOWN:
        value = summary.get(name)
        shown = "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        out.print(f"{name:>36}  {shown}")
    if (ranking := summary["ranking"]) is not None:
        served, plain = (ranking[one]["metrics"]["ndcg@10"] for one in ("served", "retriever"))
        out.print(f"{'ndcg@10':>36}  {served:.4f} (retriever alone {plain:.4f})")
    if summary["failed"]:
        out.print(
            f"[yellow]{summary['failed']} requests failed; the page says why; the same command tries again[/]"
        )
