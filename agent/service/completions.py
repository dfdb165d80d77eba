"""OpenAI's chat completions over conversations: any client that speaks it can talk with the recommender."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tastemaker.agent.chat.chat import Asker, Reply
from tastemaker.agent.conversations import new_session_id
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, as_api_error
from tastemaker.agent.service.schemas import ChatBody, Message
from tastemaker.agent.service.views import reply_dict

MODEL = "tastemaker"


class Completions:
    """Chat completions; sessions by id, or found again by what was said so far."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def replies(self, body: ChatBody, client: str | None) -> tuple[str, AsyncIterator[Reply]]:
        """The session's id and the replies to the last message.

        Raises:
            ApiError: the model is unknown, or the last message is no user's.
        """
        if body.model not in (MODEL, ""):
            raise ApiError(
                404, "unknown_model", f"there is no model {body.model[:80]!r}", hint=f"use {MODEL!r}"
            )
        said = [one for one in body.messages if one.role in ("user", "assistant")]
        if not said or said[-1].role != "user":
            raise ApiError(422, "invalid_request", "messages: the last one must be a user's")
        asker = Asker(
            user_id=body.user, context=body.context, k=body.k, language=body.language, client=client
        )
        session_id = body.session_id or await self._session(said[:-1], asker)
        return session_id, self._engine.chat(session_id, said[-1].text, asker)

    async def _session(self, earlier: Sequence[Message], asker: Asker) -> str:
        """A client without session ids sends all that was said; its session is known by that."""
        if not earlier:
            return new_session_id()
        talk = self._engine.talk
        known = await self._engine.aside(talk.known_as, _told(earlier), asker.user_id, asker.client)
        if known is not None:
            return known
        session_id = new_session_id()
        await self._engine.replay(session_id, [one.text for one in earlier if one.role == "user"], asker)
        return session_id

    @staticmethod
    async def begun(replies: AsyncIterator[Reply]) -> AsyncIterator[Reply]:
        """The same replies once the first is there: what goes wrong before it has a status of its own."""
        first = await anext(replies)

        async def rest() -> AsyncIterator[Reply]:
            yield first
            async for reply in replies:
                yield reply

        return rest()

    async def _remember(self, body: ChatBody, session_id: str, reply: Reply, client: str | None) -> None:
        """Let the session be found again by what was said, the reply included."""
        if body.session_id is not None:
            return
        said = [one for one in body.messages if one.role in ("user", "assistant")]
        whole = [*_told(said), ("assistant", reply.text)]
        await self._engine.aside(self._engine.talk.remember, whole, session_id, body.user, client)

    async def whole(self, body: ChatBody, client: str | None = None) -> dict[str, Any]:
        session_id, replies = await self.replies(body, client)
        *_, reply = [reply async for reply in replies]
        await self._remember(body, session_id, reply, client)
        return {
            **_frame("chat.completion", session_id),
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": reply.text}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            "tastemaker": reply_dict(reply, session_id),
        }

    async def lines(
        self, body: ChatBody, session_id: str, replies: AsyncIterator[Reply], client: str | None = None
    ) -> AsyncIterator[bytes]:
        """Server-sent events: texts that only add, and the structured reply beside the first and the last."""
        frame = _frame("chat.completion.chunk", session_id)
        yield _event({**frame, "choices": [_delta({"role": "assistant", "content": ""})]})
        sent, reply, told = "", None, 0
        try:
            async for reply in replies:
                new = reply.text[len(sent) :] if reply.text.startswith(sent) else reply.text
                sent = reply.text
                if new or not told:
                    told += 1
                    chunk = {**frame, "choices": [_delta({"content": new})]}
                    yield _event({**chunk, "tastemaker": reply_dict(reply, session_id)})
            if reply is not None:
                await self._remember(body, session_id, reply, client)
                last = {**frame, "choices": [_delta({}, "stop")]}
                yield _event({**last, "tastemaker": reply_dict(reply, session_id)})
        except Exception as error:
            failed = as_api_error(error)
            shown = {"type": failed.kind, "message": failed.message, "hint": failed.hint}
            yield _event({"error": shown})
        yield b"data: [DONE]\n\n"


def _frame(kind: str, session_id: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": int(time.time()),
        "model": MODEL,
        "session_id": session_id,
    }


def _delta(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n\n"


def _told(said: Sequence[Message]) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in said]
