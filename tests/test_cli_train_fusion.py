"""``tastemaker train fusion``: weights from validation items alone, written where serving reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tastemaker.agent.assemble import load_fusion
from tastemaker.agent.cli.app import app
from tastemaker.config import Settings
from tastemaker.errors import ConfigError, DataError, TastemakerError
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.workspace import Workspace


def fit(*words: object) -> Result:
    done = CliRunner().invoke(app, ["train", "fusion", *map(str, words)])
    if isinstance(done.exception, TastemakerError):
        raise done.exception
    return done


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    film_data().save(tmp_path / "data")
    monkeypatch.setattr("tastemaker.eval.systems.load_embedder", lambda *_, **__: HashEmbedder())
    monkeypatch.setattr("tastemaker.agent.assemble.load_model", lambda *_: ScriptedLanguageModel())
    return tmp_path


def test_weights_are_written_for_the_scoring_form_and_served(shop: Path) -> None:
    told: dict[str, Any] = json.loads(fit("-w", shop, "--users", 20, "--json").stdout)
    assert told["users"] == 20
    assert told["retrieval"] > 0.1, "what comes next is known to the retriever"
    served = load_fusion(Workspace(shop), Settings())
    assert (served.retrieval, served.llm) == (told["retrieval"], told["llm"])
    assert json.loads((shop / "ranker" / "fusion.json").read_text())["title"] == served.to_dict()


def test_a_second_form_keeps_the_first(shop: Path) -> None:
    for form in ("title", "answer"):
        assert fit("-w", shop, "--users", 10, "--set", f"scoring={form}").exit_code == 0
    assert set(json.loads((shop / "ranker" / "fusion.json").read_text())) == {"title", "answer"}


def test_mistakes_are_told(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no language model to weigh"):
        fit("-w", shop, "--llm", "none")
    with pytest.raises(ConfigError, match="its last events would be trained on"):
        fit("-w", shop, "--protocol", "llamarec-validation")
    with pytest.raises(DataError, match="ratings"):
        fit("-w", shop, "--protocol", "llamarec", "--data", tmp_path / "nowhere")
    assert not (shop / "ranker").exists()
