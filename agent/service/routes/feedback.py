"""Events: kept before they are acknowledged, and counted in their session at once."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends

from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import Client, Guard
from tastemaker.agent.service.schemas import FeedbackBody
from tastemaker.agent.store import StoredEvent


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["feedback"], dependencies=[Depends(guard.needs("feedback"))])

    @api.post("/feedback")
    async def feedback(body: FeedbackBody, client: Client) -> dict[str, int]:
        """Keep events. ``request_id`` joins one to the list it was shown in; an ``event_id`` counts once.

        ``unjoined``: events whose list is not kept, or no more; they count without it.
        """
        now = time.time()
        events = [
            StoredEvent(
                id=one.event_id,
                item_id=one.item_id,
                event=one.event,
                time=now if one.time is None else one.time,
                user_id=one.user_id,
                session_id=one.session_id,
                request_id=one.request_id,
                value=one.value,
            )
            for one in body.events
        ]
        kept = await engine.feedback(events, client)
        accepted = sum(kept.new)
        return {
            "accepted": accepted,
            "duplicates": len(kept.new) - accepted,
            "unjoined": len(kept.unjoined),
        }

    return api
