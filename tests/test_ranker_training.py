"""`tastemaker train ranker` on a tiny model: learns, resumes to the same bytes when killed, leaks nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from tastemaker.agent.cli.app import run
from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.llm_files import load_files
from tastemaker.artifacts import read_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import tiny_model_folder
from tastemaker.weights.fetch import ensure

SCRIPT = """
import tastemaker.agent.cli.ranker_parts as parts
from tastemaker.testing.embedders import HashEmbedder
parts.load_embedder = lambda source, progress=None: HashEmbedder()
from tastemaker.agent.cli.app import run
run()
"""
MATCH = ("--objective", "match", "--lora-layers", 1, "--epochs", 3, "-o", "stretch=5", "-o", "factors=3")
OBJECTIVES = pytest.mark.parametrize("objective", [(), MATCH], ids=["answer", "match"])
QUICK = ("--eval-users", 6, "--option", "batch=4", "--option", "eval_every=6", "--option", "best_by=nll")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")


def workspace(folder: Path, model: Path, dataset: Dataset | None = None) -> Path:
    (dataset or film_data()).save(folder / "data")
    settings = {
        "llm": str(model),
        "domain": "films",
        "dtype": "float32",
        "candidates": "6",
        "history_length": "4",
    }
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    return folder


def losses(run_folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_folder / "losses.jsonl").read_text().splitlines()]


class Cli:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(
            "tastemaker.agent.cli.ranker_parts.load_embedder", lambda source, progress=None: HashEmbedder()
        )

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["tastemaker", "train", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = self._capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    def trains(self, *words: object) -> dict[str, Any]:
        """Train to the end and return the JSON document."""
        code, out, err = self("ranker", *words, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def fails(self, code: int, *words: object, says: str) -> None:
        got, _, err = self(*words)
        assert got == code, err
        assert says in " ".join(err.split())


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@OBJECTIVES
def test_killed_and_resumed_it_ends_in_the_same_bytes(
    objective: tuple[object, ...], model: Path, tmp_path: Path, cli: Cli
) -> None:
    place, out = workspace(tmp_path / "w", model), tmp_path / "out"
    options = ("-w", place, "--out", out, *QUICK, *objective)
    options = (*options, "--max-steps", 20, "--option", "checkpoint_every=4")
    # What others in this process may have done: the killed training runs in one where nobody has.
    torch.set_num_threads(torch.get_num_threads())
    whole = cli.trains(*options)
    straight = losses(tmp_path / "out.run")
    steps = len(straight)
    assert [line["step"] for line in straight] == list(range(1, steps + 1))
    # The other training runs under the same name, so that the command in its manifest is the same.
    out.rename(tmp_path / "kept")
    (tmp_path / "out.run").rename(tmp_path / "kept.run")

    at = random.Random().randint(5, steps - 6)
    kill_after(at, tmp_path / "out.run" / "losses.jsonl", "ranker", *options, "--json")
    assert not out.exists()
    cli.fails(2, "ranker", *options, says="was not finished")
    resumed = cli.trains(*options, "--resume")
    assert losses(tmp_path / "out.run") == straight, f"killed at step {at}"
    assert resumed == whole
    files = sorted(path.name for path in (tmp_path / "kept").iterdir())
    head = ["match_head.safetensors"] if objective else []
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json", *head]
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "kept" / name).read_bytes(), name
    assert not (tmp_path / "out.run" / "checkpoint").exists()


def kill_after(steps: int, log: Path, *words: object) -> None:
    """Train in a process of its own and kill it as soon as ``log`` has so many lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "train", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not (log.is_file() and len(log.read_bytes().splitlines()) >= steps):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"


def test_it_learns_the_circle_and_serves(model: Path, tmp_path: Path, cli: Cli) -> None:
    place = workspace(tmp_path / "w", model)
    told = cli.trains("-w", place, *QUICK, "--max-steps", 18, "--learning-rate", 0.002, "--tensorboard")
    curve = losses(place / "ranker" / "adapter.run")
    first, last = (sum(line["loss"] for line in part) / 5 for part in (curve[:5], curve[-5:]))
    assert last < first - 0.5
    measured = [line["nll"] for line in curve if "nll" in line]
    assert len(measured) == 3
    assert told["metrics"]["nll"] == min(measured)
    assert list((place / "ranker" / "adapter.run" / "tensorboard").glob("events.*"))

    adapter = place / "ranker" / "adapter"
    manifest = read_manifest(adapter, "lora-adapter")
    assert manifest["recipe"]["max_steps"] == 18
    card = (adapter / "README.md").read_text()
    for words in (
        "tastemaker train ranker",
        str(model.name),
        "not stated; ask",
        "NDCG@10, language model alone",
    ):
        assert words in card
    source = ensure(str(model))
    served = TransformersLM.load(
        model, name=source.name, fingerprint=source.fingerprint, adapter=adapter, dtype="float32"
    )
    assert served.adapter_template == manifest["template"]


def test_a_head_alone_is_trained_and_served_without_lora(model: Path, tmp_path: Path, cli: Cli) -> None:
    place = workspace(tmp_path / "w", model)
    told = cli.trains("-w", place, *QUICK, *MATCH, "--epochs", 0)
    assert (told["steps"], told["best_step"]) == (0, 0)
    source = ensure(str(model))
    adapter = place / "ranker" / "adapter"

    def served() -> list[str]:
        loaded = load_files(
            model, name=source.name, fingerprint=source.fingerprint, adapter=adapter, quantization="none",
            dtype="float32", device="cpu",
        )  # fmt: skip
        return [name for name, _ in loaded.causal.named_modules() if "lora" in name]

    assert not served()
    cli.trains(
        "-w", place, *MATCH, "-o", "batch=4", "-o", "eval_every=6", "--max-steps", 2, "--eval-users", 0
    )
    assert served()
    cli.fails(2, "ranker", "-w", place, "--epochs", 0, says="epochs is 0, and there is no head")
    cli.fails(2, "ranker", "-w", place, "--objective", "match", says="lora_layers is 0")
    cli.fails(2, "ranker", "-w", place, *MATCH, "--lm-weight", 0.5, says="lm_weight is 0.5")


@OBJECTIVES
def test_nothing_held_out_reaches_an_artefact(
    objective: tuple[object, ...], model: Path, tmp_path: Path, cli: Cli
) -> None:
    """The test split's item does not change a byte of what is trained, and is named nowhere."""
    contents = []
    for name, canary in (("one", "canary-7731"), ("other", "canary-9020")):
        place = workspace(tmp_path / name, model, _with_canary(canary))
        cli.trains("-w", place, *QUICK, *objective, "--max-steps", 4, "--out", place / "adapter")
        kept = {}
        for path in [*place.glob("adapter/*"), *place.glob("adapter.run/**/*.*")]:
            assert canary.encode() not in path.read_bytes()
            assert b"Planted" not in path.read_bytes()
            kept[path.name] = path.read_bytes()
        contents.append(kept)
    one, other = contents
    head = ["match_head.safetensors"] if objective else []
    for name in ("adapter_model.safetensors", "candidates.safetensors", "losses.jsonl", *head):
        assert one[name] == other[name], name


def _with_canary(item_id: str) -> Dataset:
    """The films, with every user's last two events on an item that nobody has in training."""
    data = film_data()
    planted = {name: [None] for name in data.items.column_names}
    planted |= {"id": [item_id], "title": [f"Planted {item_id}"], "description": [f"Planted {item_id}."]}
    planted |= {"genres": [["Comedy"]], "year": [1990]}
    items = pa.concat_tables([data.items, pa.table(planted, schema=data.items.schema)])
    events = data.interactions
    late = pc.rank(events["timestamp"], sort_keys="descending", tiebreaker="dense").to_numpy() <= 1
    ids = [item_id if held else id_ for held, id_ in zip(late, events["item_id"].to_pylist(), strict=True)]
    column = events.column_names.index("item_id")
    return replace(data, items=items, interactions=events.set_column(column, "item_id", pa.array(ids)))


def test_a_dry_run_shows_what_the_loss_reads_and_writes_no_adapter(
    model: Path, tmp_path: Path, cli: Cli
) -> None:
    place = workspace(tmp_path / "w", model)
    code, out, err = cli("ranker", "-w", place, "--dry-run", "--objective", "next-title", "--json")
    assert code == 0, err
    told = json.loads(out)
    # 30 users with six training events, of which three have three before them.
    assert told["events"] == told["examples"] == 90
    assert told["retrieved"] > 30
    assert told["steps"] == 6
    assert told["truncated"] == 0.0
    assert told["tokens_mean"] <= told["tokens_p95"] <= told["tokens_max"]
    assert told["seconds"] > 0
    assert len(told["rendered"]) == 3
    [text] = told["rendered"][0]
    assert "⟦ The " in text
    assert text.rstrip().endswith("⟧")
    assert not (place / "ranker" / "adapter").exists()
    code, out, _ = cli("ranker", "-w", place, "--dry-run", "--set", "history_length=2")
    assert code == 0
    assert "Nothing was trained." in out


def test_wrong_input_is_named(model: Path, tmp_path: Path, cli: Cli) -> None:
    place = workspace(tmp_path / "w", model)
    base = ("ranker", "-w", place)
    cli.fails(2, *base, "--objective", "letters", says="known are match, labels, answer, title, next-title")
    cli.fails(2, *base, "--option", "ranck=8", says="unknown training option 'ranck'")
    cli.fails(2, *base, "--lora-layers", 3, says="lora_layers is 3")
    cli.fails(2, *base, "--llm", "none", says="training needs weights")
    cli.fails(2, *base, "--llm", "http://localhost:1", says="training needs weights")
    cli.fails(2, *base, "--quantization", "int8", says="training knows none and nf4")
    cli.fails(2, *base, "--resume", says="holds no checkpoint")
    cli.fails(2, *base, "--protocol", "loo-validation", says="use loo")
    cli.fails(2, "ranker", "--out", tmp_path / "x", says="reads a workspace")
    cli.fails(2, *base, "--recipe", tmp_path / "none.yaml", says="cannot read the recipe")
    cli.fails(2, *base, "--set", "candidates=1", "--device", "tpu", says="device is 'tpu'")
    (tmp_path / "recipe.yaml").write_text("rank: 4\nepochs: none\n")
    cli.fails(2, *base, "--recipe", tmp_path / "recipe.yaml", says="training option epochs is 'none'")


def test_resuming_with_another_option_names_it(model: Path, tmp_path: Path, cli: Cli) -> None:
    from tastemaker.finetune.ranker import engine

    place = workspace(tmp_path / "w", model)
    options = ("ranker", "-w", place, *QUICK, "--max-steps", 6, "--option", "checkpoint_every=2")
    with pytest.MonkeyPatch.context() as patch:
        step = engine.Trainer._step

        def broken(self: Any, number: int) -> tuple[float, int]:
            if number == 3:
                raise KeyboardInterrupt
            return step(self, number)

        patch.setattr(engine.Trainer, "_step", broken)
        assert cli(*options)[0] == 130
    cli.fails(2, *options, "--resume", "--option", "rank=8", says="begun with rank = 16; now it is 8")
    cli.fails(2, *options, "--resume", "--set", "candidates=9", says="begun with candidates = 6; now it is 9")
    assert cli(*options, "--resume")[0] == 0
