"""What recommendations look like on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tastemaker.answers import Recommendation, Trace
from tastemaker.prompts.packs import Pack
from tastemaker.prompts.words import describe_context, describe_history
from tastemaker.types import Request
from tastemaker.understanding import Understanding


def show_request(console: Console, request: Request, pack: Pack) -> None:
    """Who asks, with what history, and in which situation."""
    who = f"user {request.user_id}" if request.user_id else "somebody new"
    now = request.context.time
    lines = describe_history(request.history, pack, now=now, limit=8)
    body = [Text(line) for line in lines] or [Text("no history", style="dim")]
    title = f"[bold]{escape(who)}[/] · {len(request.history)} in the history, the latest last"
    console.print(Panel(Group(*body), title=title, title_align="left", border_style="dim"))
    situation = "; ".join(describe_context(request.context, pack)) or "nothing is known"
    console.print(f"[bold]Now[/]   {escape(situation)}")
    if request.said:
        console.print(f"[bold]Wish[/]  {escape(request.said)}")
    if request.understanding is not None:
        show_understanding(console, replace(request.understanding, notes=()))
    for note in request.notes:
        console.print(f"      [yellow]{escape(note)}[/]")
    if request.filters:
        console.print(f"[bold]Only[/]  {escape('; '.join(str(one) for one in request.filters))}")
    console.print()


def show_understanding(console: Console, read: Understanding) -> None:
    """Each passage with its meaning, what remains, and what cannot be used."""
    for one in read.passages:
        meaning = f"not {one.meaning}" if one.kind == "exclude" else one.meaning
        console.print(f"      [dim]{escape(one.text.strip())}[/] → {escape(meaning)}")
    if read.passages:
        console.print(f"      [dim]searched for:[/] {escape(read.wish) or '[dim]nothing more[/]'}")
    for note in read.notes:
        console.print(f"      [yellow]{escape(note)}[/]")


def show_items(console: Console, answer: Recommendation) -> None:
    """The table: rank, title, score as a share of 100, why."""
    if not answer.items:
        console.print("Nothing fits: the filters or the exclusions leave no item.")
        return
    explained = any(item.explanation is not None for item in answer.items)
    table = Table(show_edge=False, pad_edge=False, header_style="bold", row_styles=("", ""))
    table.add_column("", justify="right", style="dim")
    table.add_column("Title", style="bold cyan", max_width=36, overflow="fold")
    table.add_column("Score", justify="right")
    if explained:
        # Chinese has no blanks to break at; the default would cut such a line with an ellipsis.
        table.add_column("Why", overflow="fold")
    for item in answer.items:
        row = [str(item.ranked.rank), escape(item.title), f"{100 * item.ranked.score:.1f}"]
        if explained:
            row.append(escape(item.explanation.text) if item.explanation is not None else "")
        table.add_row(*row)
    console.print(table)
    console.print()


def show_trace(console: Console, trace: Trace, extra_seconds: Sequence[tuple[str, float]] = ()) -> None:
    """How the answer was made, in two dim lines; a fallback in red."""
    model = trace.model or "no language model"
    adapter = f" + {trace.adapter}" if trace.adapter else ""
    share = f"{100 * trace.llm_share:.0f} % of the order is the LLM's" if trace.model else "retriever's order"
    console.print(
        f"[dim]{trace.candidates} candidates · {escape(model)}{escape(adapter)} · {share} · "
        f"template {escape(trace.template or '-')} · index {trace.index[:8] or '-'} · "
        f"{trace.explanation_fallbacks} explanation fallbacks[/]"
    )
    stages = [(name, value / 1_000) for name, value in trace.timings_ms.items()]
    spent = " · ".join(f"{name} {seconds:.1f} s" for name, seconds in [*extra_seconds, *stages])
    console.print(f"[dim]{spent}[/]")
    if trace.degraded:
        console.print(f"[bold red]degraded:[/] {escape(trace.degraded)}")
