"""What a training would read and how long it would take, without training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tastemaker.batching import length_batches
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Encoded, Objective
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.schedule import examples_of_step, steps_of
from tastemaker.prompts.render import RenderReport

SAMPLE = 200
"""Examples that are rendered to estimate lengths."""

SHOWN = 3
OPEN, CLOSE = "⟦", "⟧"
"""Stand around what the loss reads: tokens that are predicted, or after which a score is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Tokens are per example over all its rows. ``truncated`` (0..1) is the share of prompts that lost
    something to the budget; ``rendered`` are examples as text, one string per row.
    """

    examples: int
    events: int
    retrieved: int
    steps: int
    tokens_mean: float
    tokens_p95: float
    tokens_max: int
    truncated: float
    tokens_per_epoch: int
    tokens_per_second: float
    seconds: float
    rendered: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def dry_run(
    examples: Sequence[Any],
    objective: Objective[Any],
    network: TrainedNetwork,
    recipe: Recipe,
    tokenizer: Any,
    reports: list[RenderReport],
    *,
    events: int,
    retrieved: int,
) -> DryRun:
    """Render a sample, and time the forward and backward pass of one step; no weight changes.

    Args:
        reports: filled by the objective's renderer while it works.
        retrieved: events of which something that came next was retrieved.
    """
    rng = np.random.default_rng([recipe.seed, 4])
    places = rng.permutation(len(examples))[:SAMPLE]
    reports.clear()
    encoded = [objective.encode(examples[int(place)]) for place in places]
    truncated = float(np.mean([report.truncated for report in reports]))
    lengths = np.array([one.tokens for one in encoded])
    speed = _speed(examples, objective, network, recipe)
    steps = steps_of(len(examples), recipe)
    return DryRun(
        examples=len(examples),
        events=events,
        retrieved=retrieved,
        steps=steps,
        tokens_mean=float(lengths.mean()),
        tokens_p95=float(np.percentile(lengths, 95)),
        tokens_max=int(lengths.max()),
        truncated=truncated,
        tokens_per_epoch=round(float(lengths.mean()) * len(examples)),
        tokens_per_second=speed,
        seconds=steps * recipe.batch * float(lengths.mean()) / speed,
        rendered=tuple(marked(one, tokenizer) for one in encoded[:SHOWN]),
    )


def _speed(
    examples: Sequence[Any], objective: Objective[Any], network: TrainedNetwork, recipe: Recipe
) -> float:
    """Tokens per second over the first step's first two micro-batches, after one to warm up."""
    encoded = [objective.encode(examples[i]) for i in examples_of_step(0, len(examples), recipe)]
    batches = list(length_batches([one.tokens for one in encoded], recipe.micro_tokens))
    spent, tokens = 0.0, 0
    network.causal.train()
    for number, batch in enumerate([batches[0], *batches[:2]]):
        started = time.perf_counter()
        loss = objective.loss(network, [encoded[i] for i in batch]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        if number:
            spent += time.perf_counter() - started
            tokens += sum(encoded[i].tokens for i in batch)
    network.causal.zero_grad()
    return tokens / spent


def marked(encoded: Encoded, tokenizer: Any) -> tuple[str, ...]:
    """Each row as text with ⟦…⟧ around runs of tokens at which the loss reads."""
    return tuple(
        _marked_row(row.ids, frozenset(marks), tokenizer)
        for row, marks in zip(encoded.rows, encoded.marks, strict=True)
    )


def _marked_row(ids: Sequence[int], marks: frozenset[int], tokenizer: Any) -> str:
    pieces: list[str] = []
    start = 0
    for at in range(1, len(ids) + 1):
        if at == len(ids) or (at in marks) != (start in marks):
            text = tokenizer.decode(list(ids[start:at]))
            pieces.append(f"{OPEN}{text}{CLOSE}" if start in marks else text)
            start = at
    return "".join(pieces)
