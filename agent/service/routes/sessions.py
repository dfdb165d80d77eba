"""Conversations as people see and edit them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, Guard
from tastemaker.agent.service.schemas import SessionChange


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(
        prefix="/v1/sessions", tags=["sessions"], dependencies=[Depends(guard.needs("recommend"))]
    )

    @api.get("/{session_id}")
    async def read(session_id: str) -> dict[str, Any]:
        """What a conversation has come to, and its latest turns."""
        found = await engine.aside(engine.store.session, session_id)
        if found is None:
            raise _unknown(session_id)
        return found.to_dict()

    @api.patch("/{session_id}")
    async def edit(session_id: str, body: SessionChange) -> dict[str, Any]:
        """Set wishes, filters, exclusions, situation or events; what is not named stays."""
        changes = body.model_dump(exclude_unset=True, exclude_none=True)
        return (await engine.edit(session_id, changes)).to_dict()

    @api.delete("/{session_id}")
    async def remove(session_id: str) -> dict[str, bool]:
        """Forget a conversation, and what was shown and said in it."""
        if not await engine.aside(engine.store.delete_session, session_id):
            raise _unknown(session_id)
        return {"deleted": True}

    return api


def _unknown(session_id: str) -> ApiError:
    return ApiError(404, "unknown_session", f"there is no session {session_id[:80]!r}")
