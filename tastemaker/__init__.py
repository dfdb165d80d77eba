"""Tastemaker: retrieve with FAISS, rerank with an open LLM that reads the situation, explain truthfully.

Example::

    from tastemaker import Recommender
    rec = Recommender.load("workspace")
    rec.recommend(user_id="196", wish="light", context={"company": "family"})

Public names are loaded on first use, so that ``import tastemaker`` stays quick and never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastemaker.agent.recommender import Recommender as Recommender
    from tastemaker.agent.reranker import Reranker as Reranker
    from tastemaker.answers import Recommendation as Recommendation
    from tastemaker.data.dataset import Dataset as Dataset
    from tastemaker.errors import TastemakerError as TastemakerError
    from tastemaker.types import Context as Context
    from tastemaker.types import Item as Item

__version__ = "0.1.0"

_HOMES = {
    "Recommender": "tastemaker.agent.recommender",
    "Reranker": "tastemaker.agent.reranker",
    "Dataset": "tastemaker.data.dataset",
    "TastemakerError": "tastemaker.errors",
    "Context": "tastemaker.types",
    "Item": "tastemaker.types",
    "Recommendation": "tastemaker.answers",
}

__all__ = ["Context", "Dataset", "Item", "Recommendation", "Recommender", "Reranker", "TastemakerError"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tastemaker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
