"""The MCP server: its tools answer as the Python calls do, and no mistake of a caller ends it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from typer.testing import CliRunner

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.cli.index import app as index_app
from tastemaker.agent.cli.mcp import mcp as mcp_command
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.mcp import build_server
from tastemaker.agent.reranker import Reranker
from tastemaker.agent.store import Store
from tastemaker.errors import InputError, MissingExtraError
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data, taste_of
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace

FAN = "comedy-fan-3"
TURNS = (
    "a funny comedy",
    "older than the second one",
    "I have seen number 1",
    "why number 1?",
    "what else?",
)

LAUNCHER = """
import sys
import typer
import tastemaker.agent.assemble
from tastemaker.agent.cli.mcp import mcp
from tastemaker.testing.embedders import HashEmbedder

def load(source, progress=None):
    print("a library that talks while it loads")
    return HashEmbedder()

tastemaker.agent.assemble.load_embedder = load
typer.run(mcp)
"""
"""The command with the embedding model replaced by the shipped fake."""


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("agent.assemble", "agent.reranker", "index.embeddings"):
        monkeypatch.setattr(f"tastemaker.{place}.load_embedder", lambda source, progress=None: HashEmbedder())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Workspace(tmp_path_factory.mktemp("films") / "workspace")
    dataset = film_data()
    dataset.save(place.data)
    build_index(dataset, place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\nexplain: template\n")
    return place.root


@pytest.fixture
def rec(made: Path) -> Recommender:
    return Recommender.load(made)


@pytest.fixture
def talk(rec: Recommender, tmp_path: Path) -> Iterator[Conversations]:
    store = Store.at(tmp_path / "state.db")
    yield Conversations(rec, store)
    store.close()


def with_client(server: Any, work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    """What ``work`` makes of a client that is connected to ``server``."""

    async def connected() -> Any:
        async with Client(server, **options) as client:
            return await work(client)

    return anyio.run(connected)


class Caller:
    """Calls tools one by one over one connection each, in this process."""

    def __init__(self, talk: Conversations) -> None:
        self.server = build_server(talk)

    def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self._result(tool, arguments)
        assert not result.is_error, result.content[0].text
        assert json.loads(result.content[0].text) == result.structured_content
        return result.structured_content

    def fails(self, tool: str, **arguments: Any) -> str:
        result = self._result(tool, arguments)
        assert result.is_error
        assert "Traceback" not in result.content[0].text
        return result.content[0].text

    def _result(self, tool: str, arguments: dict[str, Any]) -> Any:
        return with_client(self.server, lambda client: client.call_tool(tool, arguments))


@pytest.fixture
def call(talk: Conversations) -> Caller:
    return Caller(talk)


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one call to the next."""
    trace = {name: value for name, value in answer["trace"].items() if name != "timings_ms"}
    return {**{name: value for name, value in answer.items() if name != "request_id"}, "trace": trace}


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["recommendation"]["items"]]


def test_tools_are_described_with_their_schemas(call: Caller) -> None:
    async def look(client: Client) -> Any:
        return client.instructions, (await client.list_tools()).tools

    instructions, tools = with_client(call.server, look)
    assert "films out of 40" in instructions
    assert "genres (values), year (number)" in instructions
    assert "time, company" in instructions
    found = {tool.name: tool for tool in tools}
    assert list(found) == ["recommend", "explain", "rerank", "feedback", "search_catalogue"]
    for tool in tools:
        assert len(tool.description) > 50
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema["type"] == "object"
        for name, argument in tool.input_schema["properties"].items():
            assert "description" in argument or name == "events", f"{tool.name}.{name}"
    recommend = found["recommend"].input_schema
    assert list(recommend["properties"]) == [
        "message", "session_id", "user_id", "history", "wish", "context", "filters", "exclude", "k",
        "language",
    ]  # fmt: skip
    assert "required" not in recommend
    assert recommend["properties"]["k"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert recommend["properties"]["language"]["enum"] == ["auto", "en", "zh"]
    assert found["explain"].input_schema["properties"]["kind"]["enum"] == ["why", "why_not"]
    assert found["explain"].input_schema["required"] == ["item"]
    assert found["rerank"].input_schema["required"] == ["candidates"]
    event = found["feedback"].input_schema["$defs"]["FeedbackEvent"]
    assert event["required"] == ["item", "event"]
    assert set(found["recommend"].output_schema["properties"]) == {"reply", "recommendation"}
    assert {tool.name: tool.annotations.read_only_hint for tool in tools} == {
        "recommend": False, "explain": True, "rerank": True, "feedback": False, "search_catalogue": True
    }  # fmt: skip


def test_a_conversation_is_the_one_of_python(call: Caller, rec: Recommender, tmp_path: Path) -> None:
    other = Conversations(rec, Store.at(tmp_path / "other.db"))

    async def converse(client: Client) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = []
        for text in TURNS:
            session = {"session_id": replies[-1]["reply"]["session_id"]} if replies else {"user_id": FAN}
            result = await client.call_tool("recommend", {"message": text, **session})
            assert not result.is_error
            replies.append(result.structured_content)
        return replies

    replies = with_client(call.server, converse)
    assert len({one["reply"]["session_id"] for one in replies}) == 1
    for text, got in zip(TURNS, replies, strict=True):
        wanted = other.turn("other", text, Asker(user_id=FAN)).to_dict()
        for name in ("kind", "text", "asks", "about"):
            assert got["reply"][name] == wanted[name]
        assert (got["recommendation"] is None) == (wanted["recommendation"] is None)
        if wanted["recommendation"] is not None:
            assert timeless(got["recommendation"]) == timeless(wanted["recommendation"])
    kinds = [one["recommendation"] is not None for one in replies]
    assert kinds == [True, True, True, False, True]
    assert len(ids(replies[0])) == 5
    assert replies[0]["recommendation"]["user_id"] == FAN
    assert ids(replies[1])[0] not in ids(replies[2])  # seen
    assert not {*ids(replies[2])} & {*ids(replies[4])}  # what else?
    other.store.close()


def test_plain_arguments_answer_as_recommend_does(call: Caller, rec: Recommender) -> None:
    question: dict[str, Any] = {
        "user_id": FAN,
        "history": ["The Navy Comedy", {"id": "thriller-2", "rating": 5}, {"title": "Not of this catalogue"}],
        "wish": "a thriller, nothing before 1990",
        "context": {"time": "2026-11-28T21:30", "company": "alone", "mood": 3},
        "filters": ["year<2015"],
        "exclude": ["thriller-9"],
        "k": 7,
        "language": "en",
    }
    got = call("recommend", **question)
    assert got["reply"] is None
    assert timeless(got["recommendation"]) == timeless(rec.recommend(**question).to_dict())
    assert len(ids(got)) == 7
    assert "thriller-9" not in ids(got)
    assert got["recommendation"]["understood"] is not None
    assert len(ids(call("recommend"))) == 10
    # Some clients send nested values as JSON texts.
    told = call("recommend", history='["thriller-2"]', k=3)
    assert ids(told) == [item.id for item in rec.recommend(history=["thriller-2"], k=3)]


def test_explanations_are_those_of_why_and_why_not(call: Caller, rec: Recommender) -> None:
    question = {"user_id": FAN, "wish": "a comedy", "k": 3}
    first, *_, last = [item.id for item in rec.recommend(user_id=FAN, wish="a comedy", k=15)]
    got = call("explain", item=first, **question)
    assert got == {"why": rec.why(first, **question).to_dict(), "why_not": None}
    assert {piece["kind"] for piece in got["why"]["evidence"]} >= {"history", "wish"}
    got = call("explain", item=rec.dataset.item(last).title, kind="why_not", **question)
    assert got == {"why": None, "why_not": rec.why_not(last, **question).to_dict()}
    assert (got["why_not"]["standing"], got["why_not"]["rank"]) == ("outranked", 15)


def test_explanations_of_a_session_know_what_was_said(call: Caller) -> None:
    begun = call("recommend", message="a comedy before 2000", session_id="evening", user_id=FAN)
    assert begun["reply"]["session_id"] == "evening"
    first = ids(begun)[0]
    why = call("explain", item=first, session_id="evening")["why"]
    assert (why["id"], why["rank"]) == (first, 1)
    assert {piece["ref"] for piece in why["evidence"] if piece["kind"] == "history"} & {
        "comedy-4", "comedy-5", "comedy-6", "comedy-7", "comedy-8", "comedy-9", "comedy-10", "comedy-11"
    }  # fmt: skip
    got = call("explain", item="comedy-19", kind="why_not", session_id="evening")["why_not"]
    assert (got["standing"], got["conditions"]) == ("filtered", ["year < 2000"])
    told = call.fails("explain", item=first, session_id="evening", user_id="comedy-fan-4")
    assert "session 'evening' is another user's" in told


def test_feedback_counts_in_the_next_list_and_only_once(call: Caller, talk: Conversations) -> None:
    begun = call("recommend", message="something nice", session_id="s", user_id="thriller-fan-3")
    first = ids(begun)[0]
    assert {taste_of(one) for one in ids(begun)} == {"thriller"}
    events = [
        {"item": first, "event": "not_now", "request_id": begun["recommendation"]["request_id"], "id": "e-1"},
        {"item": "The Fawn Comedy", "event": "like", "session_id": "s"},
    ]
    kept = call("feedback", events=events)
    assert (kept["new"], kept["unjoined"]) == ([True, True], [])
    assert kept["ids"][0] == "e-1"
    assert call("feedback", events=events[:1])["new"] == [False]
    after = call("recommend", message="what else?", session_id="s")
    assert first not in ids(after)
    assert "comedy" in {taste_of(one) for one in ids(after)}
    stored = {one.item_id: one for one in talk.store.events()}
    assert set(stored) == {first, "comedy-5"}
    assert (stored[first].session_id, stored[first].user_id) == ("s", "thriller-fan-3")


def test_feedback_knows_lists_that_were_asked_for_once(call: Caller, talk: Conversations) -> None:
    answer = call("recommend", user_id=FAN, k=3)
    told = {"item": ids(answer)[0], "event": "click", "request_id": answer["recommendation"]["request_id"]}
    call("feedback", events=[told])
    [event] = talk.store.events()
    assert (event.user_id, event.event, event.session_id) == (FAN, "click", None)
    gone = {**told, "request_id": "gone", "user_id": FAN, "id": "late"}
    kept = call("feedback", events=[gone])
    assert (kept["new"], kept["unjoined"]) == ([True], ["late"])
    assert talk.store.events()[1].request_id is None


def test_reranking_needs_no_catalogue(call: Caller, made: Path) -> None:
    question: dict[str, Any] = {
        "candidates": ["a space thriller", {"text": "a light comedy", "id": "x"}, {"text": "an opera"}],
        "history": ["Alien (1979)"],
        "wish": "light comedy",
        "context": {"company": "family"},
    }
    got = call("rerank", **question)
    wanted = Reranker.load(made).rerank(**question).to_dict()
    assert got["results"] == wanted["results"]
    assert got["results"][0]["index"] == 1
    assert {row["id"] for row in got["results"]} == {"0", "x", "2"}
    assert got["trace"]["degraded"] == "no language model is configured (llm: none)"
    assert [row["id"] for row in call("rerank", **question, top_n=1)["results"]] == ["x"]


def test_the_catalogue_is_searched_as_on_the_command_line(call: Caller, made: Path) -> None:
    got = call("search_catalogue", query="a thriller about navy", filters=["year>=2000"], k=4)
    words = [
        "search",
        "a thriller about navy",
        "-w",
        str(made),
        "--filter",
        "year>=2000",
        "-k",
        "4",
        "--json",
    ]
    told = json.loads(CliRunner().invoke(index_app, words).stdout)
    assert got == {**told, "warning": None}
    assert got["items"][0]["id"] == "thriller-13"
    assert call("search_catalogue", query="x", filters=["year>3000"])["items"] == []


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("recommend", {"user_id": "nobody"}, "no user has the id 'nobody'"),
    (
        "recommend",
        {"filters": ["colour==red"]},
        "no item has a field 'colour'; known are description, genres",
    ),
    ("recommend", {"filters": ["year"]}, "filter 'year' is not FIELD OP VALUE (write it"),
    ("recommend", {"context": {"time": "soon"}}, "is not ISO 8601 (write it like time=2026-11-28T21:30)"),
    ("recommend", {"history": [{}]}, "neither an id nor a title"),
    ("recommend", {"wish": "x" * 2001}, "the wish has 2,001 characters"),
    ("recommend", {"session_id": "s"}, "a session_id needs a message (leave it out to ask once)"),
    ("recommend", {"message": " "}, "the turn is empty; say what you would like"),
    ("recommend", {"message": "x", "session_id": " "}, "a text of 1 to 200 characters is wanted"),
    ("recommend", {"message": "x", "wish": "y"}, "wish cannot be given beside message (say it in a message"),
    ("recommend", {"message": "x", "user_id": "nobody"}, "no user has the id 'nobody'"),
    ("recommend", {"k": 0}, "k is 0: Input should be greater than or equal to 1"),
    ("recommend", {"k": "many"}, "k is 'many': Input should be a valid integer"),
    ("recommend", {"wihs": "funny"}, "wihs is 'funny': Extra inputs are not permitted"),
    ("recommend", {"language": "fr"}, "language is 'fr': Input should be 'auto', 'en' or 'zh'"),
    ("explain", {}, "item is {}: Field required"),
    ("explain", {"item": "Nonesuch"}, "no item has the id 'Nonesuch'"),
    (
        "explain",
        {"item": "comedy-1", "session_id": "s"},
        "there is no session 's' (a conversation's first turn",
    ),
    ("explain", {"item": "comedy-19", "filters": ["year<1990"]}, "is not among the"),
    ("rerank", {"candidates": ["a", {"text": " "}]}, "candidate 1 has no text"),
    ("rerank", {"candidates": ["a"] * 1001}, "1,001 candidates; at most 1,000 are ranked"),
    ("feedback", {"events": [{"item": "Nonesuch", "event": "like"}]}, "no item has the id 'Nonesuch'"),
    (
        "feedback",
        {"events": [{"item": "comedy-1"}]},
        "events.0.event is {'item': 'comedy-1'}: Field required",
    ),
    (
        "feedback",
        {"events": [{"item": "comedy-1", "event": "taken_back", "user_id": "u"}]},
        "the event 'taken_back' is the service's own",
    ),
    ("search_catalogue", {"query": " "}, "the text to search for is empty"),
    ("nonesuch", {}, "Unknown tool: nonesuch"),
]


def test_what_cannot_be_used_is_a_tool_error_that_says_why(call: Caller, talk: Conversations) -> None:
    for tool, arguments, says in WRONG:
        told = call.fails(tool, **arguments)
        assert says in told, (tool, arguments)
        assert "\n" not in told
    assert talk.store.counts() == {"sessions": 0, "impressions": 0, "events": 0}
    assert len(ids(call("recommend"))) == 10


def test_a_fault_of_ours_tells_nothing_of_its_insides(
    call: Caller, rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "recommend_batch", broken)
        assert call.fails("recommend") == "Error executing tool recommend"
    assert len(ids(call("recommend"))) == 10


def test_the_event_loop_is_free_while_models_work(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    real = Recommender.recommend_batch

    def slow(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(Recommender, "recommend_batch", slow)

    async def both(client: Client) -> list[str]:
        order = []

        async def ask() -> None:
            assert not (await client.call_tool("recommend", {"k": 1})).is_error
            order.append("recommend")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.to_thread.run_sync(begun.wait, 60)
            assert not (await client.call_tool("search_catalogue", {"query": "navy"})).is_error
            order.append("search")
            go_on.set()
        return order

    assert with_client(call.server, both) == ["search", "recommend"]


def test_turns_of_one_session_that_come_at_once_are_all_kept(call: Caller, talk: Conversations) -> None:
    async def at_once(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(1, 5):
                said = {"message": f"I like The Amber Comedy, turn {number}", "session_id": "s"}
                tasks.start_soon(client.call_tool, "recommend", said)

    with_client(call.server, at_once)
    assert len(talk.session("s").turns) == 4


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("launcher") / "launch.py"
    path.write_text(LAUNCHER)
    return path


async def over_the_wire(client: Client) -> list[str]:
    """Two turns, a mistake between them; the ids of the last list."""
    begun = await client.call_tool("recommend", {"message": "a funny comedy", "user_id": FAN})
    name = begun.structured_content["reply"]["session_id"]
    wrong = await client.call_tool("recommend", {"user_id": "nobody"})
    assert wrong.is_error
    assert "no user has the id 'nobody'" in wrong.content[0].text
    after = await client.call_tool("recommend", {"message": "older than the second one", "session_id": name})
    return ids(after.structured_content)


@pytest.fixture
def wanted(talk: Conversations) -> list[str]:
    """What Python answers to the turns of ``over_the_wire``."""
    talk.turn("s", "a funny comedy", Asker(user_id=FAN))
    answer = talk.turn("s", "older than the second one").recommendation
    assert answer is not None
    return [item.id for item in answer]


def test_over_stdio(made: Path, launcher: Path, wanted: list[str], tmp_path: Path) -> None:
    words = [str(launcher), "--workspace", str(made), "--llm", "none", "--set", "candidates=15"]
    with (tmp_path / "log").open("w+") as log:
        served = stdio_client(StdioServerParameters(command=sys.executable, args=words), errlog=log)
        assert with_client(served, over_the_wire, mode="legacy") == wanted
        log.seek(0)
        assert "a library that talks" in log.read()
    assert (made / "state.db").is_file()


def test_only_the_protocol_is_on_stdout(made: Path, launcher: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    with subprocess.Popen(
        [sys.executable, str(launcher), "-w", str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("this is no JSON\n" + json.dumps(hello) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline())]
        while answers[-1].get("id") != 1:
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(60) == 0
    assert answers[-1]["result"]["serverInfo"]["name"] == "tastemaker"


@contextmanager
def serving(launcher: Path, made: Path) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    words = [sys.executable, str(launcher), "-w", str(made), "--http", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if line.startswith("MCP at "))
            yield line.removeprefix("MCP at ").strip()
        finally:
            process.terminate()


def test_over_http(made: Path, launcher: Path, wanted: list[str]) -> None:
    with serving(launcher, made) as url:
        assert url.startswith("http://127.0.0.1:")
        # Both ways to begin: that of today's clients, and the newer one without sessions.
        assert with_client(url, over_the_wire, mode="legacy") == wanted
        assert with_client(url, over_the_wire) == wanted


def test_a_port_in_use_is_told_before_anything_loads(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"
        ):
            mcp_command(workspace=tmp_path, http=True, host="127.0.0.1", port=port)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "tastemaker.agent.mcp")
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    app = typer.Typer()
    app.command()(mcp_command)
    done = CliRunner().invoke(app, ["--workspace", str(tmp_path)])
    assert isinstance(done.exception, MissingExtraError)
    assert str(done.exception) == "mcp is not installed (pip install 'tastemaker[mcp]')"
