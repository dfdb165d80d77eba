"""Which examples make which step, and how fast it may learn: pure functions of seed and step number.

So nothing of the data's order needs to be stored to resume exactly.
"""

from __future__ import annotations

import math

import numpy as np

from tastemaker.finetune.ranker.recipe import Recipe


def steps_of(examples: int, recipe: Recipe) -> int:
    """Optimizer steps of the whole training."""
    planned = recipe.epochs * math.ceil(examples / recipe.batch)
    return min(planned, recipe.max_steps) if recipe.max_steps else planned


def examples_of_step(step: int, examples: int, recipe: Recipe) -> list[int]:
    """Places (0 .. examples - 1) of the examples of ``step`` (from 0); each once per epoch."""
    per_epoch = math.ceil(examples / recipe.batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([recipe.seed, 3, epoch]).permutation(examples)
    chosen: list[int] = order[place * recipe.batch : (place + 1) * recipe.batch].tolist()
    return chosen


def rate_share(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the highest learning rate: linear warm-up, then half a cosine down to ``final_rate``
    (Loshchilov & Hutter 2017).
    """
    warmup = math.ceil(recipe.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return recipe.final_rate + (1 - recipe.final_rate) * cosine
