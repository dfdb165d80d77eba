"""Choose a baseline's setting on validation questions, and keep everything that was tried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tastemaker.errors import RequestError
from tastemaker.eval.baselines.material import EMBEDDER, Material
from tastemaker.eval.baselines.registry import Baseline, BaselineSystem, Setting, baseline_of
from tastemaker.eval.protocols import Protocol
from tastemaker.eval.run import run_system
from tastemaker.protocols import Embedder, ProgressCallback

METRIC = "ndcg@10"
LOOK_EVERY = 3
"""Epochs between two looks at the validation questions: a look costs a third of an epoch."""

PATIENCE = 2
"""Looks without a better figure after which training stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A setting and its N@10; of what is trained in epochs the best of ``curve``, the N@10 at every look."""

    setting: Setting
    score: float
    seconds: float
    curve: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        out = {"setting": dict(self.setting), METRIC: round(self.score, 5), "seconds": round(self.seconds, 1)}
        return (
            out
            if len(self.curve) < 2
            else {**out, f"every_{LOOK_EVERY}_epochs": [round(one, 5) for one in self.curve]}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """All trials in the order of the grid. The chosen one is the first of the best."""

    trials: tuple[Trial, ...]
    protocol: str
    users: int
    seed: int

    @property
    def chosen(self) -> Trial:
        return max(self.trials, key=lambda trial: trial.score)

    def to_dict(self) -> dict[str, Any]:
        return {
            "setting": dict(self.chosen.setting),
            METRIC: round(self.chosen.score, 5),
            "protocol": self.protocol,
            "users": self.users,
            "seed": self.seed,
            "grid": [trial.to_dict() for trial in self.trials],
        }


def tune(
    name: str,
    protocol: Protocol,
    *,
    seed: int = 0,
    embedder: str | Embedder = EMBEDDER,
    progress: ProgressCallback | None = None,
) -> Tuning:
    """Try the whole grid of a baseline on the questions of a ``-validation`` protocol.

    Raises:
        RequestError: the name is unknown, or the protocol's questions are not for tuning.
    """
    if not protocol.name.endswith("-validation"):
        raise RequestError(
            f"protocol {protocol.name!r} is for measuring", hint=f"tune on {protocol.name}-validation"
        )
    baseline = baseline_of(name)
    material = Material(protocol.train, embedder=embedder, progress=progress)
    trials = []
    for done, setting in enumerate(baseline.grid):
        trials.append(_trial(name, baseline, material, setting, protocol, seed))
        if progress is not None:
            progress(f"tuning {name}", done + 1, len(baseline.grid))
    return Tuning(trials=tuple(trials), protocol=protocol.name, users=len(protocol.questions), seed=seed)


def _trial(
    name: str, baseline: Baseline, material: Material, setting: Setting, protocol: Protocol, seed: int
) -> Trial:
    started = time.perf_counter()
    curve = list(_curve(name, baseline, material, setting, protocol, seed))
    best = max(curve)
    if baseline.epochs > 1:
        setting = {**setting, "epochs": LOOK_EVERY * (curve.index(best) + 1)}
    return Trial(setting=setting, score=best, seconds=time.perf_counter() - started, curve=tuple(curve))


def _curve(
    name: str, baseline: Baseline, material: Material, setting: Setting, protocol: Protocol, seed: int
) -> Iterator[float]:
    """The figure at each look, until it has not risen for ``PATIENCE`` of them."""
    best, waited = -1.0, 0
    every = LOOK_EVERY if baseline.epochs > 1 else 1
    stages = baseline.stages(material, seed, **setting)
    for retriever in islice(stages, every - 1, baseline.epochs, every):
        run = run_system(name, BaselineSystem(retriever, {}), protocol, seed=seed)
        score = float(run.values()[METRIC].mean())
        yield score
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited == PATIENCE:
            return
