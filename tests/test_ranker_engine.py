"""The training loop on a tiny network: what must not change a step does not, and the best adapter is kept."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tastemaker.agent.llm_files import Loaded, load_files
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ConfigError, ModelError
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.engine import Outcome, StepReport, Trainer
from tastemaker.finetune.ranker.examples import ExampleSet, choose_events, seen_items_only
from tastemaker.finetune.ranker.lora import Base, TunedNetwork
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Tools
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.registry import make_objective
from tastemaker.finetune.ranker.schedule import examples_of_step, steps_of
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import film_data
from tastemaker.testing.language_models import tiny_model_folder
from tastemaker.testing.retrievers import RandomRetriever

STEADY = {"dropout": 0.0, "batch": 4, "max_steps": 3, "epochs": 9, "warmup": 0.0, "rank": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")


class Run:
    """One training over a fresh copy of the network."""

    def __init__(self, folder: Path, quantization: Any = "none", **recipe: Any) -> None:
        self.recipe = Recipe(**{**STEADY, **recipe})
        loaded: Loaded = load_files(
            folder,
            name="tiny",
            fingerprint=None,
            adapter=None,
            quantization=quantization,
            dtype="float32",
            device="cpu",
        )
        base = Base(
            name="tiny",
            fingerprint="f",
            licence="none",
            causal=loaded.causal,
            tokenizer=loaded.tokenizer,
            pad_id=loaded.pad_id,
        )
        self.tuned = TunedNetwork(base, self.recipe)
        layout = ChatLayout(loaded.tokenizer)
        renderer = PromptRenderer(
            lambda texts: [len(ids) for ids in layout.ids(texts)], history_length=3, domain="films"
        )
        self.objective = make_objective(self.recipe, Tools(layout=layout, renderer=renderer))
        self.examples = examples(self.recipe)

    def train(
        self,
        place: Path,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        report: Callable[[StepReport], None] | None = None,
        **options: Any,
    ) -> Outcome:
        return Trainer(
            self.tuned,
            options.get("objective", self.objective),
            self.examples,
            self.recipe,
            pad_id=0,
            identity=self.recipe.as_dict(),
            folder=place,
            evaluate=evaluate,
            report=report,
        ).run(resume=options.get("resume", False))


def examples(recipe: Recipe) -> ExampleSet:
    train = seen_items_only(leave_one_out(film_data()).train)
    events = choose_events(train, recipe)
    table = retrieve_candidates(
        train, events, RetrieverSource(build=RandomRetriever, fingerprint="random"), 5
    )
    return ExampleSet(train, events, table, recipe, needs_target=True)


def lines(place: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (place / "losses.jsonl").read_text().splitlines()]


def test_every_example_comes_once_per_epoch_in_another_order() -> None:
    recipe = Recipe(batch=4, epochs=3)
    assert steps_of(10, recipe) == 9
    epochs = [
        [place for step in range(first, first + 3) for place in examples_of_step(step, 10, recipe)]
        for first in (0, 3, 6)
    ]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert steps_of(10, Recipe(batch=4, epochs=3, max_steps=5)) == 5


@pytest.mark.parametrize(
    "same", [{"micro_tokens": 1}, {"micro_tokens": 100_000}, {"gradient_checkpointing": True}]
)
def test_how_a_step_is_computed_does_not_change_it(
    folder: Path, tmp_path: Path, same: dict[str, Any]
) -> None:
    one = Run(folder).train(tmp_path / "one")
    other = Run(folder, **same).train(tmp_path / "other")
    for name, value in one.weights.items():
        torch.testing.assert_close(other.weights[name], value, atol=2e-5, rtol=1e-3)
    assert one.tokens == other.tokens


def test_the_rate_rises_and_falls_on_a_cosine(folder: Path, tmp_path: Path) -> None:
    recipe = {"max_steps": 8, "warmup": 0.25, "final_rate": 0.1, "learning_rate": 1e-3, "batch": 1}
    Run(folder, **recipe).train(tmp_path)
    rates = [line["learning_rate"] for line in lines(tmp_path)]
    assert rates[:3] == pytest.approx([0.5e-3, 1e-3, 1e-3])
    # Step 6 of 8 stands at half of the cosine's way: (1 + .1) / 2.
    assert rates[5] == pytest.approx(0.55e-3)
    assert rates[-1] < 0.25e-3


def test_only_the_uppermost_layers_are_adapted(folder: Path) -> None:
    upper = Run(folder, lora_layers=1).tuned.trainable
    both = Run(folder).tuned.trainable
    assert {name.split("layers.")[1][0] for name in upper} == {"1"}
    assert {name.split("layers.")[1][0] for name in both} == {"0", "1"}
    kinds = {name.split(".")[-4] for name in both}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    with pytest.raises(ConfigError, match="lora_layers is 3; tiny has 2 layers"):
        Run(folder, lora_layers=3)


def test_the_best_weights_are_kept_and_patience_ends_the_training(folder: Path, tmp_path: Path) -> None:
    run = Run(folder, max_steps=12, eval_every=2, patience=2, best_by="nll")
    values = iter([4.0, 3.0, 1.0, 2.0, 1.5, 0.0])
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate() -> dict[str, float]:
        seen.append(run.tuned.weights())
        return {"nll": next(values)}

    told: list[StepReport] = []
    outcome = run.train(tmp_path, evaluate, told.append)
    # The third evaluation, after step 4, is the best; two without gain follow it.
    assert (outcome.best_step, outcome.steps, outcome.metrics) == (4, 8, {"nll": 1.0})
    assert all(torch.equal(outcome.weights[name], seen[2][name]) for name in outcome.weights)
    assert any(not torch.equal(outcome.weights[name], seen[4][name]) for name in outcome.weights)
    assert [one.step for one in told if one.metrics] == [2, 4, 6, 8]
    assert all(one.tokens_per_second > 0 and math.isfinite(one.loss) for one in told)


def test_training_that_only_harms_returns_its_start(folder: Path, tmp_path: Path) -> None:
    run = Run(folder, max_steps=4, eval_every=2, best_by="nll")
    start, values = run.tuned.weights(), iter([1.0, 2.0, 3.0])
    outcome = run.train(tmp_path, lambda: {"nll": next(values)})
    assert (outcome.best_step, outcome.steps, outcome.metrics) == (0, 4, {"nll": 1.0})
    assert all(torch.equal(outcome.weights[name], value) for name, value in start.items())
    assert any(not torch.equal(run.tuned.weights()[name], value) for name, value in start.items())


def test_resumed_after_the_best_it_still_returns_the_best(folder: Path, tmp_path: Path) -> None:
    recipe = {"max_steps": 6, "eval_every": 2, "best_by": "nll", "dropout": 0.2}
    values = {0: 4.0, 2: 1.0, 4: 2.0, 6: 3.0}

    def train(place: Path, fail_at: int | None = None, resume: bool = False) -> Outcome:
        run, evaluations = Run(folder, **recipe), list(values)
        if resume:
            evaluations = [4, 6]

        def evaluate() -> dict[str, float]:
            return {"nll": values[evaluations.pop(0)]}

        def report(step: StepReport) -> None:
            if step.step == fail_at:
                raise KeyboardInterrupt

        return run.train(place, evaluate, report, resume=resume)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", fail_at=3)
    resumed = train(tmp_path / "cut", resume=True)
    assert (resumed.best_step, resumed.metrics) == (whole.best_step, whole.metrics) == (2, {"nll": 1.0})
    assert all(torch.equal(resumed.weights[name], value) for name, value in whole.weights.items())
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_a_loss_that_is_no_number_ends_the_training(folder: Path, tmp_path: Path) -> None:
    run = Run(folder)

    class Broken:
        form, needs_target, encode = "answer", True, run.objective.encode

        def loss(self, network: TrainedNetwork, batch: Sequence[Any]) -> torch.Tensor:
            return run.objective.loss(network, batch) * torch.nan

    with pytest.raises(ModelError, match="the loss of step 1 is nan"):
        run.train(tmp_path, objective=Broken())


@pytest.mark.slow
def test_qlora_learns_through_4_bit_weights_also_after_an_evaluation(folder: Path, tmp_path: Path) -> None:
    run = Run(folder, "nf4", max_steps=24, learning_rate=3e-3, eval_every=6, best_by="nll")
    kinds = {type(module).__name__ for module in run.tuned.causal.modules()}
    assert "Linear4bit" in kinds

    def evaluate() -> dict[str, float]:
        # A forward pass in evaluation mode is where bitsandbytes would pack its weights.
        network = TrainedNetwork(run.tuned.causal, 0)
        encoded = [run.objective.encode(run.examples[place]) for place in range(6)]
        with torch.inference_mode():
            return {"nll": float(run.objective.loss(network, encoded).mean())}

    outcome = run.train(tmp_path, evaluate)
    losses = [line["loss"] for line in lines(tmp_path)]
    assert sum(losses[-6:]) < sum(losses[:6]) - 1.0
    late = [value for name, value in run.tuned.trainable.items() if "lora_B" in name]
    assert all(value.abs().sum() > 0 for value in late)
    assert outcome.best_step > 6


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from safetensors.torch import save_file
from test_ranker_engine import Run
outcome = Run(Path(sys.argv[2]), micro_tokens=1).train(Path(sys.argv[3]))
save_file(outcome.weights, Path(sys.argv[3]) / "rank.safetensors")
"""


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(folder: Path, tmp_path: Path) -> None:
    one = Run(folder).train(tmp_path / "one")
    script = tmp_path / "two.py"
    script.write_text(TWO)
    launch = "accelerate.commands.launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no"
    command = [sys.executable, "-m", *launch.split(), "--main_process_port", "29471", str(script)]
    subprocess.run(
        [*command, str(Path(__file__).parent), str(folder), str(tmp_path / "two")],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    two = load_file(tmp_path / "two" / "rank.safetensors")
    for name, value in one.weights.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=1e-3)
    assert [line["step"] for line in lines(tmp_path / "two")] == [1, 2, 3]
