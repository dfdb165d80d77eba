"""``tastemaker serve``: the HTTP service and the page."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tastemaker.agent.cli.listening import LOOPBACK, address_of, listener_at
from tastemaker.agent.cli.options import (
    DemoOption,
    ExplainOption,
    LLMOption,
    SetOption,
    WorkspaceOption,
    err,
    progress_bars,
    setting_flags,
    workspace_of,
)
from tastemaker.errors import ConfigError, MissingExtraError


def serve(
    workspace: WorkspaceOption = Path("workspace"),
    demo: DemoOption = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = 8_000,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            help="A name that clients may ask by, beside localhost and addresses in numbers; '*' is any, "
            "'*.example.org' any below. May be repeated. Default: any with --keys, else that of --host.",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="YAML list of {name, key, scopes}; or set TASTEMAKER_API_KEYS."),
    ] = None,
    deadline: Annotated[
        float,
        typer.Option("--deadline", min=0.01, help="Seconds after which the retriever's order is served."),
    ] = 30.0,
    batch: Annotated[int, typer.Option("--batch", min=1, max=256, help="Requests in one forward pass.")] = 16,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Requests that may wait; more get 503.")] = 64,
    per_minute: Annotated[
        int,
        typer.Option("--per-minute", min=0, help="Requests a minute of each key or address; 0: any number."),
    ] = 0,
    store: Annotated[
        str | None, typer.Option("--store", help="Database URL. Default: state.db in the workspace.")
    ] = None,
    explain: ExplainOption = None,
    llm: LLMOption = None,
    set_: SetOption = None,
) -> None:
    """Serve recommendations, chat (OpenAI's API), reranking and feedback, with a page at /."""
    try:
        import uvicorn

        from tastemaker.agent.service.app import create_app
    except ImportError as error:
        raise MissingExtraError(package=error.name or "fastapi", extra="serve") from error
    from tastemaker.agent.recommender import Recommender
    from tastemaker.agent.service.config import ServiceConfig, load_keys
    from tastemaker.agent.service.engine import Engine
    from tastemaker.agent.store import Store

    found = load_keys(keys)
    config = ServiceConfig(
        keys=found,
        deadline=deadline,
        batch=batch,
        queue=queue,
        per_minute=per_minute,
        hosts=_hosts(host, allowed_host or (), keyed=bool(found)),
    )
    flags = setting_flags(set_, llm=llm, explain=explain)
    listener = listener_at(host, port)
    with progress_bars() as progress:
        place = workspace_of(workspace, demo, progress)
        recommender = Recommender.load(place.root, progress=progress, **flags)
    _log_as_json()
    if not config.keys and host not in LOOPBACK:
        names = "by number" if not allowed_host else f"by number or as {', '.join(allowed_host)}"
        told = f"everybody who reaches {host} may ask, {names}: no API keys are set"
        err.print(f"[yellow]warning:[/] {escape(told)}", soft_wrap=True)
    kept = Store(store) if store is not None else Store.at(place.state)
    app = create_app(Engine(recommender, kept, config, place))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # Connections beyond these are refused with 503 before they cost anything.
            limit_concurrency=1_000,
            timeout_graceful_shutdown=30,
        )
    )
    items = f"{len(recommender.dataset.item_ids):,} items"
    at = escape(address_of(listener))
    err.print(f"[dim]Tastemaker · {items} · page {at}/ · API /docs[/]", soft_wrap=True)
    server.run(sockets=[listener])


def _hosts(host: str, allowed: Sequence[str], *, keyed: bool) -> tuple[str, ...] | None:
    """Names that the service answers to; None: any. A strange page has no key, so keys do without names."""
    wrong = [one for one in allowed if not re.fullmatch(r"\*|(?:\*\.)?[\w.-]+", one)]
    if wrong:
        raise ConfigError(
            f"--allowed-host {wrong[0]!r} is no name of a host",
            hint="a name without scheme and port: --allowed-host films.example.org",
        )
    return None if keyed and not allowed else (host, *allowed)


class _JsonLines(logging.Formatter):
    """A line of JSON for each record; a message that is JSON already is laid in."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        text = record.getMessage()
        try:
            parts = json.loads(text)
        except ValueError:
            parts = None
        told |= parts if isinstance(parts, dict) else {"message": text}
        if record.exc_info:
            # Type and place alone: the message of an exception may repeat what somebody asked.
            kind, _, trace = record.exc_info
            told["error"] = kind.__name__ if kind is not None else ""
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                told["at"] = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        return json.dumps(told, ensure_ascii=False)


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name in ("tastemaker.service", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
