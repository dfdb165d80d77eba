"""``tastemaker why``, ``why-not`` and ``what-if``: an answer taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import (
    ContextOption,
    FilterOption,
    JsonOption,
    KOption,
    LanguageOption,
    LLMOption,
    SetOption,
    WishOption,
    WorkspaceOption,
    context_of,
    out,
    pairs,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.agent.cli.recommend import HistoryOption, read_history
from tastemaker.errors import RequestError

if TYPE_CHECKING:
    from tastemaker.agent.counterfactual import WhatIf, Why, WhyNot
    from tastemaker.agent.recommender import Recommender

ItemArgument = Annotated[str, typer.Argument(metavar="ITEM", help="An item's id or title.")]
UserOption = Annotated[str | None, typer.Option("--user", help="A user id of the data.")]
SHOWN = 12
"""Pieces of evidence on the terminal; --json has all."""

_REASONS = {
    "recommended": "is in the list, at place {rank}",
    "outranked": "stands at place {rank}, behind the end of the list",
    "not_retrieved": "is not among the candidates",
    "filtered": "does not meet {conditions}",
    "in_history": "is in the history already",
    "excluded": "was ruled out by the request",
}


def why(
    item: ItemArgument,
    workspace: WorkspaceOption = Path("workspace"),
    user: UserOption = None,
    history: HistoryOption = None,
    wish: WishOption = "",
    context: ContextOption = None,
    filters: FilterOption = None,
    language: LanguageOption = "auto",
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Take away each part of a question in turn, and show what that does to an item."""
    recommender = _load(workspace, llm, set_)
    found = recommender.why(item, **_question(user, history, wish, context, filters, language))
    print_json(found.to_dict()) if json_ else _show_why(found)


def why_not(
    item: ItemArgument,
    workspace: WorkspaceOption = Path("workspace"),
    user: UserOption = None,
    history: HistoryOption = None,
    wish: WishOption = "",
    context: ContextOption = None,
    k: KOption = 10,
    filters: FilterOption = None,
    language: LanguageOption = "auto",
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Say what keeps an item out of the list: a filter, the retriever, or who outranks it and by how much."""
    recommender = _load(workspace, llm, set_)
    found = recommender.why_not(item, k=k, **_question(user, history, wish, context, filters, language))
    print_json(found.to_dict()) if json_ else _show_why_not(found)


def what_if(
    workspace: WorkspaceOption = Path("workspace"),
    user: UserOption = None,
    history: HistoryOption = None,
    wish: WishOption = "",
    context: ContextOption = None,
    k: KOption = 10,
    filters: FilterOption = None,
    language: LanguageOption = "auto",
    if_wish: Annotated[str | None, typer.Option("--if-wish", help="Another wish; '' for none.")] = None,
    if_context: Annotated[
        list[str] | None,
        typer.Option("--if-context", metavar="KEY=VALUE", help="Another situation; KEY= takes a field away."),
    ] = None,
    forget: Annotated[
        list[str] | None, typer.Option("--forget", metavar="ITEM", help="An item of the history to forget.")
    ] = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Show how the list changes when the wish, the situation or the history does."""
    change: dict[str, Any] = {}
    if if_wish is not None:
        change["wish"] = if_wish
    if if_context:
        change["context"] = {name: value or None for name, value in pairs(if_context, "if-context").items()}
    if forget:
        change["without"] = forget
    if not change:
        raise RequestError("nothing is changed", hint="add --if-wish, --if-context or --forget")
    recommender = _load(workspace, llm, set_)
    found = recommender.what_if(change, k=k, **_question(user, history, wish, context, filters, language))
    print_json(found.to_dict()) if json_ else _show_what_if(found)


def _load(workspace: Path, llm: str | None, set_: list[str] | None) -> Recommender:
    from tastemaker.agent.recommender import Recommender

    with progress_bars() as progress:
        return Recommender.load(workspace, progress=progress, **setting_flags(set_, llm=llm, explain="none"))


def _question(
    user: str | None,
    history: str | None,
    wish: str,
    context: list[str] | None,
    filters: list[str] | None,
    language: str,
) -> dict[str, Any]:
    return {
        "user_id": user,
        "history": read_history(history) if history is not None else None,
        "wish": wish,
        "context": context_of(context),
        "filters": filters or (),
        "language": language,
    }


def _show_why(found: Why) -> None:
    ranked = found.ranked
    out.print(
        f"[bold cyan]{escape(ranked.item.display_title)}[/] stands at place {ranked.rank} of "
        f"{found.candidates} candidates."
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("nats", justify="right")
    table.add_column("without")
    for piece in found.evidence[:SHOWN]:
        influence = piece.influence or 0.0
        style = "green" if influence > 0 else "red"
        table.add_row(f"[{style}]{influence:+.2f}[/]", f"{piece.kind}: {escape(piece.text)}")
    out.print(table if found.evidence else "There is nothing to take away: no history, context or wish.")
    left = len(found.evidence) - SHOWN + found.unmeasured
    if left > 0:
        out.print(f"[dim]{left} more pieces; --json has all that were measured[/]")
    out.print("[dim]nats: how far the item's log-odds fall without it; below 0 it speaks against[/]")


def _show_why_not(found: WhyNot) -> None:
    reason = _REASONS[found.standing].format(rank=found.rank, conditions=" and ".join(found.conditions))
    out.print(f"[bold cyan]{escape(found.item.display_title)}[/] {escape(reason)}.")
    gap = found.gap
    if gap is None:
        return
    llm = "" if gap.llm is None else f", the language model's {gap.llm:+.2f}"
    out.print(
        f"It lies {gap.total:.2f} nats behind {escape(gap.ahead.display_title)}: the retriever's part is "
        f"{gap.retrieval:+.2f}{llm}."
    )


def _show_what_if(found: WhatIf) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("before", "after"):
        table.add_column(column, justify="right")
    table.add_column("title")
    for move in found.moves:
        style = "green" if move.before is None else "red" if move.after is None else "default"
        places = ("–" if place is None else str(place) for place in (move.before, move.after))
        table.add_row(*places, f"[{style}]{escape(move.item.display_title)}[/]")
    out.print(table)
