"""What a recommender answers: items with their explanations, and how the answer was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tastemaker.types import Explanation, Ranked, Request, freeze


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How an answer was made: models, versions, fallbacks and times, without any personal content."""

    model: str = ""
    adapter: str | None = None
    template: str = ""
    index: str = ""
    candidates: int = 0
    llm_share: float = 0.0
    repairs: int = 0
    explanation_fallbacks: int = 0
    degraded: str | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timings_ms", freeze(self.timings_ms))

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "adapter": self.adapter,
            "template": self.template,
            "index": self.index,
            "candidates": self.candidates,
            "llm_share": round(self.llm_share, 4),
            "repairs": self.repairs,
            "explanation_fallbacks": self.explanation_fallbacks,
            "degraded": self.degraded,
            "timings_ms": {name: round(value, 1) for name, value in self.timings_ms.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendedItem:
    """One line of the answer."""

    ranked: Ranked
    explanation: Explanation | None = None

    @property
    def id(self) -> str:
        return self.ranked.item.id

    @property
    def title(self) -> str:
        return self.ranked.item.display_title

    def to_dict(self) -> dict[str, Any]:
        ranked = self.ranked
        return {
            "rank": ranked.rank,
            "id": self.id,
            "title": self.title,
            "score": round(ranked.score, 6),
            "retrieval_score": round(ranked.candidate.score, 6),
            "llm_score": None if ranked.llm_score is None else round(ranked.llm_score, 6),
            "explanation": None if self.explanation is None else explanation_dict(self.explanation),
        }


def explanation_dict(explanation: Explanation) -> dict[str, Any]:
    return {
        "text": explanation.text,
        "verified": explanation.verified,
        "writer": explanation.writer,
        "evidence": [piece.to_dict() for piece in explanation.evidence],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The answer to one request: at most ``request.k`` items, best first, and its trace."""

    request: Request
    items: tuple[RecommendedItem, ...]
    trace: Trace

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract of ``recommend --json``."""
        return {
            "request_id": self.request.request_id,
            "user_id": self.request.user_id,
            "wish": self.request.said,
            "context": self.request.context.as_mapping(),
            "understood": None
            if self.request.understanding is None
            else self.request.understanding.to_dict(),
            "notes": list(self.request.notes),
            "items": [item.to_dict() for item in self.items],
            "trace": self.trace.to_dict(),
        }
