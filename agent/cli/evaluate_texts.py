"""``tastemaker eval xrec``: the text metrics of the literature, on the rows that others are measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import JsonOption, out, print_json, progress_bars

COLUMNS = {
    "bleu1": ("B-1", ".1f"),
    "bleu4": ("B-4", ".1f"),
    "rouge_l": ("R-L", ".3f"),
    "usr": ("USR", ".3f"),
    "skeleton_repeats": ("skel", ".3f"),
    "distinct1": ("D-1", ".3f"),
    "distinct2": ("D-2", ".3f"),
    "words": ("words", ".1f"),
}
"""Figure -> heading and format."""


def xrec(
    rows: Annotated[int | None, typer.Option(min=1, help="Sample so many rows; default all 3,000.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of the intervals.")] = 0,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the rows. Default: explain-xrec in TASTEMAKER_DATA."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Write the figures and how they were made to a JSON file."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """BLEU, ROUGE, USR and distinct on XRec's Yelp rows: a figure of comparability, not of truth."""
    from tastemaker.artifacts import write_json
    from tastemaker.eval.provenance import provenance
    from tastemaker.eval.xrec import load_rows, measure_xrec

    chosen = load_rows(data, rows=rows, seed=seed)
    with progress_bars() as progress:
        found = measure_xrec(chosen, seed=seed, progress=progress)
    summary = {**provenance(seed), **found}
    if results is not None:
        write_json(results, summary)
    if json_:
        print_json(summary)
    else:
        _show(summary)


def _show(summary: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("texts")
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figures in summary["systems"].items():
        # The references have nothing to be compared with.
        cells = (format(figures[key], form) if key in figures else "–" for key, (_, form) in COLUMNS.items())
        table.add_row(escape(name), *cells)
    out.print(table)
    out.print(
        f"[dim]{summary['rows']} rows; B: BLEU, 0 to 100; R-L: F1 of ROUGE-L; skel: share that another user "
        "was given with at most the title changed; D: distinct. They compare wording with a reference that "
        "tells of a visit; none of them looks at truth.[/]"
    )
