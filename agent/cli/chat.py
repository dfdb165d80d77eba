"""``tastemaker chat``: a conversation on the terminal, or line by line from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
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
    """Talk with the recommender. With --json, or lines from a pipe, a reply is printed for each line."""
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
    if not json_:
        err.print(f"[dim]session {escape(name)} · {len(known.turns)} turns so far · /help for commands[/]")
    replies: list[Mapping[str, object]] = []
    for line in _lines():
        try:
            if line.startswith("/"):
                if not _command(line, talk, name, asker):
                    break
            elif json_:
                replies.append({**talk.turn(name, line, asker).to_dict(), "session_id": name})
            else:
                _show(talk.stream(name, line, asker))
        except InputError as error:
            if json_:
                raise
            err.print(f"[bold red]error:[/] {escape(error.message)}")
            if error.hint:
                err.print(f"[dim]→ {escape(error.hint)}[/]")
    if json_:
        print_json(replies)


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


def _command(line: str, talk: Conversations, name: str, asker: Asker) -> bool:
    """Do a ``/command``; False for the one that ends the conversation."""
    command, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if command in ("quit", "exit", "q"):
        return False
    if command == "help":
        out.print(HELP, markup=False)
    elif command == "why":
        _show(talk.stream(name, f"why number {rest}" if rest.isdigit() else f"why {rest}".strip(), asker))
    elif command in ("undo", "reset"):
        _show(talk.stream(name, command, asker))
    elif command == "filters":
        _show_state(talk, name)
    elif command == "save":
        _save(talk, name, rest)
    else:
        raise RequestError(f"there is no command /{command}", hint="/help lists them")
    return True


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
