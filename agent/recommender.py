"""``Recommender``: the public face for people who have a catalogue and behaviour data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tastemaker.agent.assemble import Parts, load_parts
from tastemaker.agent.counterfactual import WhatIf, Why, WhyNot, without_items
from tastemaker.agent.demo_data import prepare_demo
from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.agent.requests import (
    ContextLike,
    HistoryLike,
    LanguageChoice,
    as_context,
    as_language,
    as_mapping,
    as_wish,
    build_request,
)
from tastemaker.agent.reranker import Reranker
from tastemaker.agent.session import Session
from tastemaker.answers import Recommendation
from tastemaker.config import Settings, resolve
from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.prompts.packs import Pack, load_pack
from tastemaker.protocols import ProgressCallback
from tastemaker.types import MAX_WISH_CHARS, Candidate, Context, Filter, Language, Request
from tastemaker.understanding import Understanding
from tastemaker.workspace import Workspace

QUESTION = (
    "user_id",
    "history",
    "session",
    "wish",
    "context",
    "k",
    "filters",
    "exclude",
    "language",
    "understand",
)
"""The arguments of ``Recommender.recommend``."""


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
        session: HistoryLike = (),
        wish: str = "",
        context: ContextLike = None,
        k: int = 10,
        filters: Sequence[str | Filter] = (),
        exclude: Iterable[str] = (),
        language: LanguageChoice = "auto",
        understand: bool = True,
    ) -> Request:
        """Build the request that ``recommend`` would send; see ``recommend`` for the arguments."""
        return build_request(
            self._parts.dataset,
            user_id=user_id,
            history=history,
            session=session,
            wish=wish,
            context=context,
            k=k,
            filters=filters,
            exclude=exclude,
            language=language,
            domain=self.settings.domain,
            recogniser=self.recogniser if understand else None,
            words_read=self._parts.ranker is not None or self._parts.model is not None,
        )

    def understand(
        self, wish: str, *, now: datetime | None = None, language: LanguageChoice = "auto"
    ) -> Understanding:
        """What ``recommend`` would read in a wish: situation, conditions, exclusions, and what remains.

        Args:
            now: the moment of asking, for "tomorrow" and "the last five years"; None: this machine's clock.

        Raises:
            RequestError: the wish is no text or too long.
        """
        text = as_wish(wish)
        if len(text) > MAX_WISH_CHARS:
            raise RequestError(f"the wish has {len(text):,} characters; at most {MAX_WISH_CHARS:,} are read")
        return self.recogniser.read(text, now=now, language=as_language(language, text, Context()))

    @cached_property
    def recogniser(self) -> Recogniser:
        return Recogniser(self.settings.domain, self.dataset)

    def recommend(self, **question: Any) -> Recommendation:
        """Recommend at most ``k`` items, best first, each with a verified explanation.

        Args:
            user_id: a user of the data; unknown ids are refused.
            history: ids, titles or mappings, oldest first; alone, or after a known user's own history.
            session: what happened since, oldest first: ``{"id": …, "event": "click"}``. What speaks against
                an item ("skip", "dislike", "not_now") rules it out at once, and makes its like less likely.
            wish: what is wanted now, in free words.
            context: ``{"time": ISO 8601, "company": "family", "place": …}``; any key is read.
            k: how many items, 1 to 1000.
            filters: hard conditions, ``"year>=1990"``, ``"genres has Comedy"``.
            exclude: ids that must not come back.
            language: of prompt and explanation: "en", "zh", or "auto" by the script of the wish.
            understand: take the wish apart: "rainy Sunday with the kids, nothing scary" is read as a
                situation and a condition; ``request.understanding`` of the answer says how. False reads it
                as it stands.

        Raises:
            InputError: something in the question cannot be used; the message says what.
        """
        return self.recommend_batch([self.request(**question)])[0]

    def session(self, **question: Any) -> Session:
        """A session with events; ``question``: arguments of ``recommend`` that hold for all of it."""
        return Session(self, question)

    def recommend_batch(self, requests: Sequence[Request]) -> list[Recommendation]:
        """Answer many requests at once: the same answers as one by one, in order."""
        return self._parts.pipeline.recommend_batch(requests)

    def search(
        self, text: str, *, k: int = 10, filters: Sequence[str | Filter] = ()
    ) -> tuple[Candidate, ...]:
        """The items whose texts are nearest in meaning, for nobody in particular; best first.

        Raises:
            RequestError: the text is empty. FilterError: a filter does not parse.
        """
        if not as_wish(text):
            raise RequestError("the text to search for is empty")
        request = self.request(wish=text, k=k, filters=filters, understand=False)
        return self._searcher.retrieve([request], k)[0]

    @cached_property
    def _searcher(self) -> TextRetriever:
        return TextRetriever(self.dataset, self._parts.index, self._parts.embedder)

    def reranker(self) -> Reranker:
        """A reranker of texts of one's own, over this workspace's models."""
        return Reranker(self._parts.embedder, self._parts.reranker)

    def recommend_in_steps(self, request: Request) -> Iterator[Recommendation]:
        """The list without explanations as soon as it is known, then the answer of ``recommend``."""
        return self._parts.pipeline.recommend_in_steps(request)

    def why(self, item: str, **question: Any) -> Why:
        """What puts ``item`` (an id or a title) where it stands for a question as in ``recommend``.

        Every history entry, context field and the wish is taken away in turn; what that does to the item's
        log-odds is its influence.

        Raises:
            InputError: there is no such item, or it is not among the candidates.
            ModelError: the language model fails.
        """
        return self._parts.counterfactuals.why(self.request(**question), self.item_id(item))

    def why_not(self, item: str, **question: Any) -> WhyNot:
        """What keeps ``item`` (an id or a title) out of the list, and by how much; errors as in ``why``."""
        return self._parts.counterfactuals.why_not(self.request(**question), self.item_id(item))

    def what_if(self, change: Mapping[str, Any], **question: Any) -> WhatIf:
        """The list with and without a change to the question.

        Args:
            change: arguments of ``recommend`` that replace those of ``question``; a ``context`` is laid over
                the question's, None taking a field away. ``without``: items of the history to forget.

        Raises:
            InputError: something in question or change cannot be used.
        """
        if unknown := change.keys() - {*QUESTION, "without"}:
            raise RequestError(
                f"change holds {sorted(unknown)[0]!r}; known are {', '.join((*QUESTION, 'without'))}"
            )
        request = self.request(**question)
        forgotten = [self.item_id(item) for item in change.get("without", ())]
        asked = {name: value for name, value in change.items() if name != "without"}
        if "context" in asked:
            laid = {**as_context(question.get("context")).as_mapping(), **as_mapping(asked["context"])}
            asked["context"] = {name: value for name, value in laid.items() if value is not None}
        altered = without_items(self.request(**{**question, **asked}), forgotten)
        return self._parts.counterfactuals.what_if(request, altered)

    def item_id(self, item: str) -> str:
        """The id of an item by id or title; DataError for an unknown one."""
        if not isinstance(item, str):
            raise RequestError(f"item is {item!r}; an id or a title is wanted")
        if not self.dataset.has_item(item):
            found = self.dataset.find_title(item)
            item = found if found is not None else item
        return self.dataset.item(item).id

    async def arecommend(self, **question: Any) -> Recommendation:
        """``recommend`` in a worker thread."""
        return await asyncio.to_thread(self.recommend, **question)
