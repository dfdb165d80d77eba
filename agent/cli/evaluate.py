"""``tastemaker eval``: run a system on a protocol, compare run files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    err,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.errors import DataError

app = typer.Typer(no_args_is_help=True)
SHOWN = ("recall@5", "recall@10", "recall@20", "ndcg@10", "mrr@10")


@app.command()
def run(
    system: Annotated[str, typer.Option(help="popularity, transitions, text, hybrid, random, llm or fused.")],
    protocol: Annotated[str, typer.Option(help="loo, or loo-validation for tuning.")] = "loo",
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Default: the demo's MovieLens-100K.")
    ] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Sample so many users; default all.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    save: Annotated[
        Path | None, typer.Option("--out", help="Write every user's rank to a JSONL file.")
    ] = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure one system. Nothing it is built from has seen the answers."""
    from tastemaker.agent.assemble import load_fusion
    from tastemaker.agent.demo_data import prepare_demo
    from tastemaker.config import resolve
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.protocols import make_protocol
    from tastemaker.eval.run import run_system, save_run
    from tastemaker.eval.systems import build_retrievers, build_system, facts_of
    from tastemaker.workspace import Workspace

    with progress_bars() as progress:
        place = Workspace(workspace or prepare_demo(progress=progress))
        settings, _ = resolve(place.config, setting_flags(set_, llm=llm))
        asked = make_protocol(Dataset.load(place.require_data()), protocol, users=users, seed=seed)
        fusion = load_fusion(place, settings)
        retrievers = build_retrievers(asked.train, settings, progress)
        answers = build_system(system, retrievers, settings, fusion, progress)
        facts = facts_of(settings, fusion, system)
        result = run_system(system, answers, asked, seed=seed, progress=progress, facts=facts)
    if save is not None:
        save_run(result, save)
        err.print(f"[dim]{len(result.ranks)} users written to {save}[/]")
    summary = result.summary()
    if json_:
        print_json(summary)
        return
    out.print(f"[bold]{system}[/] on {result.description}")
    for name in SHOWN:
        low, high = summary["ci95"][name]
        out.print(f"{name:>10}  {summary['metrics'][name]:.4f}  [dim]({low:.4f} to {high:.4f})[/]")
    out.print(f"[dim]{result.seconds:.1f} s, peak memory {result.peak_memory_mib:,.0f} MiB[/]")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run files of `eval run --out`; the first is the base.")],
    metric: Annotated[str, typer.Option(help="What the paired test looks at.")] = "ndcg@10",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """One table of run files, with a paired randomisation test against the first (Holm-corrected)."""
    from tastemaker.eval.compare import compare_runs

    if len(runs) < 2:
        raise DataError(
            "one run file cannot be compared", hint="tastemaker eval compare BASE.jsonl OTHER.jsonl"
        )
    rows = compare_runs(runs, metric=metric, seed=seed)
    if json_:
        print_json({"metric": metric, "base": rows[0]["system"], "systems": rows})
        return
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for column in ("system", *map(_short, SHOWN), "p", "s/user", "MiB"):
        table.add_column(column, justify="left" if column == "system" else "right", no_wrap=True)
    for row in rows:
        cells = [f"{row['metrics'][name]:.4f}" for name in SHOWN]
        p = "base" if row["p"] is None else f"{row['p']:.4f}"
        spent = f"{row['seconds_per_user']:.3f}", f"{row['peak_memory_mib']:,}"
        table.add_row(str(row["system"]), *cells, p, *spent)
    out.print(table)
    for row in rows:
        low, high = row["ci95"][metric]
        out.print(f"[dim]{row['system']}: {metric} {low:.4f} to {high:.4f}, 95 %[/]")
    out.print(f"[dim]p: {metric} against {rows[0]['system']}, paired over users, Holm-corrected[/]")


def _short(metric: str) -> str:
    """``ndcg@10`` -> ``N@10``, so that a table fits 80 columns."""
    return metric[0].upper() + metric[metric.index("@") :]
