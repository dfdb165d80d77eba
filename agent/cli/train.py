"""``tastemaker train``: fit on a workspace's own validation data what a workspace can learn."""

from __future__ import annotations

import typer

from tastemaker.agent.cli.train_export import export
from tastemaker.agent.cli.train_fusion import fusion
from tastemaker.agent.cli.train_merge import merge
from tastemaker.agent.cli.train_ranker import ranker
from tastemaker.agent.cli.train_retriever import retriever

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Fit what a workspace can learn from its own behaviour data."""


app.command()(retriever)
app.command()(ranker)
app.command()(merge)
app.command()(export)
app.command()(fusion)
