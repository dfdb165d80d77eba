"""Lists and their reasons."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, Client, Guard
from tastemaker.agent.service.schemas import ExplainBody, Question, RecommendBody
from tastemaker.agent.service.views import recommendation_dict
from tastemaker.types import Request


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["recommend"], dependencies=[Depends(guard.needs("recommend"))])

    @api.post("/recommend")
    async def recommend(body: RecommendBody, client: Client) -> dict[str, Any]:
        """A list for a user, a typed history, a bare wish or a conversation, each item with its reason."""
        if body.session_id is not None:
            _no_question_of_its_own(body)
            return recommendation_dict(
                await engine.current(body.session_id, _asker(body, client), explain=body.explain)
            )
        answer = await engine.recommend(await _request(engine, body), explain=body.explain)
        await engine.keep(answer)
        return recommendation_dict(answer)

    @api.post("/explain")
    async def explain(body: ExplainBody, client: Client) -> dict[str, Any]:
        """What puts an item where it stands (``why``), or what keeps it out of the list (``why_not``)."""
        item = engine.recommender.item_id(body.item)
        engine.refuse_forgotten(body.user_id)
        if body.session_id is not None:
            session = await engine.aside(engine.talk.known_session, body.session_id, body.user_id, client)
            asker = _asker(body, client, session.user_id)
            request = await engine.aside(engine.talk.request, session, asker)
        else:
            request = await _request(engine, body)
        found = getattr(engine.recommender.parts.counterfactuals, body.kind)
        return {"kind": body.kind, **(await engine.with_models(found, request, item)).to_dict()}

    return api


def _asker(body: Question, client: str | None, user_id: str | None = None) -> Asker:
    return Asker(
        user_id=body.user_id or user_id,
        context=body.context,
        k=body.k,
        language=body.language,
        client=client,
    )


def _no_question_of_its_own(body: RecommendBody) -> None:
    """A session has its own wish and conditions; a second set beside it would be ignored silently."""
    given = body.model_fields_set & {"history", "session", "wish", "filters", "exclude", "understand"}
    if given:
        raise ApiError(
            422,
            "invalid_request",
            f"{sorted(given)[0]} and session_id cannot stand together: a session has its own",
            hint="change the session with PATCH /v1/sessions/ID, or say it in /v1/chat/completions",
        )


async def _request(engine: Engine, body: Question) -> Request:
    engine.refuse_forgotten(body.user_id)
    asked = {name: getattr(body, name) for name in Question.model_fields}
    return await engine.aside(engine.recommender.request, **asked)
