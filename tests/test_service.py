"""The HTTP service on a real socket: every client gets the answers of Python, and wrong input a clear one."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.config import ServiceConfig
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.store import Store
from tastemaker.data.dataset import Dataset
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.serving import serving
from tastemaker.workspace import Workspace

FAN = "comedy-fan-3"
TURNS = ("a comedy", "older than the second one", "seen the first one", "why the last one", "undo")


@pytest.fixture(scope="module")
def url(film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = Store.at(tmp_path_factory.mktemp("store") / "state.db")
    with serving(
        create_app(Engine(film_rec, store, ServiceConfig(max_body=100_000, body_seconds=1.0)))
    ) as found:
        yield found


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


def shown(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


@pytest.fixture(scope="module")
def wanted(film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str]]]:
    """Text and list of every turn, from Python."""
    talk = Conversations(film_rec, Store.at(tmp_path_factory.mktemp("python") / "state.db"))
    replies = [talk.turn("s", text, Asker(user_id=FAN)) for text in TURNS]
    return [(one.text, list(one.state.shown)) for one in replies]


# The same conversation from every client


def test_the_openai_client_holds_the_conversation(url: str, wanted: list[tuple[str, list[str]]]) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["tastemaker"]
        said: list[Any] = []
        for text, (reply, items) in zip(TURNS, wanted, strict=True):
            said.append({"role": "user", "content": text})
            found = client.chat.completions.create(model="tastemaker", messages=said, user=FAN)
            content = found.choices[0].message.content
            assert content == reply
            extra = found.model_extra or {}
            assert extra["tastemaker"]["state"]["shown"] == items
            said.append({"role": "assistant", "content": content})


def test_the_openai_client_streams_it(url: str, wanted: list[tuple[str, list[str]]]) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        for text, (reply, _) in zip(TURNS, wanted, strict=True):
            chunks = list(
                client.chat.completions.create(
                    model="tastemaker",
                    messages=[{"role": "user", "content": text}],
                    user=FAN,
                    stream=True,
                    extra_body={"session_id": "streamed"},
                )
            )
            assert "".join(one.choices[0].delta.content or "" for one in chunks) == reply
            assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_langchain_agent_holds_it_over_http(url: str, wanted: list[tuple[str, list[str]]]) -> None:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver

    model = ChatOpenAI(model="tastemaker", base_url=f"{url}/v1", api_key="none", extra_body={"user": FAN})
    agent = create_agent(model, [], checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "evening"}}
    for text, (reply, _) in zip(TURNS, wanted, strict=True):
        answer = agent.invoke({"messages": [("user", text)]}, thread)["messages"][-1]
        assert answer.content == reply


def test_a_conversation_that_no_session_is_known_for_is_said_again(
    api: httpx.Client, wanted: list[tuple[str, list[str]]]
) -> None:
    said = [{"role": "user", "content": TURNS[0]}, {"role": "assistant", "content": "something else"}]
    said.append({"role": "user", "content": TURNS[1]})
    found = api.post("/v1/chat/completions", json={"messages": said, "user": FAN}).json()
    assert found["tastemaker"]["state"]["shown"] == wanted[1][1]


def test_curl_holds_the_conversation(url: str, wanted: list[tuple[str, list[str]]]) -> None:
    for text, (reply, items) in zip(TURNS, wanted, strict=True):
        body = {"messages": [{"role": "user", "content": text}], "user": FAN, "session_id": "curl"}
        command = ["curl", "-sS", f"{url}/v1/chat/completions", "-H", "content-type: application/json"]
        done = subprocess.run([*command, "-d", json.dumps(body)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)["tastemaker"]
        assert (found["text"], found["state"]["shown"]) == (reply, items)


# Lists, reasons, reranking


def test_recommend_is_that_of_python(api: httpx.Client, film_rec: Recommender) -> None:
    question = {"user_id": FAN, "wish": "a classic", "context": {"company": "family"}, "k": 4}
    found = api.post("/v1/recommend", json=question).json()
    here = film_rec.recommend(**question).to_dict()
    assert shown(found) == shown(here)
    assert [one["explanation"] for one in found["items"]] == [one["explanation"] for one in here["items"]]
    assert found["items"][0]["attributes"]["genres"]
    bare = api.post("/v1/recommend", json={**question, "explain": False}).json()
    assert shown(bare) == shown(here)
    assert bare["items"][0]["explanation"] is None


def test_explain_is_that_of_python(api: httpx.Client, film_rec: Recommender) -> None:
    first = film_rec.recommend(user_id=FAN, k=1).items[0]
    found = api.post("/v1/explain", json={"user_id": FAN, "item": first.title}).json()
    assert found == {"kind": "why", **film_rec.why(first.id, user_id=FAN).to_dict()}
    asked = {"user_id": FAN, "item": "The Amber Thriller (1981)", "kind": "why_not", "filters": ["year>2000"]}
    assert api.post("/v1/explain", json=asked).json()["standing"] == "filtered"


def test_many_at_once_get_what_each_gets_alone(url: str, film_rec: Recommender) -> None:
    users = [f"{taste}-fan-{number}" for taste in ("comedy", "thriller") for number in range(12)]

    async def ask_all() -> list[list[str]]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            answers = await asyncio.gather(
                *(client.post("/v1/recommend", json={"user_id": user, "k": 3}) for user in users)
            )
        return [shown(one.json()) for one in answers]

    assert asyncio.run(ask_all()) == [
        [item.id for item in film_rec.recommend(user_id=user, k=3)] for user in users
    ]
    metrics = httpx.get(f"{url}/metrics").text
    asked = float(metrics.split("\ntastemaker_batched_requests ")[1].split()[0])
    batches = float(metrics.split("\ntastemaker_batches ")[1].split()[0])
    assert batches < asked, "what came while the models worked was answered together"


def test_every_rerank_dialect(api: httpx.Client, film_rec: Recommender) -> None:
    texts = ["The Amber Comedy", "The Brass Thriller", "The Coral Comedy"]
    here = film_rec.reranker().rerank(candidates=texts, wish="a comedy", history=["The Jade Comedy"])
    order = [row.index for row in here]
    asked = {"query": "a comedy", "documents": texts, "history": ["The Jade Comedy"]}
    cohere = api.post("/v2/rerank", json={**asked, "top_n": 2}).json()
    assert [row["index"] for row in cohere["results"]] == order[:2]
    assert all("document" not in row for row in cohere["results"])
    jina = api.post(
        "/v1/rerank", json={**asked, "documents": [{"text": one} for one in texts], "return_documents": True}
    ).json()
    assert [row["index"] for row in jina["results"]] == order
    assert jina["results"][0]["document"] == {"text": texts[order[0]]}
    assert jina["results"][0]["relevance_score"] >= jina["results"][1]["relevance_score"]
    tei = api.post("/rerank", json={"query": "a comedy", "texts": texts, "return_text": True}).json()
    assert {row["text"] for row in tei} == set(texts)
    assert api.post("/rerank", json={"query": "a comedy"}).status_code == 422
    assert api.post("/v1/rerank", json={"query": "a comedy", "documents": []}).json()["results"] == []


# Feedback, sessions, users


def test_an_event_reaches_the_very_next_list(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "user": FAN, "session_id": "events"}
    reply = api.post("/v1/chat/completions", json=body).json()["tastemaker"]
    first = reply["recommendation"]["items"][0]["id"]
    event = {"event_id": "one", "event": "not_now", "item_id": first}
    event["request_id"] = reply["recommendation"]["request_id"]
    new, again = {"accepted": 1, "duplicates": 0}, {"accepted": 0, "duplicates": 1}
    assert api.post("/v1/feedback", json={"events": [event]}).json() == {**new, "unjoined": 0}
    assert api.post("/v1/feedback", json={"events": [event]}).json() == {**again, "unjoined": 0}
    after = api.post("/v1/recommend", json={"session_id": "events", "k": 5}).json()
    assert shown(after)
    assert first not in shown(after)
    told = api.get("/v1/sessions/events").json()
    assert told["state"]["shown"] == shown(after)
    assert told["state"]["events"][0]["id"] == first


def test_feedback_on_what_is_not_there_is_refused_whole(api: httpx.Client) -> None:
    good = {"event_id": "two", "event": "like", "item_id": "comedy-1", "user_id": FAN}
    bad = {"event_id": "three", "event": "like", "item_id": "no-such-film", "user_id": FAN}
    assert api.post("/v1/feedback", json={"events": [good, bad]}).status_code == 422
    assert api.post("/v1/feedback", json={"events": [good]}).json()["accepted"] == 1, "nothing was half kept"
    taken = {**good, "event_id": "four", "event": "Taken-back"}
    refused = api.post("/v1/feedback", json={"events": [taken]})
    assert refused.status_code == 422
    assert "the service's own" in refused.json()["error"]["message"]


def test_an_event_of_a_list_that_is_gone_is_kept_without_it(api: httpx.Client) -> None:
    whole = {"event_id": "whole", "event": "like", "item_id": "comedy-1", "user_id": FAN}
    lost = {**whole, "event_id": "lost", "request_id": "no-such-list"}
    kept = api.post("/v1/feedback", json={"events": [whole, lost]}).json()
    assert kept == {"accepted": 2, "duplicates": 0, "unjoined": 1}


def test_an_event_of_somebody_else_does_not_enter_a_session(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "user": FAN, "session_id": "mine"}
    api.post("/v1/chat/completions", json=body)
    event = {"event_id": "strange", "event": "dislike", "item_id": "comedy-1", "session_id": "mine"}
    refused = api.post("/v1/feedback", json={"events": [{**event, "user_id": "somebody else"}]})
    assert refused.status_code == 422
    assert "another user's" in refused.json()["error"]["message"]
    assert api.get("/v1/sessions/mine").json()["state"]["events"] == []
    assert api.post("/v1/feedback", json={"events": [event]}).json()["accepted"] == 1, "nothing was kept"


def test_a_session_may_begin_with_an_event(api: httpx.Client) -> None:
    event = {"event_id": "first", "event": "not_now", "item_id": "comedy-1", "user_id": FAN}
    api.post("/v1/feedback", json={"events": [{**event, "session_id": "begun"}]})
    told = api.get("/v1/sessions/begun").json()
    assert told["user_id"] == FAN
    assert "comedy-1" not in shown(api.post("/v1/recommend", json={"session_id": "begun", "k": 40}).json())


def test_nobody_is_told_of_other_users(api: httpx.Client) -> None:
    answer = api.post("/v1/recommend", json={"user_id": "nobody"})
    assert answer.status_code == 404
    assert FAN not in answer.text
    asked = api.post("/v1/explain", json={"item": "comedy-1", "session_id": "no such session"})
    assert asked.status_code == 404
    assert asked.json()["error"]["type"] == "unknown_session"


def test_a_session_is_read_edited_and_deleted(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "session_id": "edited"}
    api.post("/v1/chat/completions", json=body)
    changed = api.patch("/v1/sessions/edited", json={"filters": ["year < 1985"], "context": {"mood": "calm"}})
    assert changed.json()["state"]["filters"] == ["year < 1985"]
    items = api.post("/v1/recommend", json={"session_id": "edited"}).json()["items"]
    assert items
    assert all(item["attributes"]["year"] < 1985 for item in items)
    for wrong in (
        {"filters": ["colour == red"]},
        {"filters": ["year is nice"]},
        {"shown": []},
        {"focus": "x"},
    ):
        assert api.patch("/v1/sessions/edited", json=wrong).status_code == 422
    assert api.get("/v1/sessions/edited").json()["state"]["filters"] == ["year < 1985"]
    assert api.delete("/v1/sessions/edited").json() == {"deleted": True}
    assert api.get("/v1/sessions/edited").status_code == 404
    assert api.patch("/v1/sessions/edited", json={}).status_code == 404


def test_a_session_is_its_users_alone(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "session_id": "own", "user": FAN}
    assert api.post("/v1/chat/completions", json=body).status_code == 200
    assert api.post("/v1/chat/completions", json={**body, "user": "comedy-fan-4"}).status_code == 422


def test_a_session_with_a_second_wish_is_refused(api: httpx.Client) -> None:
    found = api.post("/v1/recommend", json={"session_id": "own", "wish": "a thriller"})
    assert found.status_code == 422
    assert "a session has its own" in found.json()["error"]["message"]


def test_a_deleted_user_leaves_no_trace(
    tmp_path: Path, film_rec: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    film_data().save(tmp_path / "data")
    build_index(film_data(), tmp_path / "index", HashEmbedder())
    mine, user = Workspace(tmp_path), "thriller-fan-7"
    caplog.set_level(logging.INFO)
    engine = Engine(film_rec, Store.at(mine.state), ServiceConfig(), mine)
    with serving(create_app(engine)) as url, httpx.Client(base_url=url, timeout=30) as api:
        body = {
            "messages": [{"role": "user", "content": "wish-marker-5512"}],
            "user": user,
            "session_id": "gone",
        }
        reply = api.post("/v1/chat/completions", json=body).json()["tastemaker"]
        event = {"event_id": "e", "event": "like", "item_id": reply["state"]["shown"][0], "user_id": user}
        api.post("/v1/feedback", json={"events": [event]})
        told = api.get(f"/v1/users/{user}").json()
        assert (len(told["history"]), len(told["events"]), len(told["sessions"])) == (8, 1, 1)
        assert api.delete(f"/v1/users/{user}").json()["deleted"]["interactions"] == 8
        assert api.get(f"/v1/users/{user}").status_code == 404
        assert api.post("/v1/recommend", json={"user_id": user}).status_code == 404
        assert api.get("/v1/sessions/gone").status_code == 404
        assert api.delete(f"/v1/users/{user}").status_code == 404
        # Nor does the running service serve or keep anything of them from here on.
        assert api.post("/v1/chat/completions", json=body).status_code == 404
        again = {**event, "event_id": "f"}
        assert api.post("/v1/feedback", json={"events": [again]}).status_code == 404
        assert engine.store.counts() == {"sessions": 0, "impressions": 0, "events": 0}
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert user.encode() not in left
    assert b"wish-marker-5512" not in left
    assert user not in Dataset.load(mine.data).user_ids
    # The client's own log, httpx, knows what it asked.
    logged = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]
    assert sum("/v1/users/{user_id}" in one for one in logged) == 4
    assert not [one for one in logged if "wish-marker-5512" in one or user in one]


# Bad input


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/v1/recommend", {"user_id": "nobody"}, 404, "no user has the id 'nobody'"),
        ("/v1/recommend", {"k": 0}, 422, "k: "),
        ("/v1/recommend", {"wishh": "x"}, 422, "wishh: Extra inputs"),
        ("/v1/recommend", {"filters": ["colour == red"]}, 422, "colour"),
        ("/v1/recommend", {"context": {"time": "tomorrow"}}, 422, "ISO 8601"),
        ("/v1/explain", {"item": "No Such Film"}, 422, "No Such Film"),
        ("/v1/chat/completions", {"messages": []}, 422, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "assistant", "content": "x"}]}, 422, "the last one"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ""}]}, 422, "the turn is empty"),
        (
            "/v1/chat/completions",
            {"model": "gpt-9", "messages": [{"role": "user", "content": "x"}]},
            404,
            "gpt-9",
        ),
        ("/v1/rerank", {"query": "x", "documents": ["a"] * 1_001}, 422, "documents"),
        ("/v1/feedback", {"events": []}, 422, "events"),
        ("/nope", {}, 404, "POST /nope is no operation of this service"),
        ("/health/live", {}, 405, "Method Not Allowed"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]},
            422,
            "the turn is empty",
        ),
    ],
)
def test_wrong_input_gets_a_clear_answer(
    api: httpx.Client, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    found = api.post(path, json=body)
    assert found.status_code == status
    error = found.json()["error"]
    assert told in error["message"]
    assert set(error) == {"type", "message", "hint"}


def test_a_body_that_is_no_json_is_told_as_such(api: httpx.Client) -> None:
    found = api.post("/v1/recommend", content="wish", headers={"content-type": "application/json"})
    assert found.status_code == 422
    assert found.json()["error"]["message"].startswith("the body is no JSON")


def test_a_stream_that_cannot_begin_is_refused_with_its_status(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "user": "nobody", "stream": True}
    answer = api.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "unknown_user")


def test_ids_with_slashes_are_ids(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "session_id": "a/b c"}
    api.post("/v1/chat/completions", json=body)
    assert api.get("/v1/sessions/a/b c").json()["id"] == "a/b c"
    assert api.delete("/v1/sessions/a/b c").json() == {"deleted": True}


def test_a_session_cannot_be_made_unusable(api: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a comedy"}], "session_id": "hurt"}
    api.post("/v1/chat/completions", json=body)
    raw = '{"events": [{"event": "like", "id": "comedy-1", "time": Infinity}]}'
    headers = {"content-type": "application/json"}
    assert api.patch("/v1/sessions/hurt", content=raw, headers=headers).status_code == 422
    for wrong in (
        {"events": [{"event": " ", "id": "comedy-1"}]},
        {"context": {"time": "bad"}},
        {"wishes": ["x" * 1_999] * 4},
    ):
        api.patch("/v1/sessions/hurt", json=wrong)
        assert api.post("/v1/chat/completions", json=body).status_code == 200
    assert api.post("/v1/chat/completions", json=body).status_code == 200


def test_half_a_character_in_a_history_is_no_failure(api: httpx.Client) -> None:
    raw = '{"history": ["\\ud800 The Red Comedy"]}'
    answer = api.post("/v1/recommend", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    first = answer.json()["items"][0]
    assert "The Red Comedy" in first["explanation"]["text"], "the rest of the title is still read"


def test_oversize_and_slow_bodies_are_refused(api: httpx.Client, url: str) -> None:
    documents = ["a long enough text " * 10] * 200_000
    with httpx.Client(base_url=url, timeout=60) as client:
        sent = client.post("/v1/rerank", content=iter([json.dumps({"query": "x"}).encode()] * 10_000))
        assert sent.status_code == 413
    assert api.post("/v1/rerank", json={"query": "x", "documents": documents[:2_000]}).status_code == 413
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    assert api.get("/health/live").json() == {"status": "live"}


def test_a_cut_connection_costs_nobody_else(api: httpx.Client, url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(
        {"messages": [{"role": "user", "content": "a comedy"}], "stream": True, "session_id": "cut"}
    ).encode()
    with socket.create_connection((host, int(port)), timeout=10) as cut:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n\r\n"
        cut.sendall(head.encode() + body)
        cut.recv(10)
    again = {"messages": [{"role": "user", "content": "a comedy"}], "session_id": "cut"}
    assert api.post("/v1/chat/completions", json=again).status_code == 200


def test_health_metrics_and_documentation(api: httpx.Client) -> None:
    assert api.get("/health/ready").json()["status"] == "ready"
    assert 'route="/health/ready",status="200"' in api.get("/metrics").text
    paths = api.get("/openapi.json").json()["paths"]
    wanted = {
        "/v1/recommend",
        "/v1/explain",
        "/v1/feedback",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/models",
    }
    assert wanted | {"/v1/sessions/{session_id}", "/v1/users/{user_id}", "/health/live", "/metrics"} <= set(
        paths
    )
    assert api.get("/v1/about").json()["domain"] == "films"
    found = api.get("/v1/catalogue", params={"query": "amber", "k": 2, "filter": "year<1985"}).json()["items"]
    assert len(found) == 2
