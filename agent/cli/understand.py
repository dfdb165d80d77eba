"""``tastemaker understand``: what a wish is read as, before anything is recommended."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, cast

import typer

from tastemaker.agent.cli.options import JsonOption, LanguageOption, WorkspaceOption, out, print_json
from tastemaker.agent.cli.show import show_understanding
from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.agent.requests import LanguageChoice, as_language, as_wish
from tastemaker.config import resolve
from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.types import MAX_WISH_CHARS, Context, parse_time
from tastemaker.workspace import Workspace


def understand(
    wish: Annotated[str, typer.Argument(help="A wish in your own words.")],
    workspace: WorkspaceOption = Path("workspace"),
    domain: Annotated[
        str | None, typer.Option("--domain", help="Of a domain in general, without a workspace.")
    ] = None,
    now: Annotated[str | None, typer.Option("--now", help="The moment of asking, ISO 8601.")] = None,
    language: LanguageOption = "auto",
    json_: JsonOption = False,
) -> None:
    """Show what a wish says of the situation, of numbers, of what must be and what must not."""
    text = as_wish(wish)
    if not text or len(text) > MAX_WISH_CHARS:
        raise RequestError(f"the wish has {len(text):,} characters; 1 to {MAX_WISH_CHARS:,} are read")
    if domain is not None:
        recogniser = Recogniser(domain)
    else:
        place = Workspace(workspace)
        dataset = Dataset.load(place.require_data())
        recogniser = Recogniser(resolve(place.config)[0].domain, dataset)
    moment = datetime.now() if now is None else parse_time(now)
    read = recogniser.read(
        text, now=moment, language=as_language(cast(LanguageChoice, language), text, Context())
    )
    if json_:
        print_json(read.to_dict())
        return
    show_understanding(out, read)
    if not read.passages:
        out.print("nothing but a wish: all of it is searched for by meaning")
