"""The recommender's tools for LangChain agents, and an agent that uses them.

They are the tools of ``agent.tools``, less what a model must not choose: who asks and in which conversation.
Both are the program's, the conversation being LangGraph's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field, ValidationError, create_model

from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.conversations import Conversations, new_session_id
from tastemaker.agent.requests import as_context
from tastemaker.agent.tools import (
    Candidates,
    Conditions,
    FeedbackEvent,
    Given,
    Tools,
    Value,
    instructions,
    told,
)
from tastemaker.errors import RequestError, TastemakerError

ToolName = Literal["recommend", "explain", "search_catalogue", "rerank", "feedback"]
MAX_WRONG_CALLS = 3
"""Calls in one turn that cannot be answered, after which no more are made."""

Told = tuple[str, dict[str, Any]]
"""What the model reads, and the structured answer for the program (``ToolMessage.artifact``)."""


class _Toolbox:
    """The tools of one asker. Their docstrings are what a model reads."""

    def __init__(self, conversations: Conversations, asker: Asker) -> None:
        self._tools, self._asker = Tools(conversations), asker
        self._situation: dict[str, Value] | None = {**as_context(asker.context).as_mapping()} or None
        # Whoever runs tools without a thread has one conversation with them.
        self._session = new_session_id()

    def recommend(
        self,
        message: Annotated[str, Field(description="What the person said, in their own words.")],
        config: RunnableConfig,
    ) -> Told:
        """Recommend items, refine the list, note what the person likes, dislikes or has seen, answer why.

        Use it for every wish, critique, opinion or question about the list. The answer names the items and
        can be repeated as it stands.
        """
        answer = self._tools.recommend(
            message=message,
            session_id=self._thread(config),
            user_id=self._asker.user_id,
            context=self._situation,
            k=self._asker.k,
            language=self._asker.language,
        )
        assert answer.reply is not None
        return answer.reply.text, answer.model_dump(mode="json")

    def explain(
        self,
        item: Annotated[str, Field(description="Id or title of an item of the catalogue.")],
        config: RunnableConfig,
        kind: Annotated[
            Literal["why", "why_not"], Field(description="In the list, or kept out of it.")
        ] = "why",
    ) -> Told:
        """Measure what puts an item into the list last shown, or what keeps it out."""
        answer = self._tools.explain(item, kind, session_id=self._thread(config), user_id=self._asker.user_id)
        return _json(answer)

    def search_catalogue(
        self,
        query: Annotated[str, Field(description="What to look for: free words or a title.")],
        filters: Conditions = None,
        k: Annotated[int, Field(ge=1, le=100, description="How many items.")] = 10,
    ) -> Told:
        """Look items up by meaning or title, for nobody in particular; recommend finds what suits."""
        return _json(self._tools.search_catalogue(query, filters, k))

    def rerank(
        self,
        candidates: Candidates,
        wish: Annotated[str, Field(description="What is wanted now.")] = "",
        top_n: Annotated[int | None, Field(ge=1, description="How many come back; default: all.")] = None,
    ) -> Told:
        """Order texts of your own, from any source, for the present wish and situation."""
        return _json(self._tools.rerank(candidates, wish=wish, context=self._situation, top_n=top_n))

    def feedback(
        self,
        item: Annotated[str, Field(description="Id or title of an item of the catalogue.")],
        event: Annotated[str, Field(description="like, dislike, seen, not_now, click …")],
        config: RunnableConfig,
    ) -> Told:
        """Note what the person did with an item outside of this conversation; it counts in the next list."""
        one = {"item": item, "event": event, "session_id": self._thread(config)}
        told = FeedbackEvent.model_validate({**one, "user_id": self._asker.user_id})
        return _json(self._tools.feedback([told]))

    def _thread(self, config: RunnableConfig) -> str:
        return str(config.get("configurable", {}).get("thread_id") or self._session)


def recommender_tools(
    conversations: Conversations,
    asker: Asker | None = None,
    *,
    only: Sequence[ToolName] | None = None,
    verbatim: bool = False,
) -> list[BaseTool]:
    """Tools for an agent that talks with one person.

    Args:
        asker: who that is, and what holds for the whole conversation.
        only: the tools that are wanted; a small model does best with ("recommend",), which understands whole
            conversations.
        verbatim: the answer of ``recommend`` is the agent's own, so that nothing can be named that the
            catalogue lacks.

    A call that cannot be answered comes back as a tool message that says what to do.
    """
    box = _Toolbox(conversations, asker or Asker())
    made = (box.recommend, box.explain, box.search_catalogue, box.rerank, box.feedback)
    known = {tool.__name__: tool for tool in made}
    if unknown := [name for name in only or () if name not in known]:
        raise RequestError(f"there is no tool {unknown[0]!r}; known are {', '.join(known)}")
    return [
        _tool(known[name], return_direct=verbatim and name == "recommend")
        for name in (known if only is None else only)
    ]


def recommender_agent(
    model: str | BaseChatModel,
    conversations: Conversations,
    *,
    asker: Asker | None = None,
    only: Sequence[ToolName] | None = None,
    verbatim: bool = True,
    checkpointer: Any = None,
    **more: Any,
) -> Any:
    """An agent of LangChain's ``create_agent`` over these tools; a thread is a conversation.

    Args:
        model: any chat model that calls tools: LangChain's "provider:name", or ``ChatLanguageModel``.
        asker, only, verbatim: see ``recommender_tools``.
        checkpointer: keeps the threads; by default in memory. The recommender's own side of a conversation
            is in the store of ``conversations`` in any case.
        more: for ``create_agent``: ``middleware``, ``response_format`` …

    A call that cannot be answered goes back to the model, which may mend it; after ``MAX_WRONG_CALLS`` of
    them what was wrong is the answer.

    Example::

        agent = recommender_agent("openai:gpt-5-mini", talk, asker=Asker(user_id="196"))
        thread = {"configurable": {"thread_id": "evening"}}
        agent.invoke({"messages": [("user", "something funny")]}, thread)["messages"][-1].text
    """
    # Importing langchain.agents takes a second, which the other parts need not wait for.
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    ends = [_ending()] if verbatim else []
    return create_agent(
        model,
        recommender_tools(conversations, asker, only=only),
        middleware=[*ends, *more.pop("middleware", ())],
        system_prompt=more.pop("system_prompt", None) or instructions(conversations),
        checkpointer=InMemorySaver() if checkpointer is None else checkpointer,
        **more,
    )


def _ending() -> Any:
    """Middleware that ends the turn with what ``recommend`` said.

    LangChain's ``return_direct`` would end it with an error too, before the model could call again.
    """
    from langchain.agents.middleware import before_model

    @before_model(can_jump_to=["end"])
    def end_with_the_answer(state: Any, _runtime: Any) -> dict[str, Any] | None:
        said, wrong = [], 0
        for one in reversed(state["messages"]):
            if isinstance(one, HumanMessage):
                break
            wrong += isinstance(one, ToolMessage) and one.status == "error"
        for one in reversed(state["messages"]):
            if not isinstance(one, ToolMessage):
                break
            said.append(one)
        answered = bool(said) and all(one.name == "recommend" and one.status != "error" for one in said)
        return {"jump_to": "end"} if answered or (said and wrong >= MAX_WRONG_CALLS) else None

    return end_with_the_answer


def _tool(function: Callable[..., Told], *, return_direct: bool) -> BaseTool:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Told:
        try:
            return function(*args, **kwargs)
        except TastemakerError as error:
            raise ToolException(told(error)) from error

    tool = StructuredTool.from_function(
        call,
        response_format="content_and_artifact",
        return_direct=return_direct,
        handle_tool_error=True,
        handle_validation_error=_wrong,
    )
    # What a model makes up is told it and not dropped: the call would mean something else.
    loose: Any = tool.args_schema
    tool.args_schema = create_model(loose.__name__, __base__=(loose, Given))
    return tool


def _wrong(error: ValidationError) -> str:
    """What of a call does not fit, and what would, for the model to call again."""
    told = [
        f"there is no argument {'.'.join(map(str, one['loc']))!r}"
        if one["type"] == "extra_forbidden"
        else f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
        for one in error.errors()[:3]
    ]
    return f"The call cannot be used: {'; '.join(told)}. Call it again with the arguments of its schema only."


def _json(answer: BaseModel) -> Told:
    return answer.model_dump_json(exclude_none=True), answer.model_dump(mode="json")
