"""Who may ask the service for what: keys and the conversations of each, host names, and its own pages."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.cli.serve import _hosts
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.config import KEYS_VARIABLE, ApiKey, ServiceConfig, load_keys
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.service.guard import answers_to
from tastemaker.agent.store import Store
from tastemaker.errors import ConfigError
from tastemaker.testing.serving import serving

FAN = "comedy-fan-3"
SCOPES = ("recommend", "feedback")


# Conversations of each key


@pytest.fixture(scope="module")
def keyed(film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = (
        ApiKey.of("shop", "shop-key-0123456789", SCOPES),
        ApiKey.of("shop", "shop-events-0123456789", ["feedback"]),
        ApiKey.of("other", "other-key-0123456789", SCOPES),
        ApiKey.of("boss", "boss-key-0123456789", ["admin"]),
    )
    store = Store.at(tmp_path_factory.mktemp("store") / "state.db")
    with serving(create_app(Engine(film_rec, store, ServiceConfig(keys=keys)))) as url:
        yield url


def ask(url: str, key: str, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}-0123456789"}
    return httpx.request(method, url + path, headers=headers, json=body, timeout=30)


def said(text: str, session: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "user": FAN}
    return body if session is None else {**body, "session_id": session}


def test_a_conversation_of_one_key_is_not_there_for_another(keyed: str) -> None:
    reply = ask(keyed, "shop-key", "POST", "/v1/chat/completions", said("a comedy", "evening")).json()
    first = reply["tastemaker"]["recommendation"]
    item, request_id = first["items"][0]["id"], first["request_id"]
    event = {"event_id": "e", "event": "dislike", "item_id": item}
    for key in ("other-key", "boss-key"):
        for method, path, body in (
            ("GET", "/v1/sessions/evening", None),
            ("PATCH", "/v1/sessions/evening", {"wishes": ["x"]}),
            ("DELETE", "/v1/sessions/evening", None),
            ("POST", "/v1/chat/completions", said("a thriller", "evening")),
            ("POST", "/v1/chat/completions", {**said("a thriller", "evening"), "stream": True}),
            ("POST", "/v1/recommend", {"session_id": "evening"}),
            ("POST", "/v1/explain", {"session_id": "evening", "item": item}),
            ("POST", "/v1/feedback", {"events": [{**event, "session_id": "evening"}]}),
        ):
            found = ask(keyed, key, method, path, body)
            assert (found.status_code, found.json()["error"]["type"]) == (404, "unknown_session"), path
        mine = {"event_id": key, "request_id": request_id}
        joined = ask(keyed, key, "POST", "/v1/feedback", {"events": [{**event, **mine}]})
        assert joined.json()["unjoined"] == 1, "as if there were no such list"
    state = ask(keyed, "shop-key", "GET", "/v1/sessions/evening").json()["state"]
    assert (state["wishes"], state["events"]) == (["a comedy"], [])
    told = ask(keyed, "shop-events", "POST", "/v1/feedback", {"events": [{**event, "session_id": "evening"}]})
    assert told.json()["accepted"] == 1, "keys of one name are one client"
    assert ask(keyed, "shop-key", "DELETE", "/v1/sessions/evening").json() == {"deleted": True}


def test_event_ids_of_two_keys_have_nothing_to_do_with_each_other(keyed: str) -> None:
    event = {"event_id": "order-1", "event": "like", "item_id": "comedy-1", "user_id": "comedy-fan-3"}
    sent = [("shop-events", 1), ("other-key", 1), ("shop-key", 0), ("other-key", 0)]
    for key, accepted in sent:
        kept = ask(keyed, key, "POST", "/v1/feedback", {"events": [event]}).json()
        assert (kept["accepted"], kept["duplicates"]) == (accepted, 1 - accepted), key


def test_what_was_said_under_one_key_is_not_gone_on_with_under_another(keyed: str) -> None:
    reply = ask(keyed, "shop-key", "POST", "/v1/chat/completions", said("a comedy")).json()
    session, text = reply["session_id"], reply["choices"][0]["message"]["content"]
    seen = {"event_id": "s", "event": "not_now", "item_id": "comedy-1", "session_id": session}
    assert ask(keyed, "shop-key", "POST", "/v1/feedback", {"events": [seen]}).json()["accepted"] == 1
    again = ask(keyed, "shop-key", "POST", "/v1/chat/completions", said("a comedy", session)).json()
    assert len(again["tastemaker"]["state"]["events"]) == 1
    body = said("x")
    body["messages"] = [
        {"role": "user", "content": "a comedy"},
        {"role": "assistant", "content": text},
        {"role": "user", "content": "before 1990"},
    ]
    for key, events in (("other-key", 0), ("shop-key", 1)):
        found = ask(keyed, key, "POST", "/v1/chat/completions", body).json()["tastemaker"]
        assert len(found["state"]["events"]) == events


def test_keys_of_the_environment_are_clients_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, "0123456789abcdef:admin,abcdefghijklmnop:recommend")
    one, two = load_keys(None)
    monkeypatch.setenv(KEYS_VARIABLE, "abcdefghijklmnop:recommend,0123456789abcdef:admin")
    assert [key.client for key in load_keys(None)] == [two.client, one.client]
    assert one.client != two.client
    assert "0123456789abcdef" not in one.client
    with pytest.raises(ConfigError, match="1 to 100 characters"):
        ApiKey.of(" ", "0123456789abcdef", ["admin"])


# A history that nobody knows, and processes that share a workspace


def test_an_unknown_history_is_counted_once_however_often_it_is_sent(
    film_rec: Recommender, tmp_path: Path
) -> None:
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), ServiceConfig())
    with serving(create_app(engine)) as url, httpx.Client(base_url=url, timeout=30) as api:
        turns = ["a comedy", "seen the first one", "", "i hated the second one", "before 1995"]
        messages = [{"role": "user", "content": text} for text in turns]
        for _ in range(3):
            found = api.post("/v1/chat/completions", json={"messages": messages, "user": FAN}).json()
            assert len(found["tastemaker"]["state"]["events"]) == 2
        assert engine.store.events() == []
        assert engine.store.counts()["impressions"] == 3


def test_a_conflict_that_repeats_is_a_409(film_rec: Recommender, tmp_path: Path) -> None:
    store, other = Store.at(tmp_path / "state.db"), Store.at(tmp_path / "state.db")
    engine = Engine(film_rec, store, ServiceConfig())
    end, disturbing = engine.talk.end, iter([True, False, True, True])

    def disturbed(*args: Any, **more: Any) -> Any:
        found = other.session("s")
        if found is not None and next(disturbing, False):
            other.save_session(replace(found, turns=(*found.turns, {"text": "x"})))
        return end(*args, **more)

    engine.talk.end = disturbed  # type: ignore[method-assign]
    with serving(create_app(engine)) as url, httpx.Client(base_url=url, timeout=30) as api:
        assert api.post("/v1/chat/completions", json=said("a comedy", "s")).status_code == 200
        once = api.post("/v1/chat/completions", json=said("before 1990", "s"))
        assert once.status_code == 200
        texts = [turn["text"] for turn in api.get("/v1/sessions/s").json()["turns"]]
        assert texts == ["a comedy", "x", "before 1990"]
        twice = api.post("/v1/chat/completions", json=said("after 1980", "s"))
        assert (twice.status_code, twice.json()["error"]["type"]) == (409, "session_conflict")
        assert twice.headers["retry-after"] == "1"
    other.close()


def test_who_stops_reading_keeps_nobody_waiting(film_rec: Recommender, tmp_path: Path) -> None:
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), ServiceConfig())

    async def talk() -> tuple[Any, Any]:
        replies = engine.chat("s", "a comedy", Asker(user_id=FAN))
        first = await anext(replies)
        async with asyncio.timeout(10):
            *_, second = [one async for one in engine.chat("s", "not the second one", Asker(user_id=FAN))]
        return first, second

    first, second = asyncio.run(talk())
    assert first.state.shown[1] not in second.state.shown
    assert len(engine.talk.known_session("s").turns) == 2


# Names of hosts


@pytest.mark.parametrize(
    ("host", "names", "fits"),
    [
        ("127.0.0.1:8000", (), True),
        ("localhost", (), True),
        ("LOCALHOST:8000", (), True),
        ("films.localhost:8000", (), True),
        ("[::1]:8000", (), True),
        ("[::1]", (), True),
        ("192.168.1.7:8000", (), True),
        ("evil.example:8000", (), False),
        ("localhost.evil.example", (), False),
        ("127.0.0.1.evil.example", (), False),
        ("127.0.0.1:8000@evil.example", (), False),
        ("films.example:8000", ("films.example",), True),
        ("Films.Example.", ("films.example",), True),
        ("a.films.example", ("films.example",), False),
        ("a.films.example", ("*.films.example",), True),
        ("films.example", ("*.films.example",), False),
        ("evil.example", ("*",), True),
        ("", (), True),
    ],
)
def test_which_hosts_a_service_answers_to(host: str, names: tuple[str, ...], fits: bool) -> None:
    assert answers_to(host, names) is fits


def test_a_page_of_a_strange_name_gets_nothing(film_rec: Recommender, tmp_path: Path) -> None:
    """DNS rebinding: a page elsewhere has its own name point at this machine."""
    config = ServiceConfig(hosts=("127.0.0.1", "films.example"))
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), config)
    with serving(create_app(engine)) as url:
        port = int(url.rpartition(":")[2])

        def status(path: str, host: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            told = answer.status, answer.read()
            connection.close()
            return told

        for host in (f"127.0.0.1:{port}", f"localhost:{port}", "films.example"):
            assert status("/v1/about", host)[0] == 200
        for path in ("/v1/about", "/", "/docs", "/metrics", "/v1/sessions/x", "/openapi.json"):
            code, body = status(path, f"evil.example:{port}")
            assert code == 421
            assert b'"wrong_host"' in body
            assert b"--allowed-host NAME" in body
        assert status("/health/live", "tastemaker.svc.cluster.local")[0] == 200
        assert status("/health/ready", "tastemaker")[0] == 200


def test_what_serve_answers_to() -> None:
    assert _hosts("127.0.0.1", (), keyed=False) == ("127.0.0.1",)
    assert _hosts("0.0.0.0", ["films"], keyed=False) == ("0.0.0.0", "films")
    assert _hosts("0.0.0.0", (), keyed=True) is None
    assert _hosts("0.0.0.0", ["films"], keyed=True) == ("0.0.0.0", "films")
    for wrong in ("https://films.example", "films:80", "", "a b"):
        with pytest.raises(ConfigError, match="is no name of a host"):
            _hosts("127.0.0.1", [wrong], keyed=False)


# Its own pages


def test_the_documentation_lists_every_operation_and_loads_nothing_from_elsewhere(
    film_rec: Recommender, tmp_path: Path
) -> None:
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), ServiceConfig())
    with serving(create_app(engine)) as url, httpx.Client(base_url=url, timeout=30) as api:
        page = api.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        for path, methods in api.get("/openapi.json").json()["paths"].items():
            for method in methods:
                assert f"<b>{method.upper()}</b> <code>{path}</code>" in page.text
        assert "at most 200 characters" in page.text, "what a field takes"
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert loaded
        assert all(one.startswith("/") and not one.startswith("//") for one in loaded)
        assert all(api.get(one).status_code == 200 for one in loaded)
        assert "<script" not in page.text
        assert "<style" not in page.text
        assert api.get("/redoc").status_code == 404
