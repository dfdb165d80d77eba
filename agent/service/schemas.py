"""What clients send, checked before anything is asked. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tastemaker.agent.reranker import MAX_CANDIDATES
from tastemaker.types import MAX_WISH_CHARS

Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Wish = Annotated[str, StringConstraints(max_length=MAX_WISH_CHARS)]
Lang = Literal["auto", "en", "zh"]
Situation = dict[
    Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=500)]
]
History = Annotated[list[str | dict[str, Any]], Field(max_length=10_000)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Question(Body):
    """The arguments of ``Recommender.recommend``."""

    user_id: Id | None = None
    history: History | None = None
    session: Annotated[list[dict[str, Any]], Field(max_length=1_000)] = []
    wish: Wish = ""
    context: Situation = {}
    k: Annotated[int, Field(ge=1, le=100)] = 10
    filters: Annotated[list[Annotated[str, StringConstraints(max_length=500)]], Field(max_length=50)] = []
    exclude: Annotated[list[Id], Field(max_length=10_000)] = []
    language: Lang = "auto"
    understand: bool = True


class RecommendBody(Question):
    """``session_id``: the list that a conversation's present state stands for, with its own wish."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "196", "wish": "something light", "context": {"company": "family"}, "k": 5},
                {"history": ["Alien (1979)"], "wish": "a comedy before 1990"},
            ]
        },
    )
    session_id: Id | None = None
    explain: bool = True


class ExplainBody(Question):
    """Why ``item`` stands where it does in the answer to a question or a conversation, or why it does not."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"user_id": "196", "item": "Fargo (1996)", "kind": "why_not"}]},
    )
    item: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    kind: Literal["why", "why_not"] = "why"
    session_id: Id | None = None


class EventBody(Body):
    """Something that happened to an item. The same ``event_id`` again is the same event."""

    event_id: Id
    event: Id
    item_id: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    user_id: Id | None = None
    session_id: Id | None = None
    request_id: Id | None = None
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    time: Annotated[float, Field(ge=0, le=1e11)] | None = None


class FeedbackBody(Body):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"event_id": "9b1c", "event": "like", "item_id": "50", "session_id": "evening-1"}
                    ]
                }
            ]
        },
    )
    events: Annotated[list[EventBody], Field(min_length=1, max_length=1_000)]


class SessionChange(Body):
    wishes: Annotated[list[Wish], Field(max_length=20)] | None = None
    filters: Annotated[list[Wish], Field(max_length=50)] | None = None
    exclude: Annotated[list[Wish], Field(max_length=100)] | None = None
    context: Situation | None = None
    events: Annotated[list[dict[str, Any]], Field(max_length=200)] | None = None


Document = str | dict[str, Any]


class RerankBody(Body):
    """Cohere's and Jina's dialect, with a person and a moment beside it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": "light and funny", "documents": ["Toy Story (1995)", "Alien (1979)"], "top_n": 1}
            ]
        },
    )
    query: Wish
    documents: Annotated[list[Document], Field(max_length=MAX_CANDIDATES)]
    model: str | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    max_chunks_per_doc: int | None = None
    max_tokens_per_doc: int | None = None
    history: History = []
    context: Situation = {}


class TeiRerankBody(Body):
    """The dialect of text-embeddings-inference; with ``documents`` instead of ``texts``, Jina's."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "light", "texts": ["Toy Story (1995)", "Alien (1979)"]}]},
    )
    query: Wish
    texts: Annotated[list[str], Field(max_length=MAX_CANDIDATES)] | None = None
    documents: Annotated[list[Document], Field(max_length=MAX_CANDIDATES)] | None = None
    raw_scores: Literal[False] = False
    return_text: bool = False
    return_documents: bool | None = None
    truncate: bool | None = None
    truncation_direction: str | None = None
    model: str | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    history: History = []
    context: Situation = {}


class Message(BaseModel):
    """Roles beside user and assistant are read over. Content may come in parts, of which texts count."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        parts = self.content or []
        texts = [part.get("text") for part in parts if part.get("type") == "text"]
        return " ".join(one for one in texts if isinstance(one, str))


class ChatBody(BaseModel):
    """OpenAI's request. Sampling settings are read over: nothing is sampled."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": "tastemaker",
                    "messages": [{"role": "user", "content": "something funny from the nineties"}],
                    "user": "196",
                }
            ]
        },
    )
    messages: Annotated[list[Message], Field(min_length=1, max_length=1_000)]
    model: str = "tastemaker"
    stream: bool = False
    user: Id | None = None
    session_id: Id | None = None
    context: Situation = {}
    k: Annotated[int, Field(ge=1, le=20)] = 5
    language: Lang = "auto"
