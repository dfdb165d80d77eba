"""Training the user encoder: it learns, stops, resumes exactly, and never reads test events."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.artifacts import read_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ArtifactError, ConfigError, DataError
from tastemaker.finetune.sequential import SequentialRun
from tastemaker.finetune.sequential_data import MIN_STEPS, epoch_batches, validation_questions
from tastemaker.finetune.sequential_train import SequentialTraining
from tastemaker.index.build import index_texts
from tastemaker.index.sequential import KIND
from tastemaker.index.sequential_model import EncoderShape
from tastemaker.index.store import ItemIndex
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder

SMALL = SequentialTraining(shape=EncoderShape(dimension=16, length=6), epochs=5, learning_rate=5e-3)


def make_run(dataset: Dataset, config: SequentialTraining = SMALL) -> SequentialRun:
    split = leave_one_out(dataset)
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), HashEmbedder(24))
    return SequentialRun(split.train, split.validation, index, config)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_follows_in_the_circle_is_learned(tmp_path: Path) -> None:
    config = SequentialTraining(shape=EncoderShape(dimension=32), epochs=12)
    report = make_run(film_data(), config).train(tmp_path / "encoder")
    # Every film has one successor. By chance the next one of 34 films would be first in 3 of 100 cases.
    assert report.metrics["ndcg@10"] > 0.9
    assert report.history[-1]["loss"] < 0.5 * report.history[0]["loss"]
    manifest = read_manifest(tmp_path / "encoder", KIND)
    assert manifest["metrics"] == report.metrics
    assert (manifest["embedder"], manifest["seed"], manifest["items"]) == ("hash-24", 0, 40)


def test_the_best_epoch_is_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    config = replace(SMALL, epochs=40, patience=2, learning_rate=2e-2)
    report = make_run(film_data(), config).train(tmp_path / "encoder")
    best = max(row["ndcg@10"] for row in report.history)
    assert report.metrics["ndcg@10"] == best
    assert len(report.history) == report.metrics["epoch"] + 2 < 40
    # The weights are that epoch's and not the last one's: a run that ends there writes the same.
    shorter = replace(config, epochs=int(report.metrics["epoch"]))
    make_run(film_data(), shorter).train(tmp_path / "shorter")
    weights = "weights.safetensors"
    assert files_of(tmp_path / "encoder")[weights] == files_of(tmp_path / "shorter")[weights]


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    make_run(film_data()).train(tmp_path / "a")
    torch.manual_seed(99)
    random.seed(99)
    state = torch.random.get_rng_state()
    make_run(film_data()).train(tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's generator was moved"
    make_run(film_data(), replace(SMALL, seed=1)).train(tmp_path / "c")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert files_of(tmp_path / "a") != files_of(tmp_path / "c")


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from tests_sequential import SMALL, make_run
from tastemaker.testing.data import film_data

stop, steps = int(sys.argv[2]), 0
def count(stage, done, total):
    global steps
    steps += 1
    if steps == stop:
        os.kill(os.getpid(), signal.SIGKILL)
run = make_run(film_data(), replace(SMALL, checkpoint_steps=7))
run.train(Path(sys.argv[1]), resume=True, progress=count)
"""


def test_killed_at_a_random_step_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "tests_sequential.py").write_bytes(Path(__file__).read_bytes())
    config = replace(SMALL, checkpoint_steps=7)
    whole = make_run(film_data(), config).train(tmp_path / "whole")
    stops = [random.SystemRandom().randint(1, 30) for _ in range(2)]
    for stop in stops:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(stop)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == -9, f"killed at {stops}: {done.stderr}"
        assert not (tmp_path / "killed").exists()
    report = make_run(film_data(), config).train(tmp_path / "killed", resume=True)
    assert report.resumed == (sum(stop >= 7 for stop in stops) > 0), stops
    assert report.history == whole.history, f"killed at {stops}"
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole"), f"killed at {stops}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "tests_sequential.py", "whole"]


def interrupted(dataset: Dataset, config: SequentialTraining, folder: Path) -> None:
    def stop(stage: str, done: int, total: int | None) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_run(dataset, replace(config, checkpoint_steps=4)).train(folder, progress=stop)


def test_another_run_is_not_resumed_but_named(tmp_path: Path) -> None:
    interrupted(film_data(), SMALL, tmp_path / "encoder")
    with pytest.raises(ArtifactError, match=r"begun with config .*'seed': 0.*without --resume"):
        make_run(film_data(), replace(SMALL, checkpoint_steps=4, seed=1)).train(
            tmp_path / "encoder", resume=True
        )
    (checkpoint,) = tmp_path.iterdir()
    (checkpoint / "state.safetensors").write_bytes(b"junk")
    with pytest.raises(ArtifactError, match="bytes"):
        make_run(film_data(), replace(SMALL, checkpoint_steps=4)).train(tmp_path / "encoder", resume=True)


def with_test_events(dataset: Dataset, item_id: str) -> Dataset:
    """The data with every user's last item replaced by a new one."""
    rows = dataset.interactions.to_pylist()
    latest = {row["user_id"]: row["timestamp"] for row in sorted(rows, key=lambda row: row["timestamp"])}
    for row in rows:
        if row["timestamp"] == latest[row["user_id"]]:
            row["item_id"] = item_id
    items = dataset.items.to_pylist()
    items.append({"id": "canary", "title": "Canary", "description": "", "genres": [], "year": 2026})
    return Dataset.from_tables(
        pa.Table.from_pylist(items, schema=dataset.items.schema), pa.Table.from_pylist(rows)
    )


def test_no_test_event_reaches_the_artefact(tmp_path: Path) -> None:
    for name, item_id in (("canary", "canary"), ("other", "comedy-0")):
        make_run(with_test_events(film_data(), item_id)).train(tmp_path / name)
    assert files_of(tmp_path / "canary") == files_of(tmp_path / "other")


def test_ensure_trains_once_per_data_and_settings(tmp_path: Path) -> None:
    folder = make_run(film_data()).ensure(tmp_path)
    written = (folder / "weights.safetensors").stat().st_mtime_ns
    assert make_run(film_data()).ensure(tmp_path) == folder
    assert (folder / "weights.safetensors").stat().st_mtime_ns == written
    other = make_run(film_data(), replace(SMALL, epochs=1)).ensure(tmp_path)
    assert other.parent == folder.parent
    assert sorted(tmp_path.iterdir()) == sorted([folder, other])


def test_without_sequences_or_questions_there_is_nothing_to_train() -> None:
    items = film_data().items
    with pytest.raises(DataError, match="0 users have two training events"):
        make_run(Dataset.from_tables(items))
    pairs = pa.table({"user_id": ["u", "u"], "item_id": ["comedy-0", "comedy-1"], "timestamp": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"1 users .* 0 a validation event"):
        make_run(Dataset.from_tables(items, pairs))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="epochs is 0"):
        SequentialTraining(epochs=0)
    with pytest.raises(ConfigError, match=r"dropout is 1\.0"):
        SequentialTraining(dropout=1.0)
    with pytest.raises(ConfigError, match="3 heads do not divide a dimension of 64"):
        EncoderShape(heads=3)


def test_a_plan_counts_and_writes_nothing(tmp_path: Path) -> None:
    plan = make_run(film_data()).plan()
    assert (plan["users"], plan["validation_users"], plan["items"]) == (30, 30, 40)
    assert plan["targets_per_epoch"] == 30 * 5
    assert plan["steps_per_epoch"] == MIN_STEPS
    assert not list(tmp_path.iterdir())


sequences = st.lists(st.integers(2, 40).map(lambda size: np.arange(size)), min_size=1, max_size=6)


@given(sequences, st.integers(2, 9), st.integers(1, 60), st.integers(0, 5))
def test_every_pass_asks_for_every_event_once(
    drawn: list[np.ndarray], length: int, positions: int, epoch: int
) -> None:
    # Items are numbered through, so that a target tells whose it is.
    starts = np.cumsum([0, *(100 for _ in drawn)])
    numbered = [items + start for items, start in zip(drawn, starts, strict=False)]
    batches = epoch_batches(numbered, length, positions, seed=3, epoch=epoch)
    targets = np.concatenate([window[1:] for batch in batches for window in batch])
    wanted = np.concatenate([items[1:] for items in numbered])
    passes = len(targets) // len(wanted)
    np.testing.assert_array_equal(np.sort(targets), np.sort(np.tile(wanted, passes)))
    for batch in batches:
        assert all(2 <= len(window) <= length + 1 and (np.diff(window) == 1).all() for window in batch)
        assert len(batch) == 1 or len(batch) * (max(map(len, batch)) - 1) <= positions


def test_validation_asks_for_the_first_held_out_event() -> None:
    split = leave_one_out(film_data())
    both = [*split.validation, *split.test]
    questions = validation_questions(split.train, both, limit=100, seed=0)
    assert len(questions) == 30
    for question in questions:
        ids = [split.train.item_ids[position] for position in (question.history[-1], question.target)]
        taste, number = ids[0].split("-")
        assert ids[1] == f"{taste}-{(int(number) + 1) % 20}"
    some = validation_questions(split.train, both, limit=7, seed=0)
    assert len(some) == 7
    assert {one.target for one in some} <= {one.target for one in questions}
