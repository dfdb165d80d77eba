"""``tastemaker recommend``: for a known user, a typed history, or nobody in particular."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from tastemaker.agent.cli.options import (
    ContextOption,
    EventOption,
    ExplainOption,
    FilterOption,
    JsonOption,
    KOption,
    LanguageOption,
    LiteralOption,
    LLMOption,
    NoExplainOption,
    SetOption,
    WishOption,
    WorkspaceOption,
    context_of,
    out,
    print_json,
    progress_bars,
    session_of,
    setting_flags,
)
from tastemaker.agent.cli.show import show_items, show_request, show_trace
from tastemaker.agent.requests import LanguageChoice
from tastemaker.errors import RequestError

HistoryOption = Annotated[
    str | None,
    typer.Option(
        "--history",
        metavar="IDS|FILE",
        help="Item ids or titles separated by ';', or a file: one per line, or a JSON list.",
    ),
]


def recommend(
    workspace: WorkspaceOption = Path("workspace"),
    user: Annotated[str | None, typer.Option("--user", help="A user id of the data.")] = None,
    history: HistoryOption = None,
    wish: WishOption = "",
    context: ContextOption = None,
    k: KOption = 10,
    filters: FilterOption = None,
    events: EventOption = None,
    explain: ExplainOption = None,
    no_explain: NoExplainOption = False,
    language: LanguageOption = "auto",
    literal: LiteralOption = False,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Recommend items to a user, to a typed history, or to anybody with a wish."""
    from tastemaker.agent.recommender import Recommender

    flags = setting_flags(set_, llm=llm, explain="none" if no_explain else explain)
    typed = read_history(history) if history is not None else None
    with progress_bars() as progress:
        recommender = Recommender.load(workspace, progress=progress, **flags)
        request = recommender.request(
            user_id=user,
            history=typed,
            session=session_of(events),
            wish=wish,
            context=context_of(context),
            k=k,
            filters=filters or (),
            language=cast(LanguageChoice, language),
            understand=not literal,
        )
        answer = recommender.recommend_batch([request])[0]
    if json_:
        print_json(answer.to_dict())
        return
    show_request(out, request, recommender.pack(request.language))
    show_items(out, answer)
    show_trace(out, answer.trace)


def read_history(text: str) -> list[Any]:
    """Ids or titles from ``a;b;c`` or from a file (JSON list, or one per line).

    Raises:
        RequestError: the file is no JSON list or no text.
    """
    path = Path(text)
    if ";" not in text and len(text) < 1_000 and path.is_file():
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise RequestError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from error
        if not content.lstrip().startswith("["):
            return [line.strip() for line in content.splitlines() if line.strip()]
        try:
            return list(json.loads(content))
        except ValueError as error:
            raise RequestError(f"{path} is broken JSON: {error}") from error
    return [part.strip() for part in text.split(";") if part.strip()]
