"""``tastemaker train retriever``: plan, train, resume, and the encoder in what is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tastemaker.agent.assemble import load_parts
from tastemaker.agent.cli.train import app
from tastemaker.config import resolve
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError, WorkspaceError
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Request
from tastemaker.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr("tastemaker.agent.assemble.load_embedder", lambda *_, **__: HashEmbedder(32))
    workspace = Workspace(tmp_path)
    film_data().save(workspace.data)
    build_index(film_data(), workspace.index, HashEmbedder(32))
    return workspace


def call(place: Workspace, *arguments: object) -> str:
    words = ["retriever", "--workspace", str(place.root), *map(str, arguments)]
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def call_json(place: Workspace, *arguments: object) -> Any:
    return json.loads(call(place, *arguments, "--json"))


def test_a_dry_run_says_what_would_happen_and_writes_nothing(place: Workspace) -> None:
    plan = call_json(place, "--dry-run", "--epochs", 3)
    assert (plan["users"], plan["trained_items"], plan["most_epochs"]) == (30, 40, 3)
    assert "targets per epoch  150" in call(place, "--dry-run")
    assert not place.retriever.exists()


def test_the_encoder_is_trained_and_served(place: Workspace) -> None:
    report = call_json(place, "--epochs", 2, "--seed", 3)
    assert (report["epochs"], report["seed"], report["resumed"]) == (2, 3, False)
    assert 0 < report["metrics"]["ndcg@10"] <= report["metrics"]["recall@20"] <= 1
    assert sorted(path.name for path in place.retriever.iterdir()) == ["sequential", "weights.json"]
    settings, _ = resolve(None, {"llm": "none", "explain": "none"})
    parts = load_parts(place, settings)
    (found,) = parts.retriever.retrieve([Request(history=parts.dataset.history("comedy-fan-0"))], 5)
    assert all("sequential" in candidate.sources for candidate in found)
    assert "ndcg@10" in call(place, "--epochs", 1, "--resume")


def test_other_interactions_need_a_new_encoder(place: Workspace) -> None:
    call(place, "--epochs", 1)
    changed = Dataset.from_tables(film_data().items, film_data().interactions.slice(8))
    changed.save(place.data)
    build_index(changed, place.index, HashEmbedder(32))
    settings, _ = resolve(None, {"llm": "none", "explain": "none"})
    with pytest.raises(ArtifactError, match=r"other interactions.*tastemaker train retriever"):
        load_parts(place, settings)
    call(place, "--epochs", 1)
    assert load_parts(place, settings).retriever


def test_without_an_index_it_says_what_to_type(tmp_path: Path) -> None:
    film_data().save(tmp_path / "data")
    with pytest.raises(WorkspaceError, match="index build"):
        call(Workspace(tmp_path))
