"""One HTTP conversation with an OpenAI-compatible server: JSON in, JSON out, bounded retries, clear errors.

The API key is sent as a bearer token and stands in no message.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tastemaker.errors import ModelError

RETRIED = (429, 502, 503, 504)
"""The server is busy or restarting; everything else is an answer."""

LONGEST_WAIT = 20.0
"""Seconds; a Retry-After beyond this is not waited for."""


class RefusedError(ModelError):
    """The server understood nothing or does not offer this (other 4xx and 5xx answers)."""


class JsonClient:
    """Thread-safe. ``base`` is the server's address up to and with ``/v1``."""

    def __init__(self, base: str, *, api_key: str | None, timeout: float, retries: int, pause: float) -> None:
        self._base = base
        self._retries = retries
        self._pause = pause
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(timeout=timeout, headers=headers)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        url = self._base + path
        for attempt in range(self._retries + 1):
            response = self._send(method, url, body)
            if response.status_code not in RETRIED:
                break
            wait = retry_wait(response, self._pause * 2**attempt)
            if attempt == self._retries or wait > LONGEST_WAIT:
                raise ModelError(
                    f"{url} is overloaded: HTTP {response.status_code} after {attempt + 1} tries"
                    f"{_detail(response)}",
                    hint="try again later",
                )
            time.sleep(wait)
        if response.status_code in (401, 403):
            raise ModelError(
                f"{url} refuses the API key: HTTP {response.status_code}{_detail(response)}",
                hint="export TASTEMAKER_API_KEY=...",
            )
        if response.status_code != 200:
            raise RefusedError(f"{url} answered HTTP {response.status_code}{_detail(response)}")
        return _json_object(url, response)

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> httpx.Response:
        try:
            return self._client.request(method, url, json=body)
        except httpx.TimeoutException as error:
            raise ModelError(f"{url} did not answer in time ({type(error).__name__})") from error
        except httpx.ConnectError as error:
            raise ModelError(f"{url} cannot be reached: {error}", hint="is the server running?") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ModelError(f"{url} failed: {type(error).__name__}: {error}") from error


def retry_wait(response: httpx.Response, otherwise: float) -> float:
    """Seconds until the next try: what Retry-After says, else ``otherwise`` with up to 25 % on top."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return otherwise * random.uniform(1.0, 1.25)


def _detail(response: httpx.Response) -> str:
    """What the server says about an error, as ``: text``, or nothing."""
    try:
        told = response.json()
    except ValueError:
        return ""
    error = told.get("error", told) if isinstance(told, dict) else told
    message = error.get("message", "") if isinstance(error, dict) else error
    return f": {' '.join(str(message).split())[:200]}" if message else ""


def _json_object(url: str, response: httpx.Response) -> dict[str, Any]:
    try:
        told = response.json()
    except ValueError as error:
        raise ModelError(f"{url} answered no JSON: {response.text[:80]!r}") from error
    if not isinstance(told, dict):
        raise ModelError(f"{url} answered a JSON {type(told).__name__}; an object is wanted")
    return told
