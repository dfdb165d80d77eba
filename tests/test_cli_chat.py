"""``tastemaker chat`` from a pipe: turns, commands, wrong input, JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tastemaker.agent.cli.app import run
from tastemaker.agent.store import Store
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace

Chat = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chat(
    film_place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Chat:
    """Type lines into a conversation over a copy of the workspace; exit code, stdout, stderr."""
    import shutil

    place = Path(shutil.copytree(film_place.root, tmp_path / "w"))
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )

    def talk(*lines: str, words: tuple[str, ...] = ()) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tastemaker", "chat", "-w", str(place), *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stopped.value.code or 0), out, err

    return talk


def replies(out: str) -> list[dict[str, Any]]:
    found = json.loads(out)
    assert isinstance(found, list)
    return found


def test_a_conversation_from_a_pipe(chat: Chat) -> None:
    code, out, err = chat("a comedy before 1990", "", "older than the second one", "/quit", "never read")
    assert code == 0
    assert out.count("1. The ") == 2
    assert "Comedy" in out
    assert "never" not in out
    assert "session" in err


def test_json_is_one_document_whatever_is_typed(chat: Chat) -> None:
    code, out, _ = chat(
        "a comedy", "/why 2", "/filters", "/why 99x", "/dance", "/undo", "x" * 3_000, words=("--json",)
    )
    assert code == 0
    told = replies(out)
    assert [one.get("kind") or next(iter(one)) for one in told] == [
        "ask", "why", "state", "error", "error", "undo", "error"
    ]  # fmt: skip
    assert told[2]["state"]["filters"] == ['genres has "Comedy"']
    assert "/dance" in told[4]["error"]
    assert len({one["session_id"] for one in told}) == 1


def test_a_conversation_goes_on_and_is_saved(chat: Chat, tmp_path: Path) -> None:
    chat("a comedy", words=("--session", "evening", "--user", "comedy-fan-3"))
    file = tmp_path / "evening.json"
    code, out, err = chat("not the first one", f"/save {file}", "/filters", words=("--session", "evening"))
    assert code == 0
    assert "1 turns so far" in err
    assert "not_now The" in out
    saved = json.loads(file.read_text())
    assert [turn["text"] for turn in saved["turns"]] == ["a comedy", "not the first one"]
    assert [one.event for one in Store.at(tmp_path / "w" / "state.db").events()] == ["not_now"]


def test_commands_speak_the_language_of_the_conversation(chat: Chat) -> None:
    told = replies(chat("喜剧", "/undo", "喜剧", "/why 1", words=("--json",))[1])
    assert told[1]["text"].startswith("已撤") or "撤" in told[1]["text"]
    assert told[3]["kind"] == "why"
    assert told[3]["text"].isascii() is False


def test_what_was_taken_back_is_not_learned_from(chat: Chat, tmp_path: Path) -> None:
    chat("a comedy", "hated the second one", "undo", words=("--user", "comedy-fan-3"))
    store = Store.at(tmp_path / "w" / "state.db")
    assert [one.event for one in store.events()] == ["dislike", "taken_back"]
    from tastemaker.agent.feedback import standing

    assert standing(store.events()) == []


def test_wrong_input_before_the_conversation(chat: Chat) -> None:
    code, out, err = chat("a comedy", words=("--user", "nobody", "--json"))
    assert (code, err) == (0, ""), "a conversation goes on after a turn that could not be answered"
    assert json.loads(out)[0]["error"] == "no user has the id 'nobody'"
    code, _, err = chat("a comedy", words=("-k", "0"))
    assert code == 2
    assert err
