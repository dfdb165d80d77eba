"""``tastemaker feedback``: what was said of lists, as training material and as a test of what it taught."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

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
from tastemaker.config import resolve
from tastemaker.errors import DataError
from tastemaker.workspace import Workspace

app = typer.Typer(no_args_is_help=True)
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Database URL. Default: the workspace's state.db.")
]


@app.command()
def export(
    target: Annotated[Path, typer.Option("--out", help="Folder for examples.jsonl and preferences.jsonl.")],
    workspace: WorkspaceOption = Path("workspace"),
    store: StoreOption = None,
    json_: JsonOption = False,
) -> None:
    """Write lists with what was chosen of them, and preference pairs, for training a ranker elsewhere."""
    from tastemaker.agent import feedback
    from tastemaker.prompts.domains import load_domain

    place = Workspace(workspace)
    place.require_data()
    domain = load_domain(resolve(place.config)[0].domain)
    kept = open_store(place, store)
    files = {"examples": feedback.examples, "preferences": feedback.preferences}
    told = {
        name: feedback.write_lines(rows(kept, domain), target / f"{name}.jsonl")
        for name, rows in files.items()
    }
    if json_:
        print_json({**told, "folder": str(target)})
        return
    out.print(
        f"{told['examples']:,} examples and {told['preferences']:,} preference pairs in {target}",
        markup=False,
    )


@app.command()
def replay(
    workspace: WorkspaceOption = Path("workspace"),
    later: Annotated[
        float,
        typer.Option("--later", min=0.05, max=0.95, help="Share of the events, by time, that are asked."),
    ] = 0.3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    store: StoreOption = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Write the figures to a JSON file.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Compare the recommender before and after it counts earlier feedback, on the later feedback.

    Both count behaviour anew; what was trained (user encoder, adapter) stays as it is.
    """
    from tastemaker.agent.assemble import load_parts
    from tastemaker.artifacts import write_json
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.provenance import provenance
    from tastemaker.eval.replay import replay as measure
    from tastemaker.prompts.domains import load_domain

    place = Workspace(workspace)
    dataset = Dataset.load(place.require_data())
    settings, _ = resolve(place.config, setting_flags(set_, llm=llm, explain="none"))
    kept = open_store(place, store)
    with progress_bars() as progress:
        found = measure(
            dataset,
            kept.events(),
            load_domain(settings.domain),
            lambda data: load_parts(place, settings, progress, train=data).pipeline,
            later=later,
            seed=seed,
        )
    summary = {**provenance(seed), **found}
    if results is not None:
        write_json(results, summary)
    if json_:
        print_json(summary)
    else:
        _show(found)


def open_store(place: Workspace, url: str | None) -> Any:
    from tastemaker.agent.store import Store

    if url is None and not place.state.is_file():
        raise DataError(
            f"{place.root} has no state.db: nothing has been said yet",
            hint="tastemaker chat and serve keep it",
        )
    return Store(url) if url is not None else Store.at(place.state)


def _show(found: dict[str, Any]) -> None:
    asked = f"{found['replayed']:,} asked, {found['users']:,} users"
    out.print(f"learned from {found['learned_from']:,} events; {asked}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "before", "after", "difference, 95 %", "p"):
        table.add_column(name, justify="right")
    for name in ("recall@10", "ndcg@10"):
        one = found[name]
        low, high = one["difference_ci95"]
        table.add_row(
            name,
            f"{one['before']:.4f}",
            f"{one['after']:.4f}",
            f"{low:+.4f} to {high:+.4f}",
            f"{one['p_value']:.4f}",
        )
    out.print(table)
