"""LangChain parts: the same answers as Python, in the shapes that LangChain's own classes expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import Field

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.langchain import (
    ChatLanguageModel,
    ChatRecommender,
    RecommenderCompressor,
    RecommenderRetriever,
    recommender_agent,
    recommender_tools,
)
from tastemaker.agent.store import Store
from tastemaker.errors import RequestError, UnknownUserError

FAN = "comedy-fan-3"
TURNS = ("a comedy", "older than the second one", "seen the first one", "why the last one", "undo")
ASKER = Asker(user_id=FAN)


class Scripted(BaseChatModel):
    """A chat model that says what it is given, one message after the other."""

    script: list[AIMessage]
    heard: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.offered[:] = [one.name for one in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.heard.append(messages)
        return ChatResult(generations=[ChatGeneration(message=self.script.pop(0))])


def calling(name: str, **args: Any) -> AIMessage:
    return AIMessage(content="", tool_calls=[{"name": name, "args": args, "id": f"call-{name}"}])


@pytest.fixture
def wanted(film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str]]]:
    """Text and list of every turn, from Python."""
    talk = Conversations(film_rec, Store.at(tmp_path_factory.mktemp("python") / "state.db"))
    replies = [talk.turn("s", text, ASKER) for text in TURNS]
    return [(one.text, list(one.state.shown)) for one in replies]


# Documents


def test_the_retriever_gives_the_recommended_items(film_rec: Recommender) -> None:
    question = {"user_id": FAN, "k": 4}
    found = RecommenderRetriever(recommender=film_rec, question=question).invoke("a classic comedy")
    answer = film_rec.recommend(**question, wish="a classic comedy")
    assert [one.id for one in found] == [item.id for item in answer.items]
    first = found[0]
    assert first.metadata["title"] == answer.items[0].title
    assert first.metadata["explanation"] == answer.items[0].explanation.text
    assert first.page_content.startswith(answer.items[0].title)
    assert [one.metadata["rank"] for one in found] == [1, 2, 3, 4]
    assert len({one.metadata["request_id"] for one in found}) == 1


def test_a_question_of_the_call_replaces_that_of_the_retriever(film_rec: Recommender) -> None:
    retriever = RecommenderRetriever(recommender=film_rec, question={"k": 4, "user_id": FAN})
    found = retriever.invoke("a comedy", k=2, filters=["year>=1990"])
    assert len(found) == 2
    with pytest.raises(UnknownUserError):
        retriever.invoke("a comedy", user_id="nobody")


def test_the_compressor_reranks_copies(film_rec: Recommender) -> None:
    documents = [
        Document(page_content=text, metadata={"source": text[:2]})
        for text in ("a space thriller", "a light comedy", "an opera")
    ]
    reranker = film_rec.reranker()
    compressor = RecommenderCompressor(reranker=reranker, history=["Alien (1979)"], top_n=2)
    found = compressor.compress_documents(documents, "light comedy")
    wanted = reranker.rerank(
        candidates=[one.page_content for one in documents],
        history=["Alien (1979)"],
        wish="light comedy",
        top_n=2,
    )
    assert [one.page_content for one in found] == [row.text for row in wanted]
    assert [one.metadata["relevance_score"] for one in found] == [row.score for row in wanted]
    assert found[0].metadata["source"] == found[0].page_content[:2]
    assert documents[1].metadata == {"source": "a "}, "what was given stays as it is"
    assert compressor.compress_documents([], "anything") == []
    with pytest.raises(RequestError, match="at most 1,000"):
        compressor.compress_documents(documents * 334, "light comedy")


# The recommender as a chat model


def test_the_chat_model_is_the_conversation(
    film_talk: Conversations, wanted: list[tuple[str, list[str]]]
) -> None:
    model = ChatRecommender(conversations=film_talk, user_id=FAN)
    said: list[BaseMessage] = [SystemMessage("This is not a person's.")]
    for text, (reply, shown) in zip(TURNS, wanted, strict=True):
        said.append(HumanMessage(text))
        answer = model.invoke(said)
        assert answer.content == reply
        assert answer.response_metadata["reply"]["state"]["shown"] == shown
        said.append(answer)
    assert all(len(one.turns) <= len(TURNS) for one in film_talk.store.sessions_of(FAN)), "nothing said twice"


def test_two_people_who_said_the_same_go_ways_of_their_own(film_talk: Conversations) -> None:
    model = ChatRecommender(conversations=film_talk)
    said = [HumanMessage("a comedy")]
    said.append(model.invoke(said))
    first = said[-1].response_metadata["reply"]["state"]["shown"]
    hers = model.invoke([*said, HumanMessage("seen the first one, and no thrillers")])
    his = model.invoke([*said, HumanMessage("older than the second one")])
    assert hers.response_metadata["reply"]["state"]["exclude"] == ["thriller"]
    state = his.response_metadata["reply"]["state"]
    assert (state["exclude"], state["events"]) == ([], [])
    again = model.invoke([*said, HumanMessage("seen the first one, and no thrillers")])
    assert [one["id"] for one in again.response_metadata["reply"]["state"]["events"]] == first[:1]


def test_it_streams_the_list_before_the_words(
    film_talk: Conversations, wanted: list[tuple[str, list[str]]]
) -> None:
    model = ChatRecommender(conversations=film_talk, user_id=FAN, session_id="s")
    chunks = list(model.stream(TURNS[0]))
    texts = [str(one.content) for one in chunks if one.content]
    assert "".join(texts) == wanted[0][0]
    assert len(texts) == 2, "the list, then its reasons"
    told = [one.response_metadata for one in chunks if one.response_metadata.get("reply")]
    assert len(told) == 1
    assert told[0]["reply"]["state"]["shown"] == wanted[0][1]
    assert told[0]["session_id"] == "s"


def test_a_conversation_from_elsewhere_is_said_again(
    film_talk: Conversations, wanted: list[tuple[str, list[str]]]
) -> None:
    model = ChatRecommender(conversations=film_talk, user_id=FAN)
    said = [HumanMessage(TURNS[0]), AIMessage("something else"), HumanMessage(TURNS[1])]
    assert model.invoke(said).response_metadata["reply"]["state"]["shown"] == wanted[1][1]
    with pytest.raises(RequestError, match="HumanMessage"):
        model.invoke([AIMessage("nobody asked")])


# Tools and agent


def test_tools_do_not_let_the_model_choose_the_user_or_the_session(film_talk: Conversations) -> None:
    tools = {one.name: one for one in recommender_tools(film_talk, ASKER)}
    assert list(tools) == ["recommend", "explain", "search_catalogue", "rerank", "feedback"]
    for one in tools.values():
        assert len(one.description) > 50
        assert not {"user_id", "session_id", "config"} & set(one.args)
        assert all("description" in told for told in one.args.values())
    assert [one.name for one in recommender_tools(film_talk, only=("explain",))] == ["explain"]
    with pytest.raises(RequestError, match="no tool 'buy'"):
        recommender_tools(film_talk, only=("buy",))  # type: ignore[arg-type]


def test_a_tool_answers_in_words_and_in_values(film_talk: Conversations, film_rec: Recommender) -> None:
    tools = {one.name: one for one in recommender_tools(film_talk, ASKER)}

    def call(name: str, **args: Any) -> ToolMessage:
        thread = {"configurable": {"thread_id": "t"}}
        found = tools[name].invoke({"type": "tool_call", "id": "1", "name": name, "args": args}, thread)
        assert isinstance(found, ToolMessage)
        return found

    first = call("recommend", message="a comedy")
    shown = first.artifact["reply"]["state"]["shown"]
    assert first.content == first.artifact["reply"]["text"]
    assert call("explain", item=shown[0]).artifact["why"]["id"] == shown[0]
    assert call("feedback", item=shown[0], event="not_now").artifact["new"] == [True]
    assert shown[0] not in call("recommend", message="what else?").artifact["reply"]["state"]["shown"]
    searched = call("search_catalogue", query="a thriller", k=3).artifact["items"]
    assert [one["id"] for one in searched] == [one.item.id for one in film_rec.search("a thriller", k=3)]
    ranked = call("rerank", candidates=["an opera", "a light comedy"], wish="light comedy")
    assert ranked.artifact["results"][0]["text"] == "a light comedy"
    lost = call("explain", item="Nonesuch")
    assert lost.status == "error"
    assert "no item has the id 'Nonesuch'" in lost.content
    assert call("search_catalogue", query="x", k=1_000).status == "error"


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("recommend", {"message": "a comedy", "user_id": "somebody"}, "no argument 'user_id'"),
        ("search_catalogue", {"query": "x", "kk": 3}, "no argument 'kk'"),
        ("search_catalogue", {"query": "x", "k": 1_000}, "k: Input should be less than or equal to 100"),
        ("feedback", {"item": "comedy-1", "event": "like", "session_id": "mine"}, "no argument 'session_id'"),
        ("rerank", {"candidates": [{"text": "x", "colour": "red"}]}, "colour"),
        ("explain", {}, "item: Field required"),
    ],
)
def test_what_a_model_makes_up_is_told_and_nothing_is_done(
    film_talk: Conversations, name: str, args: dict[str, Any], told: str
) -> None:
    [asked] = recommender_tools(film_talk, ASKER, only=(name,))  # type: ignore[arg-type]
    message = asked.invoke({"name": name, "args": args, "id": "1", "type": "tool_call"})
    assert message.status == "error"
    assert told in message.content
    assert set(film_talk.store.counts().values()) == {0}


def test_the_agent_mends_its_call_and_a_hopeless_one_ends(film_talk: Conversations) -> None:
    wrong = calling("recommend", message="a comedy", colour="red")
    model = Scripted(script=[wrong, calling("recommend", message="a comedy")])
    agent = recommender_agent(model, film_talk, asker=ASKER)
    messages = agent.invoke({"messages": [("user", "a comedy")]}, {"configurable": {"thread_id": "a"}})[
        "messages"
    ]
    assert "no argument 'colour'" in model.heard[-1][-1].text, "the error goes back to the model"
    assert messages[-1].artifact["reply"]["state"]["shown"]
    model.script += [wrong.model_copy(update={"id": str(at)}) for at in range(9)]
    messages = agent.invoke({"messages": [("user", "a comedy")]}, {"configurable": {"thread_id": "b"}})[
        "messages"
    ]
    assert "no argument 'colour'" in messages[-1].text
    assert len(model.script) == 6, "three calls and no more"


def test_an_agent_holds_the_conversation(
    film_talk: Conversations, wanted: list[tuple[str, list[str]]]
) -> None:
    model = Scripted(script=[calling("recommend", message=text) for text in TURNS])
    agent = recommender_agent(model, film_talk, asker=ASKER)
    thread = {"configurable": {"thread_id": "evening"}}
    for text, (reply, shown) in zip(TURNS, wanted, strict=True):
        last = agent.invoke({"messages": [("user", text)]}, thread)["messages"][-1]
        assert last.content == reply, "verbatim: no model says it in its own words"
        assert last.artifact["reply"]["state"]["shown"] == shown
    assert "films out of 40" in str(model.heard[0][0].content)
    assert [str(one.content) for one in model.heard[-1] if isinstance(one, HumanMessage)] == list(TURNS)
    other = {"configurable": {"thread_id": "another"}}
    model.script.append(calling("recommend", message="undo"))
    answer = agent.invoke({"messages": [("user", "undo")]}, other)["messages"][-1]
    assert "nothing to take back" in answer.content, "another thread is another conversation"


def test_a_model_that_words_the_answer_itself_sees_what_the_tool_said(film_talk: Conversations) -> None:
    model = Scripted(script=[calling("recommend", message="a comedy"), AIMessage("Here you are.")])
    agent = recommender_agent(model, film_talk, asker=ASKER, verbatim=False)
    thread = {"configurable": {"thread_id": "evening"}}
    messages = agent.invoke({"messages": [("user", "something funny")]}, thread)["messages"]
    assert messages[-1].content == "Here you are."
    assert model.heard[-1][-1].content == messages[-2].content
    assert model.offered == ["recommend", "explain", "search_catalogue", "rerank", "feedback"]


# Our language models as LangChain's


class Chooser:
    """A language model that finds what it prefers likeliest, and writes one text."""

    def __init__(self, prefers: str, text: str = "") -> None:
        self.prefers, self.text, self.asked = prefers, text, 0

    def score(self, prompts: Sequence[Any]) -> list[Any]:
        import numpy as np

        self.asked += 1
        return [np.array([float(self.prefers in choice) for choice in one.choices]) for one in prompts]

    def generate(self, prompts: Sequence[Any], *, max_new_tokens: int) -> list[str]:
        return [self.text for _ in prompts]


def test_a_small_model_only_chooses(film_talk: Conversations) -> None:
    @tool
    def lamp(colour: str, room: str = "here") -> str:
        """Light a lamp."""
        return f"{colour} {room}"

    model = ChatLanguageModel.model_construct(language_model=Chooser('"explain"'), max_new_tokens=9)
    tools = recommender_tools(film_talk, ASKER, only=("recommend", "explain"))
    [call] = model.bind_tools(tools).invoke("why The Red Comedy").tool_calls
    assert call["name"] == "explain"
    assert call["args"] == {"item": "why The Red Comedy"}, "texts are the person's own words"
    [call] = model.bind_tools([lamp]).invoke("green").tool_calls
    assert call["args"] == {"colour": "green"}
    answered = model.bind_tools([lamp]).invoke(
        [HumanMessage("green"), AIMessage("", tool_calls=[call]), ToolMessage("green here", tool_call_id="1")]
    )
    assert answered.content == "green here"
    rerank = recommender_tools(film_talk, only=("rerank",))
    with pytest.raises(RequestError, match="'rerank' wants 'candidates'"):
        model.bind_tools(rerank)
    with pytest.raises(RequestError, match="no tool 'sing'"):
        model.bind_tools([lamp], tool_choice="sing")


def test_a_choice_among_values_is_scored() -> None:
    schema = {
        "name": "paint",
        "description": "Paint.",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "blue"]}},
            "required": ["colour"],
        },
    }
    model = ChatLanguageModel.model_construct(language_model=Chooser("blue"), max_new_tokens=9)
    [call] = model.bind_tools([schema]).invoke("the colour of the sky").tool_calls
    assert call["args"] == {"colour": "blue"}


def test_without_tools_it_writes() -> None:
    model = ChatLanguageModel.model_construct(language_model=Chooser("", "one. two."), max_new_tokens=9)
    assert model.invoke("count").content == "one. two."
    assert model.invoke("count", stop=["."]).content == "one"


@pytest.mark.weights
def test_the_real_model_drives_the_agent(
    film_talk: Conversations, wanted: list[tuple[str, list[str]]]
) -> None:
    from tastemaker.agent.llm_load import load_language_model
    from tastemaker.config import Settings

    model = ChatLanguageModel(language_model=load_language_model(Settings(llm="qwen2.5-coder-0.5b-instruct")))
    agent = recommender_agent(model, film_talk, asker=ASKER, only=("recommend",))
    thread = {"configurable": {"thread_id": "evening"}}
    for text, (reply, _) in zip(TURNS, wanted, strict=True):
        assert agent.invoke({"messages": [("user", text)]}, thread)["messages"][-1].content == reply
    both = recommender_tools(film_talk, ASKER, only=("recommend", "search_catalogue"))
    choosing = model.bind_tools(both)
    for text, name in (
        ("Recommend me something funny for tonight", "recommend"),
        ("search the catalogue for submarine films", "search_catalogue"),
    ):
        [call] = choosing.invoke(text).tool_calls
        assert (call["name"], list(call["args"].values())) == (name, [text])
