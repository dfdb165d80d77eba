"""``tastemaker index``: build, search and inspect the FAISS index of a workspace."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import (
    FilterOption,
    JsonOption,
    KOption,
    SetOption,
    WorkspaceOption,
    err,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.config import Settings, resolve
from tastemaker.errors import RequestError
from tastemaker.workspace import Workspace

app = typer.Typer(no_args_is_help=True)


@app.command()
def build(
    workspace: WorkspaceOption = Path("workspace"), set_: SetOption = None, json_: JsonOption = False
) -> None:
    """Embed the items and index them; texts that were embedded before cost nothing."""
    from tastemaker.data.dataset import Dataset
    from tastemaker.index.build import build_index

    place, settings = _settings(workspace, set_)
    dataset = Dataset.load(place.require_data())
    start = perf_counter()
    with progress_bars() as progress:
        report = build_index(dataset, place.index, settings.embedder, progress=progress)
    facts = {
        **report.index.info(),
        "embedded": report.embedded,
        "reused": report.reused,
        "seconds": round(perf_counter() - start, 1),
        "warning": report.warning,
    }
    if report.warning:
        err.print(f"[yellow]warning:[/] {escape(report.warning)}")
    if json_:
        print_json(facts)
        return
    out.print(
        f"Indexed [bold]{facts['items']:,}[/] items in {facts['seconds']} s: {report.embedded:,} newly "
        f"embedded, {report.reused:,} known before."
    )
    _show(facts)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    workspace: WorkspaceOption = Path("workspace"),
    k: KOption = 10,
    filters: FilterOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Find the items whose texts are nearest in meaning."""
    from tastemaker.data.dataset import Dataset
    from tastemaker.index.build import language_warning
    from tastemaker.index.embeddings import load_embedder
    from tastemaker.index.filters import parse_filters
    from tastemaker.index.store import ItemIndex
    from tastemaker.index.text_retriever import TextRetriever
    from tastemaker.types import Request

    if not text.strip():
        raise RequestError("the text to search for is empty")
    place, settings = _settings(workspace, set_)
    dataset = Dataset.load(place.require_data())
    wanted = Request(wish=text, k=k, filters=parse_filters(filters or (), dataset.items.schema))
    with progress_bars() as progress:
        embedder = load_embedder(settings.embedder, progress=progress)
    index = ItemIndex.load(
        place.require_index(),
        embedder_fingerprint=embedder.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
    )
    found = TextRetriever(dataset, index, embedder).retrieve([wanted], k)[0]
    warning = language_warning(embedder.name, [text])
    if warning:
        err.print(f"[yellow]warning:[/] {escape(warning)}")
    if json_:
        rows = [
            {"rank": rank, "id": c.item.id, "title": c.item.display_title, "score": round(c.score, 6)}
            for rank, c in enumerate(found, 1)
        ]
        print_json({"text": text, "filters": [str(one) for one in wanted.filters], "items": rows})
        return
    if not found:
        out.print("No item meets the filters.")
        return
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("Score", justify="right")
    table.add_column("Id", style="dim")
    table.add_column("Title", style="bold cyan")
    for candidate in found:
        table.add_row(
            f"{candidate.score:.3f}", escape(candidate.item.id), escape(candidate.item.display_title)
        )
    out.print(table)


@app.command()
def info(workspace: WorkspaceOption = Path("workspace"), json_: JsonOption = False) -> None:
    """Say what the index holds, which kind it is and why, and whether it fits the data."""
    from tastemaker.data.dataset import Dataset
    from tastemaker.index.store import ItemIndex

    place = Workspace(workspace)
    dataset = Dataset.load(place.require_data())
    index = ItemIndex.load(place.require_index(), embedder_fingerprint=None, dataset_fingerprint=None)
    current = index.dataset_fingerprint == dataset.fingerprint
    facts = {**index.info(), "current": current}
    if json_:
        print_json(facts)
        return
    _show(facts)
    if not current:
        out.print("[yellow]The data have changed since:[/] tastemaker index build")


def _settings(workspace: Path, set_: list[str] | None) -> tuple[Workspace, Settings]:
    place = Workspace(workspace)
    place.require_data()
    return place, resolve(place.config, setting_flags(set_))[0]


def _show(facts: dict[str, Any]) -> None:
    out.print(f"kind       {facts['kind']} ({escape(facts['why'])})")
    out.print(f"items      {facts['items']:,}, dead rows {facts['dead_rows']:,}, {facts['megabytes']} MB")
    out.print(f"embedder   {escape(facts['embedder'])}, {facts['dimension']} dimensions")
    out.print(f"identity   {facts['fingerprint']}")
