"""What the recommender offers to models and agents: five tools, whoever calls them (MCP, LangChain).

Every tool goes through the same calls as Python, CLI and HTTP, and answers with the same JSON. Arguments are
described for the models that read them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python

from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.conversations import Conversations, new_session_id
from tastemaker.agent.requests import LanguageChoice
from tastemaker.agent.store import Impression, StoredEvent
from tastemaker.errors import RequestError, TastemakerError, UnknownUserError
from tastemaker.index.build import language_warning
from tastemaker.index.filters import field_kinds, parse_filters
from tastemaker.prompts.domains import load_domain
from tastemaker.types import Request

# What tools read. Unknown arguments and keys are refused: nothing may be ignored silently.


class Given(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")


class HistoryItem(Given):
    """Something that a person has had: an id, a title, or both."""

    id: str | None = Field(None, description="Id in the catalogue.")
    title: str | None = Field(None, description="Title; also of what the catalogue lacks.")
    rating: float | None = Field(None, description="On the scale of the data, or 1 to 5.")
    time: str | float | None = Field(None, description="ISO 8601, or seconds since 1970.")
    event: str | None = Field(None, description="What was done with it: watch, like, dislike …")


class CandidateText(Given):
    text: str
    id: str | None = Field(None, description="Comes back with the text.")


class FeedbackEvent(Given):
    """What somebody did with an item. User and session default to those of the list ``request_id``."""

    item: str = Field(description="Id or title of an item of the catalogue.")
    event: str = Field(description="like, dislike, seen, not_now (turned down for now), skip, save …")
    session_id: str | None = Field(None, description="The conversation in whose next list it counts.")
    user_id: str | None = None
    request_id: str | None = Field(None, description="The list that it was shown in.")
    value: float | None = Field(None, description="A rating.", allow_inf_nan=False)
    time: float | None = Field(None, description="Seconds since 1970; default: now.", allow_inf_nan=False)
    id: str | None = Field(None, description="Your id of the event; sent again, it does not count again.")


Value = str | int | float | bool | None
Message = Annotated[str | None, Field(description="A turn of a conversation: a wish, critique or question.")]
Session = Annotated[str | None, Field(description="A conversation: the id of its reply, or one of your own.")]
Kind = Annotated[Literal["why", "why_not"], Field(description="What puts it there, or what keeps it out.")]
Candidates = Annotated[list[str | CandidateText], Field(description="At most 1,000 texts, of any domain.")]
User = Annotated[str | None, Field(description="A user of the data, whose history is read.")]
Entries = Annotated[list[str | HistoryItem] | None, Field(description="Oldest first: ids, titles or both.")]
Wish = Annotated[str, Field(description="What is wanted now, in free words.")]
Situation = Annotated[
    dict[str, Value] | None, Field(description='{"time": "2026-11-28T21:30", "company": "family"}; any key.')
]
Conditions = Annotated[list[str] | None, Field(description='Must hold: "year>=1990", "genres has Comedy".')]
Exclude = Annotated[list[str] | None, Field(description="Item ids that must not come back.")]
Count = Annotated[int | None, Field(ge=1, le=1_000, description="Default 10, in a conversation 5.")]
Tongue = Annotated[LanguageChoice, Field(description="Of explanations; auto: that of the words.")]

# What tools answer: the JSON of the other interfaces. What is not described here is passed on too.

Trace = Annotated[dict[str, Any], Field(description="How it was made; degraded: a fallback, and why.")]


class _Answered(BaseModel):
    model_config = ConfigDict(extra="allow")


class Evidence(_Answered):
    kind: Literal["history", "fact", "context", "wish"]
    ref: str
    text: str
    influence: float | None = Field(description="How far the item's log-odds fall without it, in nats.")


class Explanation(_Answered):
    text: str
    verified: bool = Field(description="Every statement of the text was checked and holds.")
    evidence: list[Evidence]


class Place(_Answered):
    rank: int
    id: str
    title: str
    score: float = Field(description="Share of the softmax over all candidates, 0 to 1.")


class Recommended(Place):
    explanation: Explanation | None


class Listing(_Answered):
    request_id: str = Field(description="Names this list in feedback.")
    user_id: str | None
    wish: str
    context: dict[str, str]
    understood: dict[str, Any] | None = Field(description="Situation and conditions read out of the wish.")
    notes: list[str] = Field(description="What of the question is not used as it was meant.")
    items: list[Recommended]
    trace: Trace


class Reply(_Answered):
    session_id: str = Field(description="Give it with the next message.")
    kind: str
    text: str = Field(description="The reply in words, to be shown.")
    asks: bool = Field(description="The text is a question that the next message may answer.")
    about: list[str] = Field(description="Ids of the items that a question was about.")
    state: dict[str, Any] = Field(description="What counts now: wishes, filters, exclude, context, events.")


class Answer(_Answered):
    reply: Reply | None = Field(description="Of a conversation; null without a message.")
    recommendation: Listing | None = Field(description="Null where a message asked for no list.")


class RankedText(_Answered):
    rank: int
    index: int = Field(description="Position among the candidates that were given, from 0.")
    id: str
    text: str
    score: float


class Reranked(_Answered):
    results: list[RankedText]
    trace: Trace


class Why(Place):
    candidates: int
    evidence: list[Evidence] = Field(description="Every piece of the question, strongest first.")


class WhyNot(_Answered):
    id: str
    title: str
    standing: Literal["recommended", "outranked", "not_retrieved", "filtered", "in_history", "excluded"]
    rank: int | None
    conditions: list[str] = Field(description="Filters that it does not meet.")
    gap: dict[str, Any] | None = Field(description="Distance in nats to the item ahead, in all and by part.")


class Explained(_Answered):
    why: Why | None
    why_not: WhyNot | None


class Kept(_Answered):
    ids: list[str] = Field(description="Of the events, in order.")
    new: list[bool] = Field(description="False: the event was sent before.")
    unjoined: list[str] = Field(description="Ids of events whose list is not kept; they count without it.")


class SearchResult(_Answered):
    text: str
    filters: list[str]
    items: list[Place] = Field(description="The score is the cosine between the item's text and the query.")
    warning: str | None


class Tools:
    """The tools as methods; their docstrings are what a model reads. Safe to share between threads."""

    def __init__(self, conversations: Conversations) -> None:
        self._talk, self._recommender = conversations, conversations.recommender
        self._reranker = self._recommender.reranker()

    def recommend(
        self,
        message: Message = None,
        session_id: Session = None,
        user_id: User = None,
        history: Entries = None,
        wish: Wish = "",
        context: Situation = None,
        filters: Conditions = None,
        exclude: Exclude = None,
        k: Count = None,
        language: Tongue = "auto",
    ) -> Answer:
        """Recommend items of the catalogue, best first, each with an explanation that was checked.

        Either hold a conversation: send what the person says as `message` ("something funny from the
        nineties", "older than the second one", "I have seen it", "why number 2?"), from the second one on
        with the session_id of the reply. Or ask once, without message: user_id or history, wish, context …
        """
        asker = _given(user_id=user_id, context=context, k=k, language=language)
        rest = _given(history=history, wish=wish or None, filters=filters, exclude=exclude)
        if message is None:
            if session_id is not None:
                raise RequestError("a session_id needs a message", hint="leave it out to ask once")
            answer = self._recommender.recommend(**asker, **rest)
            if answer.items:
                self._talk.store.add_impressions([Impression.of(answer)])
            return Answer.model_validate({"reply": None, "recommendation": answer.to_dict()})
        _refuse(rest, "message")
        name = new_session_id() if session_id is None else session_id
        reply = self._talk.turn(name, message, Asker(**asker)).to_dict()
        listing = reply.pop("recommendation")
        return Answer.model_validate({"reply": {**reply, "session_id": name}, "recommendation": listing})

    def explain(
        self,
        item: Annotated[str, Field(description="Id or title of an item of the catalogue.")],
        kind: Kind = "why",
        session_id: Session = None,
        user_id: User = None,
        history: Entries = None,
        wish: Wish = "",
        context: Situation = None,
        filters: Conditions = None,
        exclude: Exclude = None,
        k: Count = None,
        language: Tongue = "auto",
    ) -> Explained:
        """Take an answer apart by measuring: each piece of the question is taken away in turn.

        Give the arguments that recommend was asked with, or the session_id of a conversation as it stands.
        """
        asker = _given(user_id=user_id, context=context, k=k, language=language)
        rest = _given(history=history, wish=wish or None, filters=filters, exclude=exclude)
        if session_id is None:
            request = self._recommender.request(**asker, **rest)
        else:
            _refuse(rest, "session_id")
            request = self._session_request(session_id, asker)
        item_id, measure = self._recommender.item_id(item), self._recommender.parts.counterfactuals
        told = getattr(measure, kind)(request, item_id).to_dict()
        return Explained.model_validate({"why": None, "why_not": None, kind: told})

    def rerank(
        self,
        candidates: Candidates,
        history: Entries = None,
        wish: Wish = "",
        context: Situation = None,
        top_n: Annotated[int | None, Field(ge=1, description="How many come back; default: all.")] = None,
        language: Tongue = "auto",
    ) -> Reranked:
        """Order texts of your own for a person and a moment. The catalogue plays no part."""
        question = _given(candidates=candidates, history=history, context=context, language=language)
        return Reranked.model_validate(self._reranker.rerank(wish=wish, top_n=top_n, **question).to_dict())

    def feedback(self, events: list[FeedbackEvent]) -> Kept:
        """Tell what somebody did with items. In a conversation (session_id) it counts in the next list.

        What was disliked, seen or turned down does not come back in that conversation. All events are kept
        for training.
        """
        stored = []
        for one in events:
            values = {"id": uuid.uuid4().hex, "time": time.time(), **one.model_dump(exclude_none=True)}
            stored.append(StoredEvent(item_id=values.pop("item"), **values))
        kept = self._talk.feedback(stored)
        return Kept(ids=[one.id for one in stored], new=list(kept.new), unjoined=list(kept.unjoined))

    def search_catalogue(
        self,
        query: Annotated[str, Field(description="What to look for, in free words or as a title.")],
        filters: Conditions = None,
        k: Annotated[int, Field(ge=1, le=1_000, description="How many items.")] = 10,
    ) -> SearchResult:
        """Find items whose texts are nearest in meaning to a query: nothing about any person is used.

        Use it to look up ids and to see what there is; use recommend for what suits somebody.
        """
        conditions = parse_filters(filters or (), self._recommender.dataset.items.schema)
        found = self._recommender.search(query, k=k, filters=conditions)
        embedder = self._recommender.parts.embedder
        return SearchResult(
            text=query,
            filters=[str(one) for one in conditions],
            items=[
                Place(rank=rank, id=one.item.id, title=one.item.display_title, score=round(one.score, 6))
                for rank, one in enumerate(found, 1)
            ],
            warning=language_warning(embedder.name, [query]),
        )

    def _session_request(self, name: str, asker: Mapping[str, Any]) -> Request:
        session = self._talk.known_session(name, asker.get("user_id"))
        return self._talk.request(session, Asker(**{**asker, "user_id": session.user_id}))


def _given(**these: Any) -> dict[str, Any]:
    """The arguments that were given, as the Python calls take them."""
    return {
        name: to_jsonable_python(one, exclude_none=True) for name, one in these.items() if one is not None
    }


def _refuse(given: Mapping[str, Any], beside: str) -> None:
    """RequestError for arguments that have no place in a conversation."""
    for name in given:
        raise RequestError(f"{name} cannot be given beside {beside}", hint="say it in a message to recommend")


def told(error: TastemakerError) -> str:
    """What a model is told of an error; the hint that lists ids of other users is not for it."""
    return error.message if isinstance(error, UnknownUserError) else str(error)


def instructions(conversations: Conversations) -> str:
    """For the model: what the catalogue holds, and what conditions and situations can name."""
    dataset = conversations.recommender.dataset
    domain = load_domain(conversations.recommender.settings.domain)
    fields = ", ".join(f"{name} ({kind})" for name, kind in field_kinds(dataset.items.schema).items())
    known = ", ".join(dict.fromkeys(["time", *dataset.context_values, *domain.context]))
    return (
        f"Recommends {domain.words['en'].nouns} out of {len(dataset.item_ids):,}, with measured reasons. "
        f"Filters may name: {fields}. Fields of a situation: {known}. "
        "Name only what the tools return, and repeat their explanations as they stand."
    )
