"""The recommender as a chat model: what a person says goes in, a list with its reasons comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from tastemaker.agent.chat.chat import Asker, Reply
from tastemaker.agent.conversations import Conversations, Said, new_session_id
from tastemaker.agent.requests import LanguageChoice
from tastemaker.errors import RequestError


class ChatRecommender(BaseChatModel):
    """Conversations with the recommender behind LangChain's chat model.

    Without ``session_id`` a conversation is known by the messages that are sent, so plain LangChain memory
    works; the list comes first when streamed, then its reasons. ``response_metadata`` of the answer holds
    ``session_id`` and ``reply``: the structured answer, as ``POST /v1/chat/completions`` gives it.

    Example::

        model = ChatRecommender(conversations=talk, user_id="196")
        print(model.invoke("something funny from the nineties").content)

    Raises, when invoked:
        InputError: the last message is no person's, or cannot be used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    conversations: Conversations
    user_id: str | None = None
    session_id: str | None = None
    context: Mapping[str, Any] = Field(default_factory=dict)
    k: int = Field(default=5, ge=1, le=1_000)
    language: LanguageChoice = "auto"

    @property
    def _llm_type(self) -> str:
        return "tastemaker"

    @property
    def _asker(self) -> Asker:
        return Asker(user_id=self.user_id, context=self.context, k=self.k, language=self.language)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        said, session_id = self._begin(messages, kwargs.get("session_id"))
        reply = self.conversations.turn(session_id, said[-1][1], self._asker)
        self._remember(said, session_id, reply)
        message = AIMessage(content=reply.text, response_metadata=_metadata(reply, session_id))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        said, session_id = self._begin(messages, kwargs.get("session_id"))
        sent, reply = "", None
        for reply in self.conversations.stream(session_id, said[-1][1], self._asker):
            new, sent = reply.text[len(sent) :], reply.text
            if new:
                yield ChatGenerationChunk(message=AIMessageChunk(content=new))
        if reply is not None:
            self._remember(said, session_id, reply)
            # Metadata of chunks are merged by adding texts up, so only one chunk may have them.
            last = AIMessageChunk(content="", response_metadata=_metadata(reply, session_id))
            yield ChatGenerationChunk(message=last)

    def _begin(self, messages: Sequence[BaseMessage], session_id: str | None) -> tuple[Said, str]:
        said = [(_role(one), str(one.text)) for one in messages if isinstance(one, (HumanMessage, AIMessage))]
        if not said or said[-1][0] != "user":
            raise RequestError("the last message is not a person's; a HumanMessage is wanted")
        session_id = session_id or self.session_id
        return said, session_id or self._found(said[:-1])

    def _found(self, earlier: Said) -> str:
        if not earlier:
            return new_session_id()
        known = self.conversations.known_as(earlier, self.user_id)
        if known is not None:
            return known
        session_id = new_session_id()
        self.conversations.replay(session_id, [text for role, text in earlier if role == "user"], self._asker)
        return session_id

    def _remember(self, said: Said, session_id: str, reply: Reply) -> None:
        self.conversations.remember([*said, ("assistant", reply.text)], session_id, self.user_id)


def _role(message: BaseMessage) -> str:
    return "user" if isinstance(message, HumanMessage) else "assistant"


def _metadata(reply: Reply, session_id: str) -> dict[str, Any]:
    return {"session_id": session_id, "reply": reply.to_dict()}
