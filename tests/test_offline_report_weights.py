"""A report killed half-way, with the real models on two processes, is the report that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tastemaker.config import Settings
from tastemaker.index.build import build_index
from tastemaker.index.embeddings import load_embedder
from tastemaker.testing.data import film_data
from tastemaker.workspace import Workspace

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]

USERS = 24


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "w")
    film_data().save(place.data)
    build_index(film_data(), place.index, load_embedder(Settings().embedder))
    place.config.write_text("domain: films\ncandidates: 15\nevidence_readings: 2\n")
    return place


def command(place: Workspace, folder: Path, workers: int) -> list[str]:
    words = ["report", "-w", str(place.root), "--users", str(USERS), "--out", str(folder)]
    return [
        sys.executable,
        "-m",
        "tastemaker",
        *words,
        *("--workers", str(workers), "-k", "2", "--probe", "3"),
    ]


def children_of(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in listed} | {one for child in listed for one in children_of(int(child))}


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are listed by Linux alone")
def test_killed_and_run_again_it_equals_an_unbroken_one(place: Workspace, tmp_path: Path) -> None:
    broken = subprocess.Popen(command(place, tmp_path / "cut", 2), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "cut").glob(".work/part-*.jsonl")):
        assert broken.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = children_of(broken.pid)
    broken.send_signal(signal.SIGKILL)
    broken.wait()
    assert workers
    assert len(list((tmp_path / "cut").glob(".work/part-*.jsonl"))) < USERS // 8
    assert not (tmp_path / "cut" / "index.html").exists()
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a killed report has left processes behind"
        time.sleep(0.05)

    subprocess.run(command(place, tmp_path / "cut", 2), check=True, capture_output=True)
    # By as many processes: another number of threads adds numbers up in another order.
    subprocess.run(command(place, tmp_path / "whole", 2), check=True, capture_output=True)
    records = [(tmp_path / one / "requests.jsonl").read_bytes() for one in ("cut", "whole")]
    assert records[0] == records[1]
    [cut, whole] = [json.loads((tmp_path / one / "summary.json").read_text()) for one in ("cut", "whole")]
    for changing in ("timings_ms", "command", "load_average"):
        del cut[changing], whole[changing]
    assert cut == whole
    assert whole["llm_share"] > 0.2
