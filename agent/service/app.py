"""The application: every route, wired to one engine."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp

import tastemaker
from tastemaker.agent.service.completions import MODEL, Completions
from tastemaker.agent.service.documentation import documentation
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, Client, Guard, Intake, on_error
from tastemaker.agent.service.metrics import Metrics
from tastemaker.agent.service.routes import about, feedback, recommending, reranking, sessions, users
from tastemaker.agent.service.schemas import ChatBody
from tastemaker.errors import TastemakerError

log = logging.getLogger("tastemaker.service")

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": told,
        "content": {
            "application/json": {
                "example": {"error": {"type": kind, "message": "…", "hint": "…"}},
                "schema": {"type": "object", "properties": {"error": {"type": "object"}}},
            }
        },
    }
    for status, kind, told in (
        (401, "no_key", "no API key, or one that is not known"),
        (403, "forbidden", "the key lacks the scope"),
        (404, "unknown_user", "no such user, session, model or item"),
        (408, "slow_body", "the body did not arrive in time"),
        (409, "session_conflict", "another process changed the session meanwhile, twice; send it again"),
        (413, "too_large", "the body is too large"),
        (421, "wrong_host", "the name in the Host header is not one that this service answers to"),
        (422, "invalid_request", "something in the request cannot be used; the message says what"),
        (
            429,
            "rate_limit",
            "more requests a minute than the key may make; Retry-After says when to come back",
        ),
        (503, "busy", "too many requests wait already, or a model fails; Retry-After says when to come back"),
    )
}


def create_app(engine: Engine) -> ASGIApp:
    """The service over an engine, which is closed when the application stops."""
    guard, metrics = Guard(engine.config), Metrics(engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.close()

    app = FastAPI(
        title="Tastemaker",
        version=tastemaker.__version__,
        description="Recommendations with reasons: lists, chat, reranking, feedback.",
        lifespan=lifespan,
        # FastAPI's own pages load scripts from elsewhere; ours is plain.
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    for kind in (
        ApiError,
        TastemakerError,
        OverflowError,
        RequestValidationError,
        StarletteHTTPException,
        Exception,
    ):
        app.add_exception_handler(kind, on_error)
    for part in (about, recommending, reranking, feedback, sessions, users):
        app.include_router(part.router(engine, guard))
    _chat(app, engine, guard)
    _health(app, engine, guard, metrics)
    _page(app)
    _documentation(app)

    def note(method: str, route: str, status: int, seconds: float) -> None:
        metrics.request(method, route, status, seconds)
        log.info(
            json.dumps({"method": method, "route": route, "status": status, "ms": round(seconds * 1_000, 1)})
        )

    return Intake(app, engine.config, note)


def _chat(app: FastAPI, engine: Engine, guard: Guard) -> None:
    completions = Completions(engine)

    @app.post("/v1/chat/completions", tags=["chat"], dependencies=[Depends(guard.needs("recommend"))])
    async def chat_completions(body: ChatBody, client: Client) -> Response:
        """One turn of a conversation, as OpenAI's API has it; with ``stream`` as server-sent events.

        ``session_id`` names a conversation, of which the last message is then the next turn. Without it the
        conversation is known by its messages. The structured reply stands under ``tastemaker``.
        """
        if not body.stream:
            return JSONResponse(await completions.whole(body, client))
        session_id, replies = await completions.replies(body, client)
        lines = completions.lines(body, session_id, await completions.begun(replies), client)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.get("/v1/models", tags=["chat"], dependencies=[Depends(guard.needs("recommend"))])
    async def models() -> dict[str, Any]:
        """The one model that chat completions know."""
        return {
            "object": "list",
            "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "tastemaker"}],
        }


def _health(app: FastAPI, engine: Engine, guard: Guard, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"])
    async def ready() -> dict[str, Any]:
        """Models are loaded and the store can be read."""
        return {"status": "ready", "stored": await engine.aside(engine.store.counts)}

    @app.get("/metrics", tags=["health"], dependencies=[Depends(guard.needs("admin"))])
    async def prometheus() -> Response:
        """Requests, times, batches, queue and fallbacks, for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _page(app: FastAPI) -> None:
    folder = files("tastemaker.agent.service") / "page"
    known = {one.name for one in folder.iterdir() if one.name.endswith((".js", ".css", ".svg"))}

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(str(folder / "index.html"), headers={"Cache-Control": "no-cache"})

    @app.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> FileResponse:
        if name not in known:
            raise ApiError(404, "not_found", f"the page has no {name[:80]!r}")
        return FileResponse(str(folder / name), headers={"Cache-Control": "no-cache"})


def _documentation(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(documentation(app.openapi()))
