"""Wrong input ends in one clear line and the right exit code, and leaves the workspace as it was."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from tastemaker.agent.cli.app import run

ITEMS = "id,title,genres,year\n" + "".join(f"i{n},Film {n},Drama|Comedy,{1980 + n}\n" for n in range(12))
EVENTS = "user_id,item_id,rating,timestamp\n" + "".join(
    f"u{n % 4},i{(n * 5) % 12},{1 + n % 5},{1_600_000_000 + 60 * n}\n" for n in range(40)
)


class Cli:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run the command line in this process; return exit code, stdout, stderr."""
        self._monkeypatch.setattr(sys, "argv", ["tastemaker", *map(str, words)])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stopped.value.code or 0), out, err

    def fails(self, code: int, *words: object, says: str, stdin: bytes = b"") -> str:
        """Expect ``code`` and, last on stderr, one error line with ``says`` (and perhaps a hint)."""
        got, out, err = self(*words, stdin=stdin)
        assert got == code, err
        assert says in err
        assert "error:" not in out
        lines = [line for line in err.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error:")]
        assert len(errors) == 1
        assert lines.index(errors[0]) >= len(lines) - 2
        return err


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with data and index, made through the command line with the real embedding model."""
    folder = tmp_path_factory.mktemp("ready")
    (folder / "items.csv").write_text(ITEMS)
    (folder / "events.csv").write_text(EVENTS)
    from tastemaker.data.readers import read
    from tastemaker.index.build import build_index

    dataset = read(folder / "events.csv", folder / "items.csv").dataset
    dataset.save(folder / "shop" / "data")
    build_index(dataset, folder / "shop" / "index", "all-minilm-l6-v2")
    return folder


@pytest.fixture
def shop(ready: Path, tmp_path: Path) -> Path:
    shutil.copytree(ready, tmp_path / "own")
    return tmp_path / "own" / "shop"


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_missing_file(cli: Cli, tmp_path: Path) -> None:
    cli.fails(
        2, "data", "import", "--interactions", tmp_path / "none.csv", "-w", tmp_path / "w", says="none.csv"
    )
    assert not (tmp_path / "w").exists()


def test_a_wrong_column_leaves_the_old_data(cli: Cli, shop: Path) -> None:
    bad = shop.parent / "bad.csv"
    bad.write_text("alpha,beta\n1,2\n")
    before = content(shop)
    err = cli.fails(2, "data", "import", "--interactions", bad, "-w", shop, says="bad.csv")
    assert "alpha" in err
    assert content(shop) == before


@pytest.mark.weights
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--user", "nobody"], "nobody"),
        (["--user", "u1", "--filter", "year>=wild"], "wild"),
        (["--user", "u1", "--filter", "colour == red"], "colour"),
        (["--user", "u1", "--filter", "what is this"], "what is this"),
        (["--user", "u1", "--context", "company"], "KEY=VALUE"),
        (["--user", "u1", "--context", "time=yesterday"], "ISO 8601"),
        (["--user", "u1", "--context", "company=alone", "--context", "company=family"], "company twice"),
        (["--user", "u1", "--context", "company=alone", "--context", "Company=kids"], "'company' twice"),
        (["--user", "u1", "--context", "time=2026-11-28", "--context", "Time="], "'time' twice"),
        (["--user", "u1", "--set", "candidates=10", "--set", "candidates=20"], "candidates twice"),
        (["--user", "u1", "--event", "click=Film One"], "near are"),
        (["--user", "u1", "--wish", "x" * 3_000], "3,000 characters"),
        (["--user", "u1", "--language", "fr"], "auto, en, zh"),
        (["--user", "u1", "--set", "colour=red"], "colour"),
        (["--user", "u1", "--set", "candidates=many"], "candidates"),
        (["--user", "u1", "--explain", "loudly"], "explain"),
    ],
)
def test_requests_that_cannot_be_answered(cli: Cli, shop: Path, words: list[str], says: str) -> None:
    before = content(shop)
    cli.fails(2, "recommend", "-w", shop, "--llm", "none", *words, says=says)
    assert content(shop) == before


@pytest.mark.weights
def test_a_filter_that_nothing_passes_is_no_error(cli: Cli, shop: Path) -> None:
    code, out, err = cli("recommend", "-w", shop, "--user", "u1", "--llm", "none", "--filter", "year>2090")
    assert code == 0, err
    assert "Nothing fits" in out


def test_no_workspace_and_no_index(cli: Cli, shop: Path, tmp_path: Path) -> None:
    cli.fails(2, "recommend", "-w", tmp_path / "nowhere", "--user", "1", says="no workspace")
    shutil.rmtree(shop / "index")
    err = cli.fails(2, "recommend", "-w", shop, "--user", "u1", says="no index")
    assert "tastemaker index build" in err


@pytest.mark.weights
@pytest.mark.parametrize("damage", ["cut", "flip", "manifest", "gone"])
def test_a_corrupt_index_is_refused_by_name(cli: Cli, shop: Path, damage: str) -> None:
    [file] = [path for path in (shop / "index").iterdir() if "faiss" in path.name]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "flip":
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        file.write_bytes(bytes(raw))
    elif damage == "gone":
        file.unlink()
    else:
        (shop / "index" / "manifest.json").write_text("{")
    before = content(shop)
    err = cli.fails(1, "recommend", "-w", shop, "--user", "u1", "--llm", "none", says="index")
    assert "tastemaker index build" in err
    assert content(shop) == before


@pytest.mark.weights
def test_new_data_make_an_old_index_refuse(cli: Cli, shop: Path) -> None:
    (shop.parent / "more.csv").write_text(ITEMS + "i99,Another film,Drama,2001\n")
    events = shop.parent / "events.csv"
    code, _, err = cli(
        "data", "import", "--interactions", events, "--items", shop.parent / "more.csv", "-w", shop
    )
    assert code == 0, err
    err = cli.fails(1, "recommend", "-w", shop, "--user", "u1", "--llm", "none", says="index")
    assert "tastemaker index build" in err
    assert cli("index", "build", "-w", shop)[0] == 0
    assert cli("recommend", "-w", shop, "--user", "u1", "--llm", "none")[0] == 0


def test_corrupt_data_are_refused(cli: Cli, shop: Path) -> None:
    file = shop / "data" / "interactions.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    cli.fails(1, "recommend", "-w", shop, "--user", "u1", "--llm", "none", says="interactions.parquet")


def test_a_broken_configuration(cli: Cli, shop: Path) -> None:
    (shop / "config.yaml").write_text("candidates: [")
    cli.fails(2, "recommend", "-w", shop, "--user", "u1", says="config.yaml")
    (shop / "config.yaml").write_text("candidats: 20\n")
    cli.fails(2, "recommend", "-w", shop, "--user", "u1", says="candidats")


def test_a_full_disk_leaves_the_old_data(cli: Cli, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = content(shop)
    monkeypatch.setattr(pq, "write_table", full)
    events, items = shop.parent / "events.csv", shop.parent / "items.csv"
    err = cli.fails(
        1, "data", "import", "--interactions", events, "--items", items, "-w", shop, says="disk is full"
    )
    assert "MiB free" in err
    assert content(shop) == before
    assert not [path for path in shop.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.weights
def test_a_full_disk_leaves_the_old_index(cli: Cli, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = content(shop / "index")
    monkeypatch.setattr("tastemaker.index.store.write_manifest", full)
    cli.fails(1, "index", "build", "-w", shop, says="disk is full")
    assert content(shop / "index") == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "broken JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[]", "no object with 'candidates'"),
        (b"{}", "no object with 'candidates'"),
        (b'{"candidates": "A"}', "a list is wanted"),
        (b'{"candidates": [""]}', "candidate 0 has no text"),
        (b'{"candidates": [7]}', "a text or a mapping is wanted"),
        (b'{"candidates": ["a"], "top_n": 0}', "top_n is 0"),
        (b'{"candidates": ["a"], "history": "Alien"}', "a list of ids or titles"),
        (b'{"candidates": ["a"], "history": [{}]}', "neither an id nor a title"),
        (b'{"candidates": ["a"], "context": []}', "a mapping of names to values"),
        (b'{"candidates": ["a"], "context": {"time": "soon"}}', "ISO 8601"),
        (b'{"candidates": ["a"], "wish": 3}', "wish"),
        (b'{"candidates": ["a"], "whish": "x"}', "unknown key 'whish'"),
    ],
)
@pytest.mark.weights
def test_rerank_input_that_cannot_be_used(cli: Cli, text: bytes, says: str) -> None:
    cli.fails(2, "rerank", "--llm", "none", "--input", "-", says=says, stdin=text)


def test_rerank_of_a_missing_file(cli: Cli, tmp_path: Path) -> None:
    cli.fails(2, "rerank", "--input", tmp_path / "none.json", says="none.json")


@pytest.mark.weights
def test_json_goes_to_stdout_alone(cli: Cli, shop: Path) -> None:
    code, out, _ = cli("recommend", "-w", shop, "--user", "u1", "--llm", "none", "--json", "-k", "3")
    assert code == 0
    answer = json.loads(out)
    assert len(answer["items"]) == 3
    assert "no language model" in answer["trace"]["degraded"]


def test_an_unexpected_failure_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(**_: object) -> None:
        raise ZeroDivisionError("division [by] zero")

    monkeypatch.setattr("tastemaker.agent.cli.recommend.context_of", burst)
    monkeypatch.setattr("tastemaker.agent.cli.recommend.setting_flags", burst)
    code, out, err = cli("recommend", "--user", "1")
    assert (code, out) == (1, "")
    assert "unexpected failure: ZeroDivisionError" in err or "unexpected failure: TypeError" in err
    assert "TASTEMAKER_DEBUG" in err
