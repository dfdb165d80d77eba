"""``tastemaker mcp``: the recommender as tools of an MCP client, over stdin and stdout or over HTTP."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from mcp.server import MCPServer

GRACE = 3
"""Seconds that open connections have when the server is stopped."""


def mcp(
    workspace: WorkspaceOption = Path("workspace"),
    demo: DemoOption = False,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP instead of stdin and stdout.")] = False,
    host: Annotated[str, typer.Option("--host", help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="With --http: the port; 0 takes a free one.")
    ] = 8000,
    explain: ExplainOption = None,
    llm: LLMOption = None,
    set_: SetOption = None,
) -> None:
    """Serve the tools recommend, explain, rerank, feedback and search_catalogue to MCP clients."""
    from tastemaker.agent.conversations import Conversations
    from tastemaker.agent.mcp import build_server
    from tastemaker.agent.recommender import Recommender
    from tastemaker.agent.store import Store

    flags = setting_flags(set_, llm=llm, explain=explain)
    listener = listener_at(host, port) if http else None
    # Stdout is the protocol's; what libraries print while they load must not get there.
    with redirect_stdout(sys.stderr), progress_bars() as progress:
        place = workspace_of(workspace, demo, progress)
        recommender = Recommender.load(place.root, progress=progress, **flags)
        server = build_server(Conversations(recommender, Store.at(place.state)))
    if listener is not None:
        _serve_http(server, host, listener)
        return
    if sys.stdin.isatty():
        err.print("[dim]waits for an MCP client on stdin; --http serves over HTTP[/]")
    # The event loop would wait for the thread that reads stdin, and Ctrl-C do nothing. The store is safe.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server.run()


def _serve_http(server: MCPServer[Any], host: str, listener: socket.socket) -> None:
    import uvicorn

    err.print(escape(f"MCP at {address_of(listener)}/mcp"), soft_wrap=True)
    if host not in LOOPBACK:
        err.print("[yellow]warning:[/] whoever reaches this address can ask, and read any conversation")
    config = uvicorn.Config(
        server.streamable_http_app(host=host),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    uvicorn.Server(config).run(sockets=[listener])
