"""The training loop: steps, evaluations, checkpoints, and an exact way back into the middle.

Every optimizer step is a function of the weights, the optimizer's moments and the step number: the step's
examples, its learning rate and the random numbers of dropout all follow from the seed. So a training that was
killed and resumed ends, on the same processor, in the very bytes of one that was not.

Several processes (``accelerate launch``) share the micro-batches of each step and add their gradients.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce

from tastemaker.batching import length_batches
from tastemaker.errors import ModelError
from tastemaker.finetune.ranker.checkpoint import Checkpoint, Standing, load_checkpoint, save_checkpoint
from tastemaker.finetune.ranker.lora import TunedNetwork, Weights
from tastemaker.finetune.ranker.match_head import PREFIX
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Encoded, Objective
from tastemaker.finetune.ranker.recipe import Recipe, require_equal
from tastemaker.finetune.ranker.schedule import examples_of_step, rate_share, steps_of
from tastemaker.machine import settle_threads

Evaluate = Callable[[], Mapping[str, float]]
"""Measures of the network as it is now, on validation users; must hold ``Recipe.best_by``."""

_SPEED_STEPS = 20
"""Steps over which tokens per second are averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimizer step. ``loss`` is the mean per example in nats; no ``metrics`` without evaluation."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    seconds_left: float
    metrics: Mapping[str, float] = field(default_factory=dict)


ReportStep = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The best adapter's weights and measures, and how long the training was. ``best_step`` 0: the start."""

    weights: Weights
    metrics: dict[str, float]
    best_step: int
    steps: int
    tokens: int


class Trainer:
    """Trains one adapter.

    Args:
        identity: everything that a resumed training must share with the one that began, JSON values.
        examples: what the objective encodes.
        folder: holds ``checkpoint/`` and ``losses.jsonl`` (one line per step).
        evaluate: None keeps the last adapter.
    """

    def __init__(
        self,
        tuned: TunedNetwork,
        objective: Objective[Any],
        examples: Sequence[Any],
        recipe: Recipe,
        *,
        pad_id: int,
        identity: dict[str, Any],
        folder: Path,
        evaluate: Evaluate | None = None,
        report: ReportStep | None = None,
    ) -> None:
        settle_threads()
        self._tuned, self._objective, self._examples, self._recipe = tuned, objective, examples, recipe
        self._network = TrainedNetwork(tuned.causal, pad_id)
        self._identity, self._folder = identity, folder
        self._evaluate, self._report = evaluate, report
        self._state = PartialState()
        self._parameters = tuned.trainable
        self._optimizer = torch.optim.AdamW(_groups(self._parameters, recipe))
        self._standing = Standing()
        self._best: Weights = tuned.weights()
        self._speed: list[tuple[int, float]] = []
        self.steps = steps_of(len(examples), recipe)

    def run(self, *, resume: bool = False) -> Outcome:
        """Train to the end, or until ``patience`` runs out.

        Raises:
            ConfigError: ``resume`` without a checkpoint, or with one that was begun differently.
            ModelError: the loss is no finite number.
        """
        if resume:
            self._resume()
        self._trim_losses()
        standing = self._standing
        if self._evaluate is not None and not standing.step:
            # What training makes worse than its start is not kept: a head trained alone may be the best.
            self._measure()
        while not self._finished:
            started = time.perf_counter()
            loss, tokens = self._step(standing.step)
            standing.step += 1
            standing.tokens += tokens
            self._speed = [*self._speed[1 - _SPEED_STEPS :], (tokens, time.perf_counter() - started)]
            metrics = self._measure() if self._due(self._recipe.eval_every) else {}
            self._tell(loss, metrics)
            if self._due(self._recipe.checkpoint_every) or metrics:
                self._save()
        return Outcome(
            weights=self._best,
            metrics=standing.best,
            best_step=max(standing.best_step, 0),
            steps=standing.step,
            tokens=standing.tokens,
        )

    @property
    def _finished(self) -> bool:
        patience = self._recipe.patience
        return self._standing.step >= self.steps or bool(patience and self._standing.stale >= patience)

    def _due(self, every: int) -> bool:
        step = self._standing.step
        return step == self.steps or bool(every and step % every == 0)

    # One step

    def _step(self, step: int) -> tuple[float, int]:
        """Take one optimizer step; return its mean loss and its tokens."""
        chosen = examples_of_step(step, len(self._examples), self._recipe)
        encoded = [self._objective.encode(self._examples[place]) for place in chosen]
        loss = self._accumulate(step, encoded)
        if not math.isfinite(loss):
            raise ModelError(
                f"the loss of step {step + 1} is {loss}; training cannot go on",
                hint="lower the learning rate",
            )
        for group in self._optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], self._recipe.clip)
            group["lr"] = group["peak"] * rate_share(step, self.steps, self._recipe)
        self._optimizer.step()
        return loss, sum(one.tokens for one in encoded)

    def _accumulate(self, step: int, encoded: Sequence[Encoded]) -> float:
        """Add the gradients of the step's mean loss over its micro-batches; return that loss."""
        self._tuned.train()
        self._optimizer.zero_grad(set_to_none=False)
        batches = list(length_batches([one.tokens for one in encoded], self._recipe.micro_tokens))
        total = torch.zeros((), device=self._network.device)
        state = self._state
        with torch.random.fork_rng():
            for number in range(state.process_index, len(batches), state.num_processes):
                torch.manual_seed(_seed(self._recipe.seed, step, number))
                losses = self._objective.loss(self._network, [encoded[i] for i in batches[number]])
                share = losses.sum() / len(encoded)
                share.backward()  # type: ignore[no-untyped-call]
                total += share.detach()
        if state.num_processes > 1:
            total = reduce(total, "sum")
            self._add_gradients()
        return float(total)

    def _add_gradients(self) -> None:
        for value in self._parameters.values():
            own = torch.zeros_like(value) if value.grad is None else value.grad
            value.grad = reduce(own, "sum")

    # Evaluation

    def _measure(self) -> dict[str, float]:
        """Evaluate, and keep the weights where they are the best so far."""
        if self._evaluate is None:
            self._best, self._standing.best_step = self._tuned.weights(), self._standing.step
            return {}
        self._tuned.train(False)
        found: list[Any] = [dict(self._evaluate()) if self._state.is_main_process else None]
        if self._state.num_processes > 1:
            broadcast_object_list(found)
        metrics: dict[str, float] = found[0]
        standing, by = self._standing, self._recipe.best_by
        if not standing.best or _better(metrics[by], standing.best[by], by):
            standing.best, standing.best_step, standing.stale = metrics, standing.step, 0
            self._best = self._tuned.weights()
        else:
            standing.stale += 1
        return metrics

    # On disk

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint"

    @property
    def _losses(self) -> Path:
        return self._folder / "losses.jsonl"

    def _save(self) -> None:
        if not self._state.is_main_process:
            return
        moments = [self._optimizer.state[value] for value in self._parameters.values()]
        first, second = (
            {
                name: state[key].detach().cpu().clone()
                for name, state in zip(self._parameters, moments, strict=True)
            }
            for key in ("exp_avg", "exp_avg_sq")
        )
        save_checkpoint(
            self._checkpoint,
            Checkpoint(
                standing=self._standing,
                identity=self._identity,
                weights=self._tuned.weights(),
                best=self._best,
                first=first,
                second=second,
            ),
        )

    def _resume(self) -> None:
        kept = load_checkpoint(self._checkpoint)
        require_equal(kept.identity, self._identity)
        self._standing, self._best = kept.standing, kept.best
        self._tuned.set_weights(kept.weights)
        for name, value in self._parameters.items():
            self._optimizer.state[value] = {
                "step": torch.tensor(float(kept.standing.step)),
                "exp_avg": kept.first[name].to(value.device),
                "exp_avg_sq": kept.second[name].to(value.device),
            }

    def _trim_losses(self) -> None:
        """Forget the steps after the checkpoint: they are taken again."""
        if not self._state.is_main_process:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = []
        if self._standing.step and self._losses.is_file():
            kept = self._losses.read_text(encoding="utf-8").splitlines()[: self._standing.step]
        self._losses.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _tell(self, loss: float, metrics: Mapping[str, float]) -> None:
        if not self._state.is_main_process:
            return
        step = self._standing.step
        rate = self._recipe.learning_rate * rate_share(step - 1, self.steps, self._recipe)
        with self._losses.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "loss": loss, "learning_rate": rate, **metrics}) + "\n")
        if self._report is None:
            return
        seconds = sum(spent for _, spent in self._speed)
        self._report(
            StepReport(
                step=step,
                steps=self.steps,
                loss=loss,
                learning_rate=rate,
                tokens_per_second=sum(tokens for tokens, _ in self._speed) / max(seconds, 1e-9),
                seconds_left=(self.steps - step) * seconds / len(self._speed),
                metrics=metrics,
            )
        )


def _groups(parameters: Mapping[str, torch.nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """LoRA matrices, and the head if there is one; ``peak`` is a group's highest learning rate."""
    own = [value for name, value in parameters.items() if not name.startswith(PREFIX)]
    head = [value for name, value in parameters.items() if name.startswith(PREFIX)]
    groups = [
        {"params": own, "peak": recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": head, "peak": recipe.head_learning_rate, "weight_decay": recipe.head_weight_decay},
    ]
    return [{**group, "lr": group["peak"]} for group in groups if group["params"]]


def _better(value: float, best: float, measure: str) -> bool:
    return value < best if measure.endswith("nll") else value > best


def _seed(seed: int, step: int, batch: int) -> int:
    """One seed per micro-batch, the same whichever process computes it."""
    return (seed * 1_000_003 + step) * 4_096 + batch
