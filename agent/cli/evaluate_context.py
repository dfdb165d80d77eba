"""``tastemaker eval context``: does the situation help, on data sets that know it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import JsonOption, err, out, print_json
from tastemaker.errors import InputError


def context(
    names: Annotated[
        list[str] | None,
        typer.Option("--set", help="comoda, depaul, incar, smart-home; may be given again. Default: all."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", help="Leave this field of the situation out everywhere; may be given again."),
    ] = None,
    splits: Annotated[int, typer.Option(min=1, max=100, help="Random splits.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first split.")] = 0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the public sets. Default: TASTEMAKER_DATA.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Write the figures and how they were made to a JSON file."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """The hybrid with and without the situation, with a wrong one, and four baselines that read it."""
    from tastemaker.artifacts import write_json
    from tastemaker.eval.moments.run import measure
    from tastemaker.eval.moments.sets import SETS, load_moments, without_fields
    from tastemaker.eval.provenance import provenance

    sets = [load_moments(name, data) for name in names or SETS]
    had = {one.name: one.dataset.context_columns for one in sets}
    # Of sets that were named each must have the field; of all, some have it.
    lost = dict.fromkeys(drop or ())
    enough = all if names else any
    if missing := [field for field in lost if not enough(field in one for one in had.values())]:
        for one in sets:
            without_fields(one, missing)
    sets = [without_fields(one, [field for field in lost if field in had[one.name]]) for one in sets]
    for one in sets:
        if had[one.name] and not one.dataset.context_columns:
            raise InputError(
                f"nothing is left of the situation in {one.name}", hint="keep one field at least"
            )
    found = {
        one.name: measure(one, splits, seed=seed, progress=lambda told: err.print(f"[dim]{escape(told)}[/]"))
        for one in sets
    }
    summary = {**provenance(seed), "splits": splits, "sets": found}
    if results is not None:
        write_json(results, summary)
    if json_:
        print_json(summary)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("NDCG@10")
    for name in found:
        table.add_column(escape(name), justify="right")
    rows = {"with context": "with_context", "without": "without_context", "shuffled": "shuffled_context"}
    for label, key in rows.items():
        table.add_row(label, *(f"{one[key]:.4f}" for one in found.values()))
    table.add_row("lift", *(f"{100 * one['lift']:+.1f} %" for one in found.values()))
    table.add_row("p", *(f"{one['p_value']:.4f}" for one in found.values()))
    for baseline in next(iter(found.values()))["baselines"]:
        table.add_row(escape(baseline), *(f"{one['baselines'][baseline]:.4f}" for one in found.values()))
    out.print(table)
