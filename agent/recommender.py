"""``Recommender``: the public face for people who have a catalogue and behaviour data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tastemaker.agent.assemble import Parts, load_parts
from tastemaker.agent.demo_data import prepare_demo
from tastemaker.agent.requests import ContextLike, HistoryLike, LanguageChoice, build_request
from tastemaker.config import Settings, resolve
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.packs import Pack, load_pack
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Filter, Language, Recommendation, Request
from tastemaker.workspace import Workspace


class Recommender:
    """Retrieves, reranks and explains over one workspace. Safe to use from several threads.

    Example::

        rec = Recommender.load("workspace")
        out = rec.recommend(user_id="196", wish="light", context={"company": "family"}, k=10)
        print(out.items[0].title, out.items[0].explanation.text)
    """

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self._parts = parts
        self.settings = settings

    @classmethod
    def load(
        cls,
        workspace: str | Path = "workspace",
        *,
        progress: ProgressCallback | None = None,
        **settings: Any,
    ) -> Recommender:
        """Load a workspace. ``settings`` override its ``config.yaml``: ``llm="none"``, ``candidates=40`` …

        Raises:
            InputError: no workspace there, or an unknown setting.
            ArtifactError: a stored part is damaged or does not fit the others.
            WeightsError: model files cannot be had.
        """
        place = Workspace(Path(workspace))
        resolved, _ = resolve(place.config, settings)
        return cls(load_parts(place, resolved, progress), resolved)

    @classmethod
    def demo(cls, *, progress: ProgressCallback | None = None, **settings: Any) -> Recommender:
        """MovieLens-100K with the default models: fetched and indexed at the first call."""
        return cls.load(prepare_demo(progress=progress), progress=progress, **settings)

    @property
    def dataset(self) -> Dataset:
        return self._parts.dataset

    @property
    def parts(self) -> Parts:
        """The stages themselves, for evaluation and for people who extend them."""
        return self._parts

    def pack(self, language: Language) -> Pack:
        """The words that prompts and explanations use in ``language``."""
        return load_pack(language, domain=self.settings.domain)

    def request(
        self,
        *,
        user_id: str | None = None,
        history: HistoryLike | None = None,
        wish: str = "",
        context: ContextLike = None,
        k: int = 10,
        filters: Sequence[str | Filter] = (),
        exclude: Iterable[str] = (),
        language: LanguageChoice = "auto",
    ) -> Request:
        """Build the request that ``recommend`` would send; see ``recommend`` for the arguments."""
        return build_request(
            self._parts.dataset,
            user_id=user_id,
            history=history,
            wish=wish,
            context=context,
            k=k,
            filters=filters,
            exclude=exclude,
            language=language,
        )

    def recommend(self, **question: Any) -> Recommendation:
        """Recommend at most ``k`` items, best first, each with a verified explanation.

        Args:
            user_id: a user of the data; unknown ids are refused.
            history: ids, titles or mappings, oldest first; alone, or after a known user's own history.
            wish: what is wanted now, in free words.
            context: ``{"time": ISO 8601, "company": "family", "place": …}``; any key is read.
            k: how many items, 1 to 1000.
            filters: hard conditions, ``"year>=1990"``, ``"genres has Comedy"``.
            exclude: ids that must not come back.
            language: of prompt and explanation: "en", "zh", or "auto" by the script of the wish.

        Raises:
            InputError: something in the question cannot be used; the message says what.
        """
        return self.recommend_batch([self.request(**question)])[0]

    def recommend_batch(self, requests: Sequence[Request]) -> list[Recommendation]:
        """Answer many requests at once: the same answers as one by one, in order."""
        return self._parts.pipeline.recommend_batch(requests)

    async def arecommend(self, **question: Any) -> Recommendation:
        """``recommend`` in a worker thread."""
        return await asyncio.to_thread(self.recommend, **question)
