"""What clients get: our values as JSON, with the facts of each item beside it."""

from __future__ import annotations

from typing import Any

from tastemaker.agent.chat.chat import Reply
from tastemaker.answers import Recommendation


def recommendation_dict(answer: Recommendation) -> dict[str, Any]:
    """The contract of ``recommend --json``, and each item's attributes."""
    told = answer.to_dict()
    for row, item in zip(told["items"], answer.items, strict=True):
        attributes = item.ranked.item.attributes
        row["attributes"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in attributes.items()
        }
    return told


def reply_dict(reply: Reply, session_id: str) -> dict[str, Any]:
    answer = reply.recommendation
    return {
        **reply.to_dict(),
        "session_id": session_id,
        "recommendation": None if answer is None else recommendation_dict(answer),
    }
