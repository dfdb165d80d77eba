"""Reranking of texts of one's own, in the dialects that other rerankers speak."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Depends

from tastemaker.agent.reranker import RerankResult
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import ApiError, Guard
from tastemaker.agent.service.schemas import Document, RerankBody, TeiRerankBody


def router(engine: Engine, guard: Guard) -> APIRouter:
    api = APIRouter(tags=["rerank"], dependencies=[Depends(guard.needs("recommend"))])
    reranker = engine.recommender.reranker()

    async def ranked(body: RerankBody | TeiRerankBody, documents: list[Document]) -> RerankResult:
        return await engine.with_models(
            reranker.rerank,
            candidates=[_as_candidate(one) for one in documents],
            history=body.history,
            context=body.context,
            wish=body.query,
            top_n=body.top_n,
        )

    @api.post("/v1/rerank")
    async def v1(body: RerankBody) -> dict[str, Any]:
        """Cohere's first version, which Jina's is alike: results with index and relevance_score."""
        return _jina(await ranked(body, body.documents), body.documents, body.return_documents)

    @api.post("/v2/rerank")
    async def v2(body: RerankBody) -> dict[str, Any]:
        """Cohere's second version: documents come back only where they are asked for."""
        result = await ranked(body, body.documents)
        told = _jina(result, body.documents, bool(body.return_documents))
        return {
            "id": told["id"],
            "results": told["results"],
            "meta": {"api_version": {"version": "2"}},
            "tastemaker": told["tastemaker"],
        }

    @api.post("/rerank")
    async def tei(body: TeiRerankBody) -> Any:
        """text-embeddings-inference (``texts``): a list of index and score; with ``documents``, Jina's."""
        if (body.texts is None) == (body.documents is None):
            raise ApiError(422, "invalid_request", "texts or documents is wanted, and not both")
        documents = list(body.texts or body.documents or [])
        result = await ranked(body, documents)
        if body.documents is not None:
            return _jina(result, documents, body.return_documents)
        return [
            {"index": row.index, "score": row.score} | ({"text": row.text} if body.return_text else {})
            for row in result
        ]

    return api


def _as_candidate(one: Document) -> Document:
    if isinstance(one, dict) and "text" not in one and "title" not in one:
        # Cohere reranks objects by all their texts.
        return {
            "id": one.get("id"),
            "text": "; ".join(f"{key}: {value}" for key, value in one.items() if value),
        }
    return one


def _jina(result: RerankResult, documents: list[Document], with_documents: bool | None) -> dict[str, Any]:
    rows = []
    for row in result:
        told: dict[str, Any] = {"index": row.index, "relevance_score": row.score}
        if with_documents:
            one = documents[row.index]
            told["document"] = {"text": one} if isinstance(one, str) else one
        rows.append(told)
    return {
        "id": uuid.uuid4().hex,
        "model": "tastemaker",
        "results": rows,
        "usage": {"total_tokens": 0},
        "tastemaker": {"trace": result.trace.to_dict()},
    }
