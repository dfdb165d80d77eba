"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tastemaker.config import Settings
from tastemaker.errors import ConfigError, RequestError
from tastemaker.protocols import ProgressCallback
from tastemaker.types import field_name
from tastemaker.workspace import Workspace

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder that holds everything.")]
WishOption = Annotated[str, typer.Option("--wish", help="What is wanted now, in your own words.")]
ContextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="KEY=VALUE",
        help="The situation: time, place, device, company, mood, weather, activity or any other key. "
        "time defaults to now; time= leaves it out.",
    ),
]
LiteralOption = Annotated[
    bool, typer.Option("--literal", help="Read the wish as it stands; do not take it apart.")
]
KOption = Annotated[int, typer.Option("-k", min=1, max=1_000, help="How many items.")]
EventOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="NAME=ITEM",
        help="What happened in this session, oldest first: click=50, dislike='Heat (1995)'.",
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="EXPR", help="A hard condition: 'year>=1990', 'genres has Comedy'."),
]
ExplainOption = Annotated[
    str | None, typer.Option("--explain", help="Who words explanations: llm, template or none.")
]
NoExplainOption = Annotated[bool, typer.Option("--no-explain", help="Leave explanations out.")]
LanguageOption = Annotated[str, typer.Option("--language", help="auto, en or zh.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting of config.yaml, e.g. candidates=40."),
]
LLMOption = Annotated[
    str | None, typer.Option("--llm", help="Built-in name, hf: id, folder, server URL, or none.")
]
DemoOption = Annotated[
    bool, typer.Option("--demo", help="MovieLens-100K, fetched and indexed at the first call.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

err = Console(stderr=True, highlight=False)
out = Console(highlight=False)


def pairs(texts: Sequence[str] | None, what: str) -> dict[str, str]:
    """``["company=family"]`` -> ``{"company": "family"}``, names without blanks around them.

    Raises:
        RequestError: a text has no ``=``, or a name stands twice: which of the two is meant, nobody knows.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        name, value = key.strip(), value.strip()
        if not equals or not name:
            raise RequestError(f"{what} {text!r} is not KEY=VALUE", hint=f"--{what} company=family")
        if name in found:
            raise RequestError(
                f"--{what} says {name} twice: {found[name]!r} and {value!r}", hint="leave one of them out"
            )
        found[name] = value
    return found


def context_of(texts: Sequence[str] | None) -> dict[str, object]:
    """The situation on the command line; the clock is read unless a time is given (``time=`` for none)."""
    said = pairs(texts, "context")
    if any(field_name(name) == "time" for name in said):
        return dict(said)
    return {"time": datetime.now().replace(microsecond=0), **said}


def session_of(texts: Sequence[str] | None) -> list[dict[str, str]]:
    """``["click=50"]`` -> ``[{"event": "click", "id": "50", "title": "50"}]``."""
    found = []
    for text in texts or ():
        name, equals, item = text.partition("=")
        if not equals or not name.strip() or not item.strip():
            raise RequestError(f"event {text!r} is not NAME=ITEM", hint="--event dislike='Heat (1995)'")
        found.append({"event": name.strip(), "id": item.strip(), "title": item.strip()})
    return found


def setting_flags(
    texts: Sequence[str] | None, *, llm: str | None = None, explain: str | None = None
) -> dict[str, Any]:
    """Flags for ``tastemaker.config.resolve``; ConfigError for a key that is no setting."""
    found: dict[str, Any] = dict(pairs(texts, "set"))
    for key in found:
        if key not in Settings.model_fields:
            known = ", ".join(sorted(Settings.model_fields))
            raise ConfigError(f"unknown setting {key!r}; known are {known}")
    return {**found, "llm": llm or found.get("llm"), "explain": explain or found.get("explain")}


def workspace_of(folder: Path, demo: bool, progress: ProgressCallback | None) -> Workspace:
    """The workspace that was named, or the demo's."""
    if not demo:
        return Workspace(folder)
    from tastemaker.agent.demo_data import prepare_demo

    return Workspace(prepare_demo(progress=progress))


def print_json(value: Any) -> None:
    """Exactly one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def progress_bars() -> Iterator[ProgressCallback | None]:
    """Bars on stderr when it is a terminal; None (silence) otherwise."""
    if not err.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report
