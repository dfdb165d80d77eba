"""The service under load: many clients at once, batched and not, and a kill in the middle of feedback.

python benchmarks/load.py [--clients 32] [--seconds 300] [--out docs/results/load.json]

A real ``tastemaker serve`` over the demo's workspace and models, worded by templates; clients ask one
thing after another without a pause: lists, explained lists, turns of a conversation, reranking, events. The
same load runs against the service with one request in a forward pass. At last the service is killed with
SIGKILL while events are written, and every event that it acknowledged has to be in the store. Only this
machine is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from tastemaker.agent.store import Store
from tastemaker.artifacts import write_json
from tastemaker.eval.provenance import provenance

DECLARED = (429, 503)
"""Answers that say when to come back."""

WISHES = ("something funny", "a dark thriller", "animation for the kids", "an old western", "space")
MIX = {"recommend": 0.5, "explained": 0.1, "chat": 0.15, "rerank": 0.1, "feedback": 0.15}


@contextlib.contextmanager
def served(store: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [
        sys.executable,
        "-m",
        "tastemaker",
        "serve",
        "--demo",
        "--port",
        "0",
        "--store",
        f"sqlite:///{store}",
    ]
    told = subprocess.Popen(
        [*command, "--explain", "template", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert told.stderr is not None
    url = None
    for line in told.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            url = found[0]
            break
    if url is None:
        raise RuntimeError("the service did not start")
    # Nobody reads its log any more; a full pipe would stop it.
    drain = subprocess.Popen(["cat"], stdin=told.stderr, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=url) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/health/ready").status_code == 200:
                        break
                time.sleep(0.2)
        yield told, url
    finally:
        told.send_signal(signal.SIGTERM)
        told.wait(timeout=60)
        drain.kill()


class Client:
    """One client: a user with a conversation, asking one thing after another."""

    def __init__(self, number: int, users: list[str], http: httpx.AsyncClient, seed: int) -> None:
        self._number, self._http = number, http
        self._random = np.random.default_rng((seed, number))
        self._user = users[number % len(users)]
        self._turn = self._events = 0
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.declared = 0
        self.degraded = 0
        self.errors: list[str] = []

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            kind = str(self._random.choice(list(MIX), p=list(MIX.values())))
            begun = time.monotonic()
            try:
                answer = await self._ask(kind)
            except httpx.HTTPError as error:
                self.errors.append(f"{kind}: {type(error).__name__}")
                continue
            if answer.status_code in DECLARED:
                self.declared += 1
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
            elif answer.status_code != 200:
                self.errors.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            else:
                self.seconds[kind].append(time.monotonic() - begun)
                self.degraded += '"degraded":"' in answer.text.replace(" ", "")

    async def _ask(self, kind: str) -> httpx.Response:
        wish = str(self._random.choice(WISHES))
        if kind in ("recommend", "explained"):
            body: dict[str, Any] = {
                "user_id": self._user,
                "wish": wish,
                "k": 5,
                "explain": kind == "explained",
            }
            return await self._http.post("/v1/recommend", json=body)
        if kind == "rerank":
            texts = [f"a film about {word}" for word in ("war", "love", "space", "food", "sports", "crime")]
            return await self._http.post("/v1/rerank", json={"query": wish, "documents": texts})
        if kind == "chat":
            self._turn += 1
            said = (wish, "older than the second one", "not the first one", "others")[self._turn % 4]
            body = {"messages": [{"role": "user", "content": said}], "session_id": f"load-{self._number}"}
            return await self._http.post("/v1/chat/completions", json=body)
        self._events += 1
        event = {"event_id": f"{self._number}-{self._events}", "event": "like", "item_id": "50"}
        return await self._http.post("/v1/feedback", json={"events": [{**event, "user_id": self._user}]})


async def load(url: str, clients: int, seconds: float, users: list[str], seed: int) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        each = [Client(number, users, http, seed) for number in range(clients)]
        begun = time.monotonic()
        await asyncio.gather(*(one.run(begun + seconds) for one in each))
        lasted = time.monotonic() - begun
    kinds = {kind: [value for one in each for value in one.seconds[kind]] for kind in MIX}
    done = sum(map(len, kinds.values()))
    return {
        "answered": done,
        "per_second": round(done / lasted, 3),
        "declared_429_503": sum(one.declared for one in each),
        "degraded_by_the_deadline": sum(one.degraded for one in each),
        "errors": [error for one in each for error in one.errors],
        "seconds": {kind: quantiles(values) for kind, values in kinds.items()},
    }


def quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    found = np.quantile(values, [0.5, 0.95, 0.99])
    named = zip(("p50", "p95", "p99"), found.tolist(), strict=True)
    return {"count": len(values), **{name: round(one, 3) for name, one in named}}


def killed(clients: int) -> dict[str, Any]:
    """Kill the service while events are written; how many were acknowledged, and how many were lost."""
    acknowledged: list[str] = []

    async def write(http: httpx.AsyncClient, client: int) -> None:
        number = 0
        with contextlib.suppress(httpx.HTTPError):
            while True:
                name = f"{client}-{number}"
                event = {"event_id": name, "event": "like", "item_id": "50", "session_id": f"kill-{client}"}
                answer = await http.post("/v1/feedback", json={"events": [event]})
                if answer.status_code == 200:
                    acknowledged.append(name)
                number += 1

    async def writers(url: str, process: subprocess.Popen[str]) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            tasks = [asyncio.create_task(write(http, client)) for client in range(clients)]
            await asyncio.sleep(5)
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.gather(*tasks)

    with TemporaryDirectory() as folder:
        store = Path(folder) / "state.db"
        with served(store) as (process, url):
            asyncio.run(writers(url, process))
        kept = {one.id for one in Store.at(store).events()}
    return {"acknowledged": len(acknowledged), "lost": len(set(acknowledged) - kept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    users = [str(number) for number in range(1, 201)]
    found: dict[str, Any] = {}
    for name, flags in (("batched", ()), ("one_by_one", ("--batch", "1"))):
        with TemporaryDirectory() as folder, served(Path(folder) / "state.db", *flags) as (_, url):
            found[name] = asyncio.run(load(url, asked.clients, asked.seconds, users, asked.seed))
        print(name, found[name], flush=True)
    ratio = found["batched"]["per_second"] / found["one_by_one"]["per_second"]
    found["throughput_of_batched_to_one_by_one"] = round(ratio, 3)
    found["killed"] = killed(asked.clients)
    print(f"ratio {ratio:.2f}, killed {found['killed']}")
    if asked.out is not None:
        write_json(
            asked.out, {**provenance(asked.seed), "clients": asked.clients, "seconds": asked.seconds, **found}
        )


if __name__ == "__main__":
    main()
