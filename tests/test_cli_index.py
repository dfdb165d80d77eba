"""``tastemaker index``: what it prints, with the embedding model replaced by the shipped fake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tastemaker.agent.cli.index import app
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError, FilterError, RequestError, WorkspaceError
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import contract_dataset


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(source: str, *, progress: object = None) -> HashEmbedder:
        return HashEmbedder(64, seed=1 if source == "other" else 0)

    monkeypatch.setattr("tastemaker.index.embeddings.load_embedder", load)
    monkeypatch.setattr("tastemaker.index.build.load_embedder", load)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    contract_dataset().save(tmp_path / "data")
    return tmp_path


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def call_json(*arguments: object) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_build_says_how_many_were_new(workspace: Path) -> None:
    first = call_json("build", "--workspace", workspace)
    assert (first["items"], first["embedded"], first["reused"], first["kind"]) == (24, 24, 0, "exact")
    assert "24 items" in (text := call("build", "--workspace", workspace).stdout)
    assert "0 newly embedded, 24 known before" in " ".join(text.split())


def test_search_ranks_by_meaning_under_filters(workspace: Path) -> None:
    call("build", "--workspace", workspace)
    found = call_json("search", "western film number 3", "-k", 3, "--workspace", workspace)
    assert found["items"][0]["id"] == "western-3"
    assert [item["rank"] for item in found["items"]] == [1, 2, 3]
    filters = ("--filter", "genres has Horror", "--filter", "year>=1992")
    found = call_json("search", "western film", "-k", 50, "--workspace", workspace, *filters)
    assert {item["id"] for item in found["items"]} == {f"horror-{number}" for number in range(4, 8)}
    assert (
        "No item meets the filters"
        in call("search", "x", "--workspace", workspace, "--filter", "year>3000").stdout
    )
    assert "western-3" in call("search", "western number 3", "--workspace", workspace).stdout


def test_info_says_whether_the_index_fits_the_data(workspace: Path) -> None:
    call("build", "--workspace", workspace)
    assert call_json("info", "--workspace", workspace)["current"] is True
    old = contract_dataset()
    Dataset.from_tables(old.items.slice(0, 20)).save(workspace / "data")
    assert call_json("info", "--workspace", workspace)["current"] is False
    assert "tastemaker index build" in call("info", "--workspace", workspace).stdout
    with pytest.raises(ArtifactError, match="built from other data"):
        call("search", "x", "--workspace", workspace)
    again = call_json("build", "--workspace", workspace)
    assert (again["items"], again["embedded"]) == (20, 0)
    assert call_json("info", "--workspace", workspace)["current"] is True


def test_wrong_input_is_an_error_that_says_what_to_do(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="index build"):
        call("info", "--workspace", workspace)
    call("build", "--workspace", workspace)
    with pytest.raises(WorkspaceError, match="no workspace"):
        call("build", "--workspace", tmp_path / "nowhere")
    with pytest.raises(FilterError, match="did you mean year"):
        call("search", "x", "--workspace", workspace, "--filter", "yaer>3")
    with pytest.raises(RequestError, match="empty"):
        call("search", "  ", "--workspace", workspace)
    with pytest.raises(ArtifactError, match="built with embedding model"):
        call("search", "x", "--workspace", workspace, "--set", "embedder=other")
    (workspace / "index" / "index.faiss").write_bytes(b"junk")
    with pytest.raises(ArtifactError, match="index build"):
        call("info", "--workspace", workspace)
