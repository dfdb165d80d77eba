"""Which adapter ranks: what was asked for, else the workspace's own, else the domain's shipped one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tastemaker.agent.assemble import load_fusion, make_reranker
from tastemaker.agent.rankers import ranking_settings, require_unseen, shipped
from tastemaker.artifacts import MANIFEST, atomic_folder, write_manifest
from tastemaker.config import Settings
from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.finetune.ranker.files import adapter_hash
from tastemaker.fusion import DEFAULT_FUSION, Fusion
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.workspace import Workspace


def adapter(folder: Path, base: str = "gemma-3-270m", **facts: object) -> Path:
    with atomic_folder(folder) as staged:
        (staged / "adapter_model.safetensors").write_bytes(b"weights")
        write_manifest(staged, "lora-adapter", {"base": base, "scoring": "match", **facts})
    return folder


def test_a_named_adapter_brings_its_base_model_and_scoring_form(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "mine")
    found = ranking_settings(Settings(ranker=str(folder), candidates=40))
    assert (found.llm, found.adapter, found.scoring) == ("gemma-3-270m", folder, "match")
    assert found.candidates == 40


def test_the_adapter_is_served_as_it_was_trained_unless_told_otherwise(tmp_path: Path) -> None:
    trained = {"candidates": 100, "title_tokens": 12, "prompt_tokens": 512, "quantization": "nf4"}
    folder = adapter(tmp_path / "mine", settings={**trained, "history_length": 32, "domain": "music"})
    found = ranking_settings(Settings(ranker=str(folder)))
    assert {name: getattr(found, name) for name in trained} == trained
    assert (found.history_length, found.domain) == (32, Settings().domain)
    found = ranking_settings(Settings(ranker=str(folder), candidates=40, quantization="int8"))
    assert (found.candidates, found.quantization, found.title_tokens) == (40, "int8", 12)


def test_auto_takes_the_workspaces_own_adapter(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    assert ranking_settings(Settings(), place) == Settings()
    folder = adapter(place.ranker / "adapter")
    assert ranking_settings(Settings(), place).adapter == folder


@pytest.mark.parametrize(
    "asked",
    [
        Settings(ranker="none"),
        Settings(llm="none"),
        Settings(llm="http://localhost:8000"),
        Settings(scoring="labels"),
        Settings(adapter=Path("other")),
    ],
    ids=["no ranker", "no model", "another model", "another form", "another adapter"],
)
def test_whoever_asks_for_something_else_gets_it(asked: Settings, tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    adapter(place.ranker / "adapter")
    assert ranking_settings(asked, place) is asked


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no adapter with a {MANIFEST}"):
        ranking_settings(Settings(ranker=str(tmp_path)))


def test_a_damaged_adapter_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "mine")
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"adapter_model\.safetensors"):
        ranking_settings(Settings(ranker=str(folder)))


def test_a_domain_without_a_shipped_adapter_is_ranked_by_the_model_as_it_is() -> None:
    products = Settings(domain="products")
    assert ranking_settings(products) is products
    assert not (shipped("products") / MANIFEST).exists()


def test_weights_fitted_for_one_adapter_are_not_used_for_another(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    mine = adapter(tmp_path / "mine")
    place.ranker.mkdir()
    fitted = {"retrieval": 0.5, "llm": 0.25, "adapter": adapter_hash(mine)}
    (place.ranker / "fusion.json").write_text(json.dumps({"match": fitted}))
    asked = Settings(scoring="match", adapter=mine)
    assert load_fusion(place, asked) == Fusion(retrieval=0.5, llm=0.25)
    (mine / "match_head.safetensors").write_bytes(b"another head over the same network")
    assert load_fusion(place, asked) == DEFAULT_FUSION["match"]
    assert load_fusion(place, Settings(scoring="match")) == DEFAULT_FUSION["match"]
    assert load_fusion(place, asked, "ml-latest-small") == DEFAULT_FUSION["match"]


def test_an_adapter_weighs_what_its_own_evaluation_found(tmp_path: Path) -> None:
    useless = adapter(tmp_path / "useless", metrics={"retrieval_weight": 0.9, "llm_weight": 0.0})
    found = load_fusion(None, Settings(scoring="match", adapter=useless))
    assert found == Fusion(retrieval=0.9, llm=0.0)
    unmeasured = adapter(tmp_path / "unmeasured", metrics={})
    assert load_fusion(None, Settings(scoring="match", adapter=unmeasured)) == DEFAULT_FUSION["match"]


def test_an_adapter_is_not_measured_on_what_it_learned_under_another_name(tmp_path: Path) -> None:
    data = {"name": "Shop of Ann", "whole": "all", "fingerprint": "part", "parts": ["part", "other draw"]}
    asked = Settings(adapter=adapter(tmp_path / "mine", data=data))
    for part in ("part", "other draw"):
        require_unseen(asked, "the data of workspace shop", "all", part)
    require_unseen(asked, "the data of workspace shop", "other data", "any part")
    for name, whole in (("the data of workspace copy", "all"), ("Shop of Ann", "grown since")):
        with pytest.raises(ConfigError, match="was trained on another part"):
            require_unseen(asked, name, whole, "another split's part")


def test_the_form_match_needs_a_head() -> None:
    with pytest.raises(ConfigError, match="scoring is 'match', and scripted has no head for it"):
        make_reranker(ScriptedLanguageModel(), Settings(scoring="match"), Fusion())
