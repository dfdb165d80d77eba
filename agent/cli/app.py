"""The ``tastemaker`` command: registers the commands and turns every error into one clear line."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console

import tastemaker
from tastemaker.agent.cli import data, feedback, index
from tastemaker.agent.cli.chat import chat
from tastemaker.agent.cli.counterfactual import what_if, why, why_not
from tastemaker.agent.cli.demo import demo
from tastemaker.agent.cli.doctor import doctor
from tastemaker.agent.cli.evaluate import app as evaluate
from tastemaker.agent.cli.init import init
from tastemaker.agent.cli.mcp import mcp
from tastemaker.agent.cli.recommend import recommend
from tastemaker.agent.cli.report import report
from tastemaker.agent.cli.rerank import rerank
from tastemaker.agent.cli.serve import serve
from tastemaker.agent.cli.train import app as train
from tastemaker.agent.cli.understand import understand
from tastemaker.errors import TastemakerError

app = typer.Typer(
    name="tastemaker",
    help="A FAISS retriever and an open LLM that reads your situation, reranks and explains itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command()(demo)
app.command()(init)
app.command()(recommend)
app.command()(chat)
app.command()(rerank)
app.command()(why)
app.command("why-not")(why_not)
app.command("what-if")(what_if)
app.command()(report)
app.command()(serve)
app.command()(mcp)
app.command()(understand)
app.command()(doctor)
app.add_typer(data.app, name="data", help="Import, fetch, describe and split data sets.")
app.add_typer(feedback.app, name="feedback", help="Export what was said of lists; replay it.")
app.add_typer(index.app, name="index", help="Build, search and inspect the FAISS index.")
app.add_typer(train, name="train", help="Fit what a workspace can learn from its own data.")
app.add_typer(evaluate, name="eval", help="Measure ranking quality.")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(tastemaker.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line; exit 0 ok, 2 wrong input, 1 failure, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What was typed or sent may hold half a surrogate pair, which no encoding can write. Its escape is
        # the one of JSON, so that a document stays one.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except TastemakerError as error:
        _say(f"[bold red]error:[/] {_plain(error.message)}", error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted; nothing was left half-written", None)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`tastemaker ... | head`); that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("TASTEMAKER_DEBUG"):
            traceback.print_exc()
        _say(
            f"[bold red]unexpected failure:[/] {type(error).__name__}: {_plain(str(error))}",
            "set TASTEMAKER_DEBUG=1 for the traceback, and please report it",
        )
        sys.exit(1)


def _plain(text: str) -> str:
    """One line, safe for rich markup."""
    return " ".join(text.split()).replace("[", r"\[")


def _say(line: str, hint: str | None) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(line)
    if hint:
        console.print(f"[dim]→ {_plain(hint)}[/]")
