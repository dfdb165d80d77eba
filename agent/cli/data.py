"""``tastemaker data``: import, fetch, describe and split data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import (
    JsonOption,
    WorkspaceOption,
    err,
    out,
    pairs,
    print_json,
    progress_bars,
)
from tastemaker.artifacts import atomic_folder, write_manifest
from tastemaker.data.dataset import Dataset, refuse_foreign_folder
from tastemaker.data.readers import ReadResult, read
from tastemaker.data.splits import Holdout, Split, TieRule, global_time, leave_one_out, per_user_ratio
from tastemaker.errors import DataError
from tastemaker.workspace import Workspace

FETCHABLE = ("ml-100k",)
SPLIT_KIND = "split"

app = typer.Typer(no_args_is_help=True)


class SplitKind(StrEnum):
    LOO = "loo"
    RATIO = "ratio"
    TIME = "time"


@app.command("import")
def import_(
    workspace: WorkspaceOption,
    interactions: Annotated[
        Path | None, typer.Option("--interactions", help="Who did what with which item, and when.")
    ] = None,
    items: Annotated[Path | None, typer.Option("--items", help="The catalogue.")] = None,
    users: Annotated[Path | None, typer.Option("--users", help="Facts about users.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="Overrides a guess: user, item, timestamp, value, event, title, description, genres, tags, "
            "year, price, image; or encoding.",
        ),
    ] = None,
    keep_duplicates: Annotated[
        bool,
        typer.Option("--keep-duplicates", help="Keep items apart that nothing but their id tells apart."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read files (RecBole, MovieLens, CSV, TSV, JSON, JSON lines, Parquet, gzip) into a workspace."""
    result = read(
        interactions, items, users, overrides=pairs(column, "column"), merge_items=not keep_duplicates
    )
    _store(result, Workspace(workspace), as_json)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help=f"A known data set: {', '.join(FETCHABLE)}.")],
    workspace: WorkspaceOption,
    as_json: JsonOption = False,
) -> None:
    """Fetch a public data set, checked by its checksums, into a workspace."""
    from tastemaker.weights.fetch import ensure

    if name not in FETCHABLE:
        raise DataError(f"no data set is called {name!r}; known are {', '.join(FETCHABLE)}")
    with progress_bars() as progress:
        source = ensure(name, progress=progress)
    for note in source.notes:
        err.print(f"[dim]{escape(note)}[/]")
    files = [source.path / f"{name}.{part}" for part in ("inter", "item", "user")]
    _store(read(*files), Workspace(workspace), as_json)


@app.command()
def describe(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """Say what a workspace's data are: counts, times, ratings, context and attributes."""
    facts = Dataset.load(Workspace(workspace).require_data()).describe()
    if as_json:
        print_json(facts)
    else:
        _show_facts(facts)


@app.command()
def sync(
    workspace: WorkspaceOption = Path("workspace"),
    store: Annotated[
        str | None, typer.Option("--store", help="Database URL. Default: the workspace's state.db.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Let what was said in chats and over HTTP enter the interactions, and make the index fit them."""
    from tastemaker.agent.cli.feedback import open_store
    from tastemaker.agent.feedback import sync as enter
    from tastemaker.config import resolve
    from tastemaker.index.embeddings import load_embedder

    place = Workspace(workspace)
    place.require_index()
    settings, _ = resolve(place.config)
    with progress_bars() as progress:
        embedder = load_embedder(settings.embedder, progress=progress)
    found = enter(place, open_store(place, store), embedder)
    facts = {
        "added": found.added,
        "known": found.known,
        "without_user": found.nobodys,
        "unknown_items": found.unknown,
        "unknown_events": found.unheard,
        "interactions": found.dataset.counts["interactions"],
    }
    if json_:
        print_json(facts)
        return
    out.print(f"{found.added:,} new interactions, {facts['interactions']:,} in all")
    if found.nobodys or found.unknown or found.unheard:
        out.print(
            f"[dim]left out: {found.nobodys:,} without a user, {found.unknown:,} about unknown items, "
            f"{found.unheard:,} of unknown names[/]"
        )
    if found.added and place.sequential.is_dir():
        err.print("[yellow]The user encoder was trained on the data before:[/] tastemaker train retriever")


@app.command()
def split(
    workspace: WorkspaceOption,
    kind: Annotated[
        SplitKind, typer.Option("--kind", help="loo: leave one out; ratio; time.")
    ] = SplitKind.LOO,
    ties: Annotated[str, typer.Option("--ties", help="Equal times by: item_id, random or row.")] = "item_id",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder for train/, validation.jsonl and test.jsonl.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cut the interactions into train, validation and test by time; --out writes them."""
    dataset = Dataset.load(Workspace(workspace).require_data())
    made = _split(dataset, kind, ties, seed)
    if target is not None:
        _write_split(made, target)
    facts = {
        "kind": kind.value,
        "description": made.description,
        "train": made.train.interactions.num_rows,
        "validation": len(made.validation),
        "test": len(made.test),
        "out": None if target is None else str(target),
    }
    if as_json:
        print_json(facts)
        return
    out.print(f"[bold]{escape(made.description)}[/]", soft_wrap=True)
    for name in ("train", "validation", "test"):
        out.print(f"{name}: {facts[name]:,} events")
    if target is not None:
        out.print(f"written to {escape(str(target))}", soft_wrap=True)


def _split(dataset: Dataset, kind: SplitKind, ties: str, seed: int) -> Split:
    rules: tuple[TieRule, ...] = ("item_id", "random", "row")
    rule = next((one for one in rules if one == ties), None)
    if rule is None:
        raise DataError(f"unknown tie rule {ties!r}; known are {', '.join(rules)}")
    if kind is SplitKind.TIME:
        return global_time(dataset)
    if kind is SplitKind.RATIO:
        return per_user_ratio(dataset, ties=rule, seed=seed)
    return leave_one_out(dataset, ties=rule, seed=seed)


def _write_split(made: Split, folder: Path) -> None:
    refuse_foreign_folder(folder, SPLIT_KIND)
    with atomic_folder(folder) as staged:
        made.train.save(staged / "train")
        for name, events in (("validation", made.validation), ("test", made.test)):
            (staged / f"{name}.jsonl").write_text("".join(_lines(events)), encoding="utf-8")
        write_manifest(staged, SPLIT_KIND, {"description": made.description})


def _lines(events: Iterable[Holdout]) -> Iterable[str]:
    for event in events:
        row = {
            "user_id": event.user_id,
            "item_id": event.item_id,
            "timestamp": event.timestamp,
            "event": event.event,
            "value": event.value,
            **event.context,
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _store(result: ReadResult, workspace: Workspace, as_json: bool) -> None:
    """Say what was understood and cleaned, then put it into the workspace in one step."""
    console = err if as_json else out
    for line in result.guesses:
        console.print(f"[bold]read[/]    {escape(line)}", soft_wrap=True)
    for line in result.report.lines():
        console.print(f"[bold]cleaned[/] {escape(line)}", soft_wrap=True)
    result.dataset.save(workspace.data)
    stale = workspace.index.exists()
    if stale:
        err.print(
            "[yellow]The index was built from earlier data and is out of date:[/] "
            f"tastemaker index build --workspace {escape(str(workspace.root))}",
            soft_wrap=True,
        )
    if as_json:
        print_json(
            {
                "workspace": str(workspace.root),
                "guesses": list(result.guesses),
                "cleaning": result.report.to_dict(),
                "index_out_of_date": stale,
                "dataset": result.dataset.describe(),
            }
        )
        return
    counts = result.dataset.counts
    console.print(
        f"{counts['items']:,} items, {counts['users']:,} users and {counts['interactions']:,} interactions "
        f"are in {escape(str(workspace.data))}",
        soft_wrap=True,
    )


def _show_facts(facts: dict[str, Any], console: Console = out) -> None:
    table = Table(show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        if value is None or value == {}:
            continue
        table.add_row(name.replace("_", " "), escape(_words(value)))
    console.print(table)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        nested = any(isinstance(part, dict) for part in value.values())
        mark, joiner = (":", "\n") if nested else ("", ", ")
        return joiner.join(f"{name}{mark} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " to ".join(f"{part:g}" for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
