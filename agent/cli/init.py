"""``tastemaker init``: a workspace that knows what its catalogue is about, before there are data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.markup import escape

from tastemaker.agent.cli.options import WorkspaceOption, out
from tastemaker.artifacts import atomic_file
from tastemaker.config import resolve
from tastemaker.errors import ConfigError
from tastemaker.prompts.domains import load_domain, shipped_domains
from tastemaker.workspace import Workspace


def init(
    domain: Annotated[
        str,
        typer.Option(
            "--domain",
            metavar="NAME|FOLDER",
            help=f"{', '.join(shipped_domains())}, or a folder with a domain.yaml of your own.",
        ),
    ],
    workspace: WorkspaceOption = Path("workspace"),
) -> None:
    """Begin a workspace for a domain: what items are called, what events weigh, what situations there are."""
    pack = load_domain(domain)
    own = domain not in shipped_domains()
    name = str(Path(domain).resolve()) if own else domain
    place = Workspace(workspace)
    settings, origins = resolve(place.config)
    if origins["domain"] == "file" and settings.domain != name:
        raise ConfigError(
            f"{place.config} says domain {settings.domain!r} already", hint="change it there, or --workspace"
        )
    if origins["domain"] != "file":
        before = place.config.read_text(encoding="utf-8") if place.config.is_file() else ""
        with atomic_file(place.config) as staged:
            staged.write_text(before + yaml.safe_dump({"domain": name}), encoding="utf-8")
    out.print(f"{escape(str(place.config))}  domain {escape(name)}", soft_wrap=True)
    again = "welcome again" if pack.repeats else "not recommended again"
    out.print(f"what a user has had is {again}; situations: {', '.join(pack.context)}")
    command = f"tastemaker data import --interactions FILE --items FILE --workspace {workspace}"
    out.print(f"\nnext: {escape(command)}", soft_wrap=True)
