"""A merged model scores like base and adapter; where it does not, nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tastemaker.agent.cli.app import run
from tastemaker.agent.llm import TransformersLM
from tastemaker.artifacts import read_manifest, write_manifest
from tastemaker.errors import ModelError
from tastemaker.finetune.ranker import merge as merging
from tastemaker.finetune.ranker.merge import agreement
from tastemaker.prompts.chat import ChatLayout
from tastemaker.testing.language_models import tiny_adapter_folder, tiny_model_folder
from tastemaker.weights.fetch import ensure


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    """An adapter with a manifest, as training writes it, whose matrices are of a trained one's size."""
    folder = tiny_adapter_folder(tmp_path / "adapter", model)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: value / 8 for name, value in weights.items()}, folder / "adapter_model.safetensors")
    source = ensure(str(model))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    facts = {
        "base": str(model),
        "base_fingerprint": source.fingerprint,
        "tokenizer_fingerprint": ChatLayout(tokenizer).fingerprint,
        "template": "rerank-title.en@x",
        "scoring": "title",
        "settings": {"history_length": 5, "domain": "films"},
    }
    write_manifest(folder, "lora-adapter", facts)
    return folder


class Cli:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["tastemaker", "train", "merge", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = self._capsys.readouterr()
        return int(stopped.value.code or 0), out, err


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_merged_model_scores_like_the_adapter(
    model: Path, adapter: Path, tmp_path: Path, cli: Cli, dtype: str
) -> None:
    # The tiny network's weights are 20 times a real one's, and so is the rounding.
    monkey = pytest.MonkeyPatch()
    monkey.setattr(merging.Agreement.require, "__defaults__", (10.0, 0.5))
    code, out, err = cli("--adapter", adapter, "--out", tmp_path / "merged", "--dtype", dtype, "--json")
    monkey.undo()
    assert code == 0, err
    told = json.loads(out)["agreement"]
    assert told["prompts"] == 100
    manifest = read_manifest(tmp_path / "merged", "merged-model")
    assert manifest["agreement"] == told
    assert told["kendall_tau"] > (0.9 if dtype == "bfloat16" else 0.98)
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == getattr(torch, dtype)
    # An oracle beside the command's own proof: W + alpha / r * B A, rounded.
    weights = load_file(adapter / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    base = load_file(model / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    wanted = base + 2 * weights[f"{stem}.lora_B.weight"] @ weights[f"{stem}.lora_A.weight"]
    found = merged.model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(found.float(), wanted, rtol=0.01, atol=1e-3)
    served = TransformersLM.load(tmp_path / "merged", name="merged", dtype="float32")
    assert served.adapter is None


def test_a_wrong_merge_is_refused_and_leaves_nothing(
    adapter: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(causal: Any, adapter: Path, folder: Path, dtype: str) -> None:
        causal.to(torch.bfloat16).save_pretrained(folder)

    monkeypatch.setattr(merging, "merge_adapter", forgetful)
    code, _, err = cli("--adapter", adapter, "--out", tmp_path / "merged")
    assert code == 1
    assert "the merged model scores otherwise than the adapter" in " ".join(err.split())
    assert not (tmp_path / "merged").exists()


def test_wrong_input_is_named(model: Path, adapter: Path, tmp_path: Path, cli: Cli) -> None:
    code, _, err = cli("--adapter", adapter, "--out", tmp_path / "m", "--dtype", "int4")
    assert (code, "dtype is 'int4'" in err) == (2, True)
    code, _, err = cli("--adapter", tmp_path / "none", "--out", tmp_path / "m")
    assert (code, "holds no lora-adapter" in " ".join(err.split())) == (1, True)
    code, _, err = cli("--adapter", adapter, "--out", model)
    assert (code, "it is left alone" in " ".join(err.split())) == (1, True)


def test_agreement_counts_the_largest_step_and_the_order() -> None:
    before = [np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([0.0, 1.0], np.float32)]
    after = [np.array([1.0, 2.0, 4.5, 4.0], np.float32), np.array([0.0, 1.0], np.float32)]
    found = agreement(before, after)
    assert found.max_difference == pytest.approx(1.5)
    assert found.mean_difference == pytest.approx(1.5 / 6)
    # One of six pairs is turned: tau is 4/6; the other prompt agrees.
    assert found.kendall_tau == pytest.approx((2 / 3 + 1) / 2)
    with pytest.raises(ModelError, match="nothing was written"):
        found.require()
    agreement(before, before).require()
    broken = [np.array([np.nan, 2.0, 3.0, 4.0], np.float32), before[1]]
    with pytest.raises(ModelError, match="by up to nan nats"):
        agreement(before, broken).require()
