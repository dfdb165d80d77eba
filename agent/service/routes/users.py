"""What is known about a person: to be read by them, and to be deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, Guard


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(prefix="/v1/users", tags=["users"], dependencies=[Depends(guard.needs("admin"))])

    @api.get("/{user_id:path}")
    async def export(user_id: str) -> dict[str, Any]:
        """Everything that is stored about a user: history, conversations, lists that were shown, events."""
        if user_id in engine.forgotten:
            raise _unknown(user_id)
        told = await engine.aside(engine.store.export_user, user_id)
        known = user_id in engine.recommender.dataset.user_positions
        if not known and not any(told[part] for part in ("sessions", "impressions", "events")):
            raise _unknown(user_id)
        entries = engine.recommender.dataset.history(user_id).entries if known else ()
        history = [
            {"item_id": one.item_id, "event": one.event, "time": one.timestamp, "value": one.value}
            for one in entries
        ]
        return {**told, "history": history}

    @api.delete("/{user_id:path}")
    async def remove(user_id: str) -> dict[str, Any]:
        """Delete everything about a user from the store and from the workspace's data.

        The loaded models keep counting the user's past events among everybody's until the service is started
        again; nobody can ask for them any more.
        """
        gone = await engine.forget(user_id)
        if not any(gone.values()):
            raise _unknown(user_id)
        return {"deleted": gone}

    return api


def _unknown(user_id: str) -> ApiError:
    return ApiError(404, "unknown_user", f"nothing is stored about user {user_id[:80]!r}")
