"""The head first, on states of the network as it is: linear probing, then fine-tuning (Kumar et al. 2022).

States of all questions are computed once, without gradients, at four times the speed of a training step; the
head then sees them several times in a minute or two. LoRA starts from a head that knows what to ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tastemaker.artifacts import MANIFEST, atomic_folder, digest_of, read_manifest, write_manifest
from tastemaker.batching import length_batches
from tastemaker.errors import ArtifactError
from tastemaker.finetune.ranker.files import HEAD_FILE
from tastemaker.finetune.ranker.match_head import MatchHead
from tastemaker.finetune.ranker.match_objective import MatchEncoded, MatchObjective
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.stretches import Ask, StretchSet
from tastemaker.protocols import ProgressCallback

KIND = "warm-head"
BATCH = 128
"""Questions per step."""

_WARM_UP_STEPS = 50
_FINAL_RATE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """States, float16 (n, d), and what is asked at each."""

    states: Tensor
    asks: tuple[Ask, ...]


@torch.no_grad()
def ask_all(
    objective: MatchObjective,
    network: TrainedNetwork,
    stretches: Sequence[Any],
    recipe: Recipe,
    progress: ProgressCallback | None = None,
) -> Questions:
    """States of the network as it is where ``stretches`` ask, in their order."""
    encoded: list[MatchEncoded] = [objective.encode(stretches[place]) for place in range(len(stretches))]
    found: list[Tensor] = [torch.zeros(0)] * len(encoded)
    done = 0
    for batch in length_batches([one.tokens for one in encoded], recipe.micro_tokens):
        hidden = network.hidden([encoded[place].rows[0] for place in batch])
        for row, place in enumerate(batch):
            found[place] = hidden[row, list(encoded[place].marks[0])].half().cpu()
        done += len(batch)
        if progress is not None:
            progress("reading training histories", done, len(encoded))
    return Questions(states=torch.cat(found), asks=tuple(ask for one in encoded for ask in one.asks))


def warm_up(
    objective: MatchObjective,
    head: MatchHead,
    questions: Questions,
    recipe: Recipe,
    progress: ProgressCallback | None = None,
) -> None:
    """``recipe.head_epochs`` passes of AdamW over ``questions``, the same for the same seed."""
    steps_per_epoch = math.ceil(len(questions.asks) / BATCH)
    steps = recipe.head_epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=recipe.head_learning_rate, weight_decay=recipe.head_weight_decay
    )
    head.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        for epoch in range(recipe.head_epochs):
            order = torch.randperm(len(questions.asks))
            for number, rows in enumerate(torch.split(order, BATCH)):
                step = epoch * steps_per_epoch + number
                for group in optimizer.param_groups:
                    group["lr"] = recipe.head_learning_rate * _rate(step, steps)
                optimizer.zero_grad()
                asks = [questions.asks[row] for row in rows.tolist()]
                loss = objective.losses(questions.states[rows].float(), asks).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if progress is not None:
                    progress("training the head", step + 1, steps)
    head.eval()


def _rate(step: int, steps: int) -> float:
    """A short rise, then half a cosine down to ``_FINAL_RATE``."""
    rise = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return rise * (_FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def warmed(
    folder: Path,
    identity: dict[str, Any],
    objective: MatchObjective,
    head: MatchHead,
    network: TrainedNetwork,
    stretches: StretchSet,
    recipe: Recipe,
    progress: ProgressCallback | None = None,
) -> None:
    """Warm ``head`` up, or read from ``folder`` how it came out of that before, if nothing has changed."""
    facts = {"identity": digest_of(identity)}
    if _read(folder, facts, head):
        return
    questions = ask_all(objective, network, stretches, recipe, progress)
    head.state_scale.fit(questions.states.float())
    warm_up(objective, head, questions, recipe, progress)
    with atomic_folder(folder) as staged:
        head.save(staged / HEAD_FILE, {name: value.detach() for name, value in head.learned.items()})
        write_manifest(staged, KIND, facts)


def _read(folder: Path, facts: dict[str, str], head: MatchHead) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = read_manifest(folder, KIND)
    except ArtifactError:
        return False
    if any(manifest.get(name) != value for name, value in facts.items()):
        return False
    head.load_state_dict(MatchHead.load(folder / HEAD_FILE).state_dict())
    return True
