"""Conversations as people see and edit them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import Client, Guard
from tastemaker.agent.service.schemas import SessionChange


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(
        prefix="/v1/sessions", tags=["sessions"], dependencies=[Depends(guard.needs("recommend"))]
    )

    @api.get("/{session_id:path}")
    async def read(session_id: str, client: Client) -> dict[str, Any]:
        """What a conversation has come to, and its latest turns."""
        return (await engine.aside(engine.talk.known_session, session_id, None, client)).to_dict()

    @api.patch("/{session_id:path}")
    async def edit(session_id: str, body: SessionChange, client: Client) -> dict[str, Any]:
        """Set wishes, filters, exclusions, situation or events; what is not named stays."""
        changes = body.model_dump(exclude_unset=True, exclude_none=True)
        return (await engine.edit(session_id, changes, client)).to_dict()

    @api.delete("/{session_id:path}")
    async def remove(session_id: str, client: Client) -> dict[str, bool]:
        """Forget a conversation, and what was shown and said in it."""
        await engine.forget_session(session_id, client)
        return {"deleted": True}

    return api
