"""Who may ask, how much and how fast, before a route is reached; and what every error looks like."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException as StarletteHTTPException

from tastemaker.agent.service.batching import QueueFullError
from tastemaker.agent.service.config import ApiKey, ServiceConfig
from tastemaker.agent.store import SessionConflictError
from tastemaker.errors import InputError, TastemakerError, UnknownSessionError, UnknownUserError

log = logging.getLogger("tastemaker.service")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ApiError(Exception):
    """An answer that is no success, in the one form that all have."""

    def __init__(
        self, status: int, kind: str, message: str, *, hint: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.hint = status, kind, message, hint
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        error = {"type": self.kind, "message": self.message, "hint": self.hint}
        return JSONResponse({"error": error}, self.status, headers)


class Guard:
    """API keys with scopes, and requests per minute of each key or, without keys, each address."""

    def __init__(self, config: ServiceConfig) -> None:
        self._keys = config.keys
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limit = parse(f"{config.per_minute}/minute") if config.per_minute else None

    def needs(self, scope: str) -> Callable[[Request], Awaitable[str]]:
        """A dependency: the name of the key that may do this."""

        async def check(request: Request) -> str:
            address = request.client.host if request.client else "nobody"
            try:
                key = self._key(request)
            except ApiError:
                # Guessing keys has its limit too.
                self._count(f"wrong key of {address}")
                raise
            if key is not None and not key.may(scope):
                raise ApiError(403, "forbidden", f"key {key.name!r} lacks the scope {scope!r}")
            request.state.client = None if key is None else key.client
            name = key.name if key is not None else address
            self._count(name)
            return name

        return check

    def _count(self, name: str) -> None:
        """One more request under this name; ApiError 429 beyond the limit."""
        if self._limit is None or self._limiter.hit(self._limit, name):
            return
        reset = self._limiter.get_window_stats(self._limit, name).reset_time
        wait = max(1, round(reset - time.time()))
        raise ApiError(
            429, "rate_limit", f"more than {self._limit.amount} requests a minute", retry_after=wait
        )

    def _key(self, request: Request) -> ApiKey | None:
        if not self._keys:
            return None
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not given:
            raise ApiError(401, "no_key", "an API key is wanted", hint="send Authorization: Bearer KEY")
        found = next((key for key in self._keys if key.fits(given)), None)
        if found is None:
            raise ApiError(401, "wrong_key", "this API key is not known")
        return found


def client_of(request: Request) -> str | None:
    """Whose conversations the request may touch, as ``Guard.needs`` found; None without keys: all."""
    client: str | None = request.state.client
    return client


Client = Annotated[str | None, Depends(client_of)]


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """Any exception as an answer: ours by its kind, those of the framework by theirs."""
    if isinstance(error, StarletteHTTPException) and error.status_code in (404, 405):
        told = f"{error.detail}: {request.method} {request.url.path[:80]} is no operation of this service"
        return ApiError(error.status_code, "no_operation", told, hint="see /docs").response()
    return as_api_error(error).response()


def as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TastemakerError):
        return _of_ours(error)
    if isinstance(error, RequestValidationError):
        return _of_fields(error)
    if isinstance(error, OverflowError):
        return ApiError(
            422, "invalid_request", "a number or a time in the request is too large to count with"
        )
    if isinstance(error, (StarletteHTTPException, HTTPException)):
        return ApiError(error.status_code, "http", str(error.detail))
    log.exception("unexpected failure")
    return ApiError(500, "unexpected", f"unexpected failure: {type(error).__name__}")


def _of_ours(error: TastemakerError) -> ApiError:
    if isinstance(error, QueueFullError):
        return ApiError(503, "busy", error.message, hint=error.hint, retry_after=error.retry_after)
    if isinstance(error, UnknownUserError):
        # The hint of the command line lists ids of users, which are nobody's business here.
        return ApiError(404, "unknown_user", error.message, hint="leave user_id out, or send a history")
    if isinstance(error, UnknownSessionError):
        return ApiError(404, "unknown_session", error.message, hint=error.hint)
    if isinstance(error, SessionConflictError):
        return ApiError(409, "session_conflict", error.message, hint=error.hint, retry_after=1)
    if isinstance(error, InputError):
        return ApiError(422, _kind(error), error.message, hint=error.hint)
    return ApiError(503, _kind(error), error.message, hint=error.hint, retry_after=5)


def _of_fields(error: RequestValidationError) -> ApiError:
    """What of a body or query does not fit."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        told = first.get("ctx", {}).get("error", "")
        return ApiError(422, "invalid_request", f"the body is no JSON: {told}", hint="see /docs")
    place = ".".join(str(one) for one in first["loc"] if one != "body") or "the body"
    return ApiError(422, "invalid_request", f"{place}: {first['msg']}", hint="see /docs")


def _kind(error: TastemakerError) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Intake:
    """ASGI: bodies are bounded in size and time, answers get safe headers, and each request one log line.

    The log names route, status and time, never what was asked or who asked it.
    """

    def __init__(self, app: Any, config: ServiceConfig, note: Callable[[str, str, int, float], None]) -> None:
        self._app, self._config, self._note = app, config, note

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0
        request_id = uuid.uuid4().hex[:16]

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_headers(request_id)]
            await send(message)

        try:
            self._check_host(scope)
            body = await self._body(scope, receive)
        except ApiError as error:
            await error.response()(scope, receive, sending)
        else:
            await self._app(scope, body, sending)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched").replace(":path}", "}")
            self._note(scope["method"], route, status or 499, time.perf_counter() - begun)

    def _check_host(self, scope: Message) -> None:
        """Refuse a name that is not ours: a web page elsewhere may have had its own name point here, and
        would then be asking as if it were this service's page. Probes need not know the name.
        """
        hosts = self._config.hosts
        if hosts is None or scope["path"].startswith("/health/"):
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not answers_to(host, hosts):
            raise ApiError(
                421,
                "wrong_host",
                f"this service does not answer to the host {host[:80]!r}",
                hint="ask it by its address, or serve with --allowed-host NAME",
            )

    async def _body(self, scope: Message, receive: Receive) -> Receive:
        """Read the whole body within its bounds; then give it to the application at once."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._config.max_body:
            raise self._too_large()
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._config.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._config.max_body:
                        raise self._too_large()
                    if not message.get("more_body"):
                        break
        except TimeoutError as error:
            raise ApiError(
                408, "slow_body", f"the body did not arrive within {self._config.body_seconds:g} s"
            ) from error
        whole: Message | None = {"type": "http.request", "body": b"".join(parts), "more_body": False}

        async def once() -> Message:
            nonlocal whole
            if whole is not None:
                message, whole = whole, None
                return message
            return await receive()

        return once

    def _too_large(self) -> ApiError:
        return ApiError(413, "too_large", f"the body is larger than {self._config.max_body:,} bytes")


def answers_to(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header names this machine: a number, localhost, or one of the names.

    "*.example.org" is every name below it, "*" every name. A number is safe: no page elsewhere is served
    under a number of ours. Without the header (HTTP/1.0) it is no browser that asks.
    """
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) and not host.endswith("]") else host
    name = name.strip("[]").rstrip(".").casefold()
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return any(_fits(name, one.casefold()) for one in names)
    return True


def _fits(name: str, wanted: str) -> bool:
    return wanted in ("*", name) or (wanted.startswith("*.") and name.endswith(wanted[1:]))


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    policy = b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    return [
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", policy),
        (b"referrer-policy", b"no-referrer"),
    ]
