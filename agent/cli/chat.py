"""``tastemaker chat``: a conversation on the terminal, or line by line from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from tastemaker.agent.cli.options import (
    ContextOption,
    DemoOption,
    ExplainOption,
    JsonOption,
    LanguageOption,
    LLMOption,
    SetOption,
    WorkspaceOption,
    context_of,
    err,
    out,
    print_json,
    progress_bars,
    setting_flags,
    workspace_of,
)
from tastemaker.agent.requests import LanguageChoice
from tastemaker.errors import InputError, RequestError

if TYPE_CHECKING:
    from tastemaker.agent.chat.chat import Asker, Reply
    from tastemaker.agent.conversations import Conversations

HELP = """\
Say what you would like, refine it, ask why. Beside that:
  /why 2        what speaks for number 2        /filters      what counts now
  /undo         take the last turn back         /reset        start over
  /save FILE    write the conversation as JSON  /help  /quit"""


def chat(
    workspace: WorkspaceOption = Path("workspace"),
    demo: DemoOption = False,
    user: Annotated[str | None, typer.Option("--user", help="A user id of the data.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="Go on with a conversation, or give a new one a name.")
    ] = None,
    context: ContextOption = None,
    k: Annotated[int, typer.Option("-k", min=1, max=20, help="How many items a list has.")] = 5,
    explain: ExplainOption = None,
    language: LanguageOption = "auto",
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Talk with the recommender; lines from a pipe are turns. --json prints an array, a reply for each."""
    from tastemaker.agent.chat.chat import Asker
    from tastemaker.agent.conversations import Conversations, new_session_id
    from tastemaker.agent.recommender import Recommender
    from tastemaker.agent.store import Store

    flags = setting_flags(set_, llm=llm, explain=explain)
    with progress_bars() as progress:
        place = workspace_of(workspace, demo, progress)
        recommender = Recommender.load(place.root, progress=progress, **flags)
    talk = Conversations(recommender, Store.at(place.state))
    name = session or new_session_id()
    asker = Asker(
        user_id=user,
        context=context_of(context),
        k=k,
        language=cast(LanguageChoice, language),
    )
    known = talk.session(name, user)
    if json_:
        print_json(list(_replies(talk, name, asker)))
        return
    err.print(f"[dim]session {escape(name)} · {len(known.turns)} turns so far · /help for commands[/]")
    for line in _lines():
        try:
            text = _as_turn(line, talk, name)
            if text is None:
                break
            if text:
                _show(talk.stream(name, text, asker))
            else:
                _show_state(talk, name)
        except InputError as error:
            err.print(f"[bold red]error:[/] {escape(error.message)}")
            if error.hint:
                err.print(f"[dim]→ {escape(error.hint)}[/]")


def _replies(talk: Conversations, name: str, asker: Asker) -> Iterator[dict[str, object]]:
    """For each line a reply, the state that was asked for, or what is wrong with it."""
    for line in _lines():
        try:
            text = _as_turn(line, talk, name)
            if text is None:
                return
            if text:
                yield {**talk.turn(name, text, asker).to_dict(), "session_id": name}
            else:
                yield {"state": _shown_state(talk, name), "session_id": name}
        except InputError as error:
            yield {"error": error.message, "hint": error.hint, "session_id": name}


def _lines() -> Iterator[str]:
    """What is typed, or the lines of a pipe; blank ones are passed over."""
    asked = sys.stdin.isatty()
    while True:
        if asked:
            err.print("[bold cyan]›[/] ", end="")
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise RequestError("the input is no UTF-8 text") from error
        if not line:
            return
        if line.strip():
            yield line.strip()


def _show(replies: Iterator[Reply]) -> None:
    """The reply as it becomes known."""
    if not out.is_terminal:
        *_, last = replies
        out.print(escape(last.text))
        out.print()
        return
    with Live(Text("…", style="dim"), console=out, auto_refresh=False, vertical_overflow="visible") as live:
        for reply in replies:
            degraded = reply.recommendation.trace.degraded if reply.recommendation is not None else None
            parts = [Text(reply.text)]
            if degraded:
                parts.append(Text(f"degraded: {degraded}", style="bold red"))
            live.update(Group(*parts), refresh=True)
    out.print()


def _as_turn(line: str, talk: Conversations, name: str) -> str | None:
    """What a line says, commands put into words; "" where the state is asked for, None for the end."""
    if not line.startswith("/"):
        return line
    command, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if command in ("quit", "exit", "q"):
        return None
    if command in ("help", "save"):
        if command == "help":
            err.print(HELP, markup=False)
        else:
            _save(talk, name, rest)
        return _as_turn(next(_lines(), "/quit"), talk, name)
    if command == "filters":
        return ""
    said = _WORDS["zh" if _is_chinese(talk, name) else "en"]
    if command == "why":
        if rest and not rest.isdigit() and talk.recommender.dataset.find_title(rest) is None:
            raise RequestError(f"/why {rest}: neither a place of the list nor a title", hint="/why 2")
        return said["why"].format(rest) if rest.isdigit() else f"{said['why_it']}{rest}"
    if command in ("undo", "reset"):
        return said[command]
    raise RequestError(f"there is no command /{command}", hint="/help lists them")


_WORDS = {
    "en": {"why": "why number {}", "why_it": "why ", "undo": "undo", "reset": "reset"},
    "zh": {"why": "为什么推荐第{}部", "why_it": "为什么推荐", "undo": "撤销", "reset": "重新开始"},
}


def _is_chinese(talk: Conversations, name: str) -> bool:
    """The last turn of the conversation was."""
    from tastemaker.prompts.words import detect_language

    said = [turn["text"] for turn in talk.session(name).turns if "text" in turn]
    return bool(said) and detect_language(str(said[-1])) == "zh"


def _shown_state(talk: Conversations, name: str) -> dict[str, object]:
    state = dict(talk.session(name).to_dict()["state"])
    state.pop("past", None)
    return state


def _show_state(talk: Conversations, name: str) -> None:
    state = talk.session(name).to_dict()["state"]
    for key in ("wishes", "filters", "exclude"):
        out.print(f"[bold]{key:<9}[/] {escape('; '.join(state.get(key, ()))) or '[dim]none[/]'}")
    situation = "; ".join(f"{field}={value}" for field, value in state.get("context", {}).items())
    out.print(f"[bold]{'context':<9}[/] {escape(situation) or '[dim]none[/]'}")
    title = talk.recommender.dataset.item
    told = "; ".join(f"{one['event']} {title(one['id']).display_title}" for one in state.get("events", ()))
    out.print(f"[bold]{'said':<9}[/] {escape(told) or '[dim]nothing[/]'}\n")


def _save(talk: Conversations, name: str, rest: str) -> None:
    from tastemaker.artifacts import write_json

    if not rest:
        raise RequestError("/save needs a file", hint="/save evening.json")
    write_json(Path(rest).expanduser(), talk.session(name).to_dict())
    err.print(f"[dim]written to {escape(rest)}[/]")
