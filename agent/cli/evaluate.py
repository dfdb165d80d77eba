"""``tastemaker eval``: run a system on a protocol, compare run files, report on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.evaluate_context import context
from tastemaker.agent.cli.evaluate_texts import xrec
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
from tastemaker.errors import DataError, RequestError

if TYPE_CHECKING:
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.protocols import Rules
    from tastemaker.protocols import ProgressCallback

app = typer.Typer(no_args_is_help=True)
SHOWN = ("recall@5", "recall@10", "recall@20", "ndcg@10", "mrr@10")
WIDE = 92
"""Columns that a table with all of ``SHOWN`` takes; a narrower terminal does without the first."""


@app.command()
def run(
    system: Annotated[
        str, typer.Option(help="A baseline, hybrid, random, llm or fused; a wrong name lists them all.")
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="loo, llamarec, llamarec-tiesafe, temporal, beauty-loo; -validation behind it for tuning."
        ),
    ] = "loo",
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            help="Settings and trained parts, and the data of loo and temporal. Default: the demo's for loo.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the protocol's public data set. Default: TASTEMAKER_DATA."),
    ] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Sample so many users; default all.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of sample, ties, training and intervals; default 0.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--out", help="Write what became of every question to a JSONL file.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Write the figures and how they were made to a JSON file."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Run file to test against, user by user.")
    ] = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure one system. Nothing it is built from has seen the answers."""
    from tastemaker.agent.assemble import load_fusion
    from tastemaker.agent.cli.public_data import protocol_settings
    from tastemaker.artifacts import write_json
    from tastemaker.eval.protocols import rules_of
    from tastemaker.eval.provenance import provenance
    from tastemaker.eval.results import against as tested_against
    from tastemaker.eval.runfile import load_run, save_run
    from tastemaker.eval.systems import measure, require_system
    from tastemaker.workspace import Workspace

    rules = rules_of(protocol)
    require_system(system)
    base = load_run(against) if against is not None else None
    with progress_bars() as progress:
        public = rules.benchmark is not None and (workspace is None or data is not None or not rules.any_data)
        dataset, home = _data(rules, protocol, workspace, data, progress, public=public)
        place = Workspace(home) if home is not None else None
        flags = {**setting_flags(set_, llm=llm), **({} if seed is None else {"seed": seed})}
        settings = protocol_settings(rules, place, flags, public=public)
        seed = settings.seed
        result = measure(
            system,
            dataset,
            protocol,
            settings,
            fusion=load_fusion(place, settings, rules.benchmark if public else None),
            workspace=None if public else place,
            users=users,
            seed=seed,
            progress=progress,
        )
    made = {**provenance(seed), "data": {**dataset.counts, "hash": dataset.fingerprint}}
    summary: dict[str, Any] = {**made, **result.summary()}
    if base is not None:
        summary["against"] = tested_against(result, base)
    if save is not None:
        save_run(result, save, made=made)
        err.print(f"[dim]{summary['users']} users written to {escape(str(save))}[/]")
    if results is not None:
        write_json(results, summary)
    if json_:
        print_json(summary)
    else:
        _show(summary)


def _data(
    rules: Rules,
    protocol: str,
    workspace: Path | None,
    data: Path | None,
    progress: ProgressCallback | None,
    *,
    public: bool,
) -> tuple[Dataset, Path | None]:
    """What is evaluated on, and the workspace to take settings and trained parts from."""
    from tastemaker.agent.demo_data import prepare_demo
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.benchmarks import load_benchmark
    from tastemaker.workspace import Workspace

    if public and rules.benchmark is not None:
        return load_benchmark(rules.benchmark, data), workspace
    if data is not None:
        raise RequestError(
            f"--data names the folder of a public data set; {protocol} reads a workspace",
            hint="tastemaker data import, then --workspace FOLDER",
        )
    place = workspace or prepare_demo(progress=progress)
    return Dataset.load(Workspace(place).require_data()), place


def _show(summary: dict[str, Any]) -> None:
    out.print(f"[bold]{summary['system']}[/] on {escape(summary['description'])}")
    for name in SHOWN:
        low, high = summary["ci95"][name]
        spread = f", sd {summary['sd'][name]:.4f} over {summary['draws']} draws" if "sd" in summary else ""
        out.print(f"{name:>10}  {summary['metrics'][name]:.4f}  [dim]({low:.4f} to {high:.4f}{spread})[/]")
    lists = summary["lists"]
    out.print(
        f"[dim]top 10: {lists['coverage@10']:.1%} of the catalogue, novelty {lists['novelty@10']:.1f} bits, "
        f"popularity percentile {lists['popularity@10']:.2f} (histories {lists['popularity_history']:.2f})[/]"
    )
    out.print(
        f"[dim]built in {summary['build_seconds']:.1f} s, answered in {summary['seconds']:.1f} s, "
        f"peak memory {summary['peak_memory_mib']:,} MiB[/]"
    )
    if summary["degraded"]:
        out.print(f"[yellow]{summary['degraded']} answers came from a fallback[/]")
    for name, test in summary.get("against", {}).get("tests", {}).items():
        change, low, high = test["difference"]
        gain = "" if test["gain"] is None else f" ({test['gain']:+.1%})"
        out.print(
            f"{name} {change:+.4f}{gain} against {summary['against']['system']}, "
            f"95 % {low:+.4f} to {high:+.4f}, p {test['p']:.4f}"
        )


app.command()(xrec)
app.command()(context)


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
    shown = SHOWN if out.width >= WIDE else SHOWN[1:]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("system", *map(_short, shown), "p", "s/user", "MiB"):
        table.add_column(column, justify="left" if column == "system" else "right", no_wrap=True)
    for row in rows:
        cells = [f"{_plain(row['metrics'][name])}\n[dim]{_interval(row['ci95'][name])}[/]" for name in shown]
        p = "base" if row["p"] is None else f"{row['p']:.4f}"
        spent = f"{row['seconds_per_user']:.3f}", f"{row['peak_memory_mib']:,}"
        table.add_row(escape(str(row["system"])), *cells, p, *spent)
    out.print(table)
    out.print(
        f"[dim]{rows[0]['protocol']}, {rows[0]['users']} users; intervals 95 %; p: {metric} against "
        f"{escape(str(rows[0]['system']))}, paired over users, Holm-corrected[/]"
    )


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run files of `eval run --out`; the first is the base.")],
    target: Annotated[Path, typer.Option("--out", help="Folder for report.html, report.md and its plots.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Tables and plots of run files: one self-contained page, and Markdown with SVG files."""
    from tastemaker.eval.report import write_report

    written = write_report(runs, target, seed=seed)
    if json_:
        print_json({"written": [str(path) for path in written]})
    else:
        out.print(f"{escape(str(written[0]))} and {len(written) - 1} more files written", soft_wrap=True)


def _short(metric: str) -> str:
    """``ndcg@10`` -> ``N@10``, so that a table fits 80 columns."""
    return metric[0].upper() + metric[metric.index("@") :]


def _plain(value: float) -> str:
    """``0.0761`` -> ``.0761``, for the same reason."""
    return f"{value:.4f}".removeprefix("0")


def _interval(ends: tuple[float, float]) -> str:
    """``(0.0623, 1.0)`` -> ``.062-1.00``: nine characters."""
    low, high = (f"{end:.3f}".removeprefix("0")[:4] for end in ends)
    return f"{low}-{high}"
