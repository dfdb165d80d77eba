"""An MCP server over one recommender: its tools, for any language model or agent that speaks the protocol.

Tools run in worker threads, so that the event loop stays free while models work. An error of ours becomes a
tool error with message and hint, which the calling model can read and act on; the server lives on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

import tastemaker
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.tools import Given, Tools, instructions, told
from tastemaker.errors import MissingExtraError, TastemakerError

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
    from mcp.server.mcpserver.tools import Tool
    from mcp_types import ToolAnnotations
except ImportError as error:
    raise MissingExtraError(package="mcp", extra="mcp") from error


class _Tool(Tool):
    """A tool that refuses unknown arguments, and whose foreseen failures are one line that helps."""

    @classmethod
    def of(cls, function: Callable[..., BaseModel], *, reads: bool) -> Tool:
        """``reads``: the tool changes nothing."""
        hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
        tool = cls.from_function(function, annotations=hints)
        loose = tool.fn_metadata.arg_model
        strict: Any = create_model(loose.__name__, __base__=(loose, Given))
        tool.fn_metadata.arg_model, tool.parameters = strict, strict.model_json_schema()
        return tool

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, TastemakerError):
                raise ToolError(told(cause)) from cause
            if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
                raise ToolError(_wrong(cause)) from cause
            raise


def _wrong(error: ValidationError) -> str:
    """The first few things that do not fit, with the places where they stand."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))} is {repr(one['input'])[:40]}: {one['msg']}"
        for one in error.errors()[:3]
    )


def build_server(conversations: Conversations) -> MCPServer[Any]:
    """A server whose tools ask this recommender and keep conversations in this store.

    Example::

        server = build_server(Conversations(Recommender.load("workspace"), Store.at(Path("state.db"))))
        server.run()  # over stdin and stdout; server.run("streamable-http", port=8000) over HTTP
    """
    tools = Tools(conversations)
    return MCPServer(
        "tastemaker",
        instructions=instructions(conversations),
        version=tastemaker.__version__,
        log_level="WARNING",
        tools=[
            _Tool.of(tools.recommend, reads=False),
            _Tool.of(tools.explain, reads=True),
            _Tool.of(tools.rerank, reads=True),
            _Tool.of(tools.feedback, reads=False),
            _Tool.of(tools.search_catalogue, reads=True),
        ],
    )
