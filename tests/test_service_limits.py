"""The HTTP service's keys, limits and deadlines, and the batcher behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tastemaker import Recommender
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.batching import Batcher, QueueFullError
from tastemaker.agent.service.config import KEYS_VARIABLE, ApiKey, ServiceConfig, load_keys
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.store import Store
from tastemaker.errors import ConfigError
from tastemaker.testing.serving import serving

FAN = "comedy-fan-3"


# Keys, limits, deadlines


@pytest.fixture
def keyed(film_rec: Recommender, tmp_path: Path) -> Iterator[str]:
    keys = tuple(
        ApiKey.of(name, f"{name}-key-0123456789", [name]) for name in ("recommend", "feedback", "admin")
    )
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), ServiceConfig(keys=keys, per_minute=5))
    with serving(create_app(engine)) as url:
        yield url


def test_a_key_does_what_its_scopes_say(keyed: str) -> None:
    def status(path: str, key: str | None, body: dict[str, Any] | None = None) -> int:
        headers = {} if key is None else {"authorization": f"Bearer {key}-key-0123456789"}
        method = "GET" if body is None else "POST"
        return httpx.request(method, keyed + path, headers=headers, json=body).status_code

    assert status("/v1/about", None) == 401
    assert status("/v1/about", "wrong") == 401
    assert status("/v1/about", "recommend") == 200
    assert status("/v1/about", "feedback") == 403
    assert status("/v1/users/comedy-fan-1", "recommend") == 403
    assert status("/v1/users/comedy-fan-1", "admin") == 200
    assert status("/metrics", "admin") == 200
    assert status("/health/live", None) == 200
    event = {"events": [{"event_id": "1", "event": "like", "item_id": "comedy-1"}]}
    assert status("/v1/feedback", "recommend", event) == 403
    assert status("/v1/feedback", "feedback", event) == 200


def test_too_many_requests_of_a_key_are_told_when_to_come_back(keyed: str) -> None:
    headers = {"authorization": "Bearer recommend-key-0123456789"}
    found = [httpx.get(keyed + "/v1/about", headers=headers) for _ in range(6)]
    assert [one.status_code for one in found] == [200] * 5 + [429]
    assert 1 <= int(found[-1].headers["retry-after"]) <= 60


def test_guessing_keys_has_a_limit(keyed: str) -> None:
    with httpx.Client(base_url=keyed, headers={"authorization": "Bearer a wrong key, a wrong key"}) as api:
        answers = [api.post("/v1/recommend", json={}).status_code for _ in range(20)]
    assert answers[0] == 401
    assert answers[-1] == 429


def test_keys_come_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("- {name: shop, key: abcdefghijklmnop, scopes: [recommend, feedback]}\n")
    monkeypatch.setenv(KEYS_VARIABLE, "0123456789abcdef:admin")
    shop, other = load_keys(file)
    assert (shop.name, shop.may("feedback"), shop.may("admin")) == ("shop", True, False)
    assert shop.fits("abcdefghijklmnop")
    assert not shop.fits("abcdefghijklmnoq")
    assert other.may("recommend")
    assert "abcdefghijklmnop" not in repr(shop)
    for text in ("name: shop", "- {name: shop}", "- {name: a, key: short, scopes: [admin]}", "[", "- 3"):
        file.write_text(text)
        with pytest.raises(ConfigError):
            load_keys(file)
    monkeypatch.setenv(KEYS_VARIABLE, "0123456789abcdef")
    with pytest.raises(ConfigError, match="KEY:SCOPE"):
        load_keys(None)


def test_past_the_deadline_the_retrievers_order_is_served_and_says_so(
    film_rec: Recommender, tmp_path: Path
) -> None:
    engine = Engine(film_rec, Store.at(tmp_path / "state.db"), ServiceConfig(deadline=0.05))

    async def ask() -> tuple[Any, Any]:
        blocked = asyncio.get_running_loop().run_in_executor(engine._models, time.sleep, 0.5)
        late = await engine.recommend(film_rec.request(user_id=FAN, k=3))
        await blocked
        engine.config = replace(engine.config, deadline=30.0)
        return late, await engine.recommend(film_rec.request(user_id=FAN, k=3))

    late, whole = asyncio.run(ask())
    assert late.trace.degraded == "the retriever's order: the deadline of 0.05 s passed"
    assert [item.id for item in late] == [item.id for item in whole], "with llm: none the orders are the same"
    assert "deadline" not in (whole.trace.degraded or "")


# The batcher


def test_what_comes_while_the_worker_is_busy_is_one_batch() -> None:
    from concurrent.futures import ThreadPoolExecutor

    sizes: list[int] = []

    def work(asked: Any) -> list[int]:
        sizes.append(len(asked))
        time.sleep(0.02)
        return [2 * one for one in asked]

    async def run() -> list[int]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher[int, int](work, executor, most=4, bound=100)
            return list(await asyncio.gather(*(batcher.ask(number) for number in range(9))))

    assert asyncio.run(run()) == [2 * number for number in range(9)]
    assert sum(sizes) == 9
    assert max(sizes) == 4


def test_one_bad_question_fails_alone_and_too_many_are_refused() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(asked: Any) -> list[float]:
        time.sleep(0.02)
        return [1 / one for one in asked]

    async def run() -> list[Any]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher[int, float](work, executor, most=8, bound=3)
            asked = [asyncio.create_task(batcher.ask(number)) for number in (1, 0, 2, 4)]
            return list(await asyncio.gather(*asked, return_exceptions=True))

    one, zero, two, refused = asyncio.run(run())
    assert (one, two) == (1.0, 0.5)
    assert isinstance(zero, ZeroDivisionError)
    assert isinstance(refused, QueueFullError)
    assert refused.retry_after >= 1
