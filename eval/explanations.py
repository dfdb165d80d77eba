"""Figures about the explanations of many answers: there at all, by whom, how varied, and faithful or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tastemaker.agent.assemble import Parts
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.faithfulness import Deletion, DeletionTest, summary
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Context, Explanation, Request


def sample_requests(dataset: Dataset, users: int, k: int, seed: int) -> list[Request]:
    """Requests of random users with a history, at the time of their last event, without a wish.

    Raises:
        DataError: nobody has a history.
    """
    names = list(dataset.sequences())
    if not names:
        raise DataError("nobody in the data has a history", hint="tastemaker data import")
    chosen = np.random.default_rng(seed).permutation(len(names))[:users]
    return [_request(dataset, names[i], k) for i in sorted(chosen.tolist())]


def _request(dataset: Dataset, user_id: str, k: int) -> Request:
    history = dataset.history(user_id)
    last = history.entries[-1].timestamp
    time = None if last is None else datetime.fromtimestamp(last, tz=UTC)
    return Request(history=history, context=Context(time=time), k=k, request_id=user_id)


def measure_explanations(
    parts: Parts, requests: Sequence[Request], *, seed: int = 0, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Answer ``requests`` as they are served, and say what their explanations are worth.

    Raises:
        ModelError: the language model fails.
    """
    test = DeletionTest(parts.probe, parts.dataset, seed=seed)
    explanations: list[Explanation | None] = []
    deletions: list[Deletion] = []
    for number, request in enumerate(requests, start=1):
        answer = parts.pipeline.recommend_batch([request])[0]
        explanations += [item.explanation for item in answer]
        deletions += test.deletions(request, parts.pipeline.rank_batch([request])[0], answer)
        if progress is not None:
            progress("explaining", number, len(requests))
    return {"users": len(requests), **shares(explanations), **summary(deletions)}


def shares(explanations: Sequence[Explanation | None]) -> dict[str, Any]:
    """Of all items; ``verified_share`` and the rest of those that are explained."""
    told = [one for one in explanations if one is not None and one.text]
    if not explanations or not told:
        return {"items": len(explanations), "explained_share": 0.0}
    return {
        "items": len(explanations),
        "explained_share": round(len(told) / len(explanations), 4),
        "verified_share": _share([one.verified for one in told]),
        "fallback_share": _share([one.fallback for one in told]),
        "llm_share": _share([one.writer == "llm" for one in told]),
        "evidence_share": _share([any(piece.kind != "fact" for piece in one.evidence) for one in told]),
        "unique_sentence_ratio": round(len({one.text for one in told}) / len(told), 4),
    }


def _share(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4)
