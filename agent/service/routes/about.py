"""What a client can ask for here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

import tastemaker
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import Guard
from tastemaker.index.filters import field_kinds, parse_filters
from tastemaker.prompts.domains import load_domain
from tastemaker.types import Language
from tastemaker.understanding import FACET_VALUES

MAX_USERS = 50
"""User ids that a picker is offered."""


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["about"], dependencies=[Depends(guard.needs("recommend"))])
    recommender = engine.recommender

    @api.get("/about")
    async def about(language: Language = "en") -> dict[str, Any]:
        """The domain, its words, the fields that filters and situations know, and some users to try."""
        dataset, domain = recommender.dataset, load_domain(recommender.settings.domain)
        words, model = domain.words[language], recommender.parts.ranker
        situation = {
            name: sorted({*values, *dataset.context_values.get(name, ())})
            for name, values in {**FACET_VALUES, **domain.context}.items()
        }
        return {
            "name": "tastemaker",
            "version": tastemaker.__version__,
            "domain": domain.name,
            "noun": words.noun,
            "nouns": words.nouns,
            "items": len(dataset.item_ids),
            "model": None if model is None else model.name,
            "users": [one for one in dataset.user_ids[:MAX_USERS] if one not in engine.forgotten],
            "context": situation,
            "fields": field_kinds(dataset.items.schema),
        }

    @api.get("/catalogue")
    async def catalogue(
        query: Annotated[str, Query(min_length=1, max_length=500)],
        k: Annotated[int, Query(ge=1, le=100)] = 10,
        filter: Annotated[list[str] | None, Query(max_length=20)] = None,
    ) -> dict[str, Any]:
        """Items whose texts are nearest to a query, for nobody in particular."""
        conditions = parse_filters(filter or (), recommender.dataset.items.schema)
        found = await engine.with_models(recommender.search, query, k=k, filters=conditions)
        return {
            "items": [
                {"id": one.item.id, "title": one.item.display_title, "score": one.score} for one in found
            ]
        }

    return api
