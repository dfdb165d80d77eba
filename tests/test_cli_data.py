"""The data commands: guesses and counts are shown, one JSON document printed, old data survive a failure."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tastemaker.agent.cli.data import app
from tastemaker.artifacts import sha256_of
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, RequestError, StorageError, TastemakerError, WorkspaceError


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    events = tmp_path / "events.csv"
    rows = "".join(
        f"u{n % 5},p{n % 7},{1_600_000_000 + n},{'home' if n % 2 else 'work'}\n" for n in range(50)
    )
    events.write_text(f"user_id,item_id,timestamp,place\n{rows}u1,nothing,1600000000,home\n")
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\n" + "".join(f"p{n},Product {n}\n" for n in range(7)))
    return SimpleNamespace(
        events=str(events), items=str(items), workspace=str(tmp_path / "ws"), root=tmp_path
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def imported(files: SimpleNamespace, *more: str) -> Result:
    return run(
        "import",
        "--interactions",
        files.events,
        "--items",
        files.items,
        "--workspace",
        files.workspace,
        *more,
    )


def failure(result: Result, kind: type[TastemakerError]) -> TastemakerError:
    assert isinstance(result.exception, kind), result.exception
    return result.exception


def test_import_shows_guesses_and_counts(files: SimpleNamespace) -> None:
    result = imported(files)
    assert result.exit_code == 0
    assert "user=user_id, item=item_id, timestamp=timestamp (seconds), context: place" in result.stdout
    assert "interactions: 50 of 51 rows kept" in result.stdout
    assert "1 interactions with unknown items left out" in result.stdout
    assert Dataset.load(Path(files.workspace) / "data").counts == {"items": 7, "interactions": 50, "users": 5}


def test_import_prints_one_json_document(files: SimpleNamespace) -> None:
    result = imported(files, "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["dataset"]["interactions"] == 50
    assert document["cleaning"]["rows"]["interactions"] == {"read": 51, "kept": 50}
    assert document["index_out_of_date"] is False
    assert "context: place" in result.stderr


def test_a_failed_import_leaves_the_old_data_whole(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(files)
    data = Path(files.workspace) / "data"
    before = {path.name: sha256_of(path) for path in data.iterdir()}
    broken = files.root / "broken.json"
    broken.write_text('[{"user": ')
    result = run("import", "--interactions", str(broken), "--workspace", files.workspace)
    failure(result, DataError)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tastemaker.data.dataset.pq.write_table", full)
    assert "disk is full" in str(failure(imported(files), StorageError))
    assert {path.name: sha256_of(path) for path in data.iterdir()} == before
    assert sorted(path.name for path in Path(files.workspace).iterdir()) == ["data"]


def test_new_data_make_an_index_out_of_date(files: SimpleNamespace) -> None:
    (Path(files.workspace) / "index").mkdir(parents=True)
    result = imported(files, "--json")
    assert json.loads(result.stdout)["index_out_of_date"] is True
    assert "out of date" in result.stderr


def test_columns_can_be_named(files: SimpleNamespace) -> None:
    result = imported(files, "--column", "event=place", "--json")
    assert json.loads(result.stdout)["dataset"]["events"] == {"home": 25, "work": 25}
    failure(imported(files, "--column", "event"), RequestError)
    assert "no column 'nowhere'" in str(failure(imported(files, "--column", "event=nowhere"), DataError))


def test_describe(files: SimpleNamespace) -> None:
    imported(files)
    document = json.loads(run("describe", "--workspace", files.workspace, "--json").stdout)
    assert document["context"] == {"place": {"distinct": 2, "filled": 1.0}}
    assert document["time"]["from"] == "2020-09-13T12:26:40+00:00"
    assert "history length" in run("describe", "--workspace", files.workspace).stdout
    failure(run("describe", "--workspace", str(files.root / "none")), WorkspaceError)


@pytest.mark.parametrize(("kind", "test"), [("loo", 5), ("ratio", 10), ("time", 5)])
def test_split(files: SimpleNamespace, kind: str, test: int) -> None:
    imported(files)
    target = files.root / "split"
    result = run("split", "--workspace", files.workspace, "--kind", kind, "--out", str(target), "--json")
    facts = json.loads(result.stdout)
    assert facts["test"] == test
    assert facts["train"] + facts["validation"] + facts["test"] == 50
    rows = [json.loads(line) for line in (target / "test.jsonl").read_text().splitlines()]
    assert len(rows) == test
    assert set(rows[0]) == {"user_id", "item_id", "timestamp", "event", "value", "place"}
    assert Dataset.load(target / "train").interactions.num_rows == facts["train"]


def test_split_never_replaces_a_folder_of_something_else(files: SimpleNamespace) -> None:
    imported(files)
    failure(run("split", "--workspace", files.workspace, "--out", str(files.root)), StorageError)
    assert Path(files.events).is_file()
    failure(run("split", "--workspace", files.workspace, "--ties", "luck"), DataError)


def test_fetch_puts_a_known_set_into_a_workspace(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files.root / "ml"
    folder.mkdir()
    (folder / "ml-100k.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    (folder / "ml-100k.item").write_text("item_id:token\tmovie_title:token_seq\n2\tHeat\n")
    (folder / "ml-100k.user").write_text("user_id:token\tage:token\n1\t30\n")
    source = SimpleNamespace(path=folder, notes=("for research",))
    monkeypatch.setattr("tastemaker.weights.fetch.ensure", lambda name, progress=None: source)
    result = run("fetch", "ml-100k", "--workspace", files.workspace, "--json")
    assert json.loads(result.stdout)["dataset"]["items"] == 1
    assert "for research" in result.stderr
    assert "known are ml-100k" in str(
        failure(run("fetch", "ml-1b", "--workspace", files.workspace), DataError)
    )
