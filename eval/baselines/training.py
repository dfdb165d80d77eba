"""Gradient descent for the small models here: seeded, epoch by epoch, so that tuning can look in between."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_GRADIENT_NORM = 1.0
FULL_SOFTMAX = 5_000
"""Items up to which every one is in the softmax. With 12,000 an epoch of the LSTM takes 26 s, sampled 8 s."""

SAMPLED = 1_024
"""Items that stand for all others beyond."""


class TrainableModel(nn.Module, ABC):
    """A model that knows its own loss."""

    @abstractmethod
    def loss(self, *batch: Tensor) -> Tensor:
        """The mean loss of a batch in nats; one tensor per part of an example, examples first."""


def softmax_loss(states: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Cross-entropy, in nats, of the wanted items under ``softmax(states @ weight.T + bias)``.

    Beyond ``FULL_SOFTMAX`` items the sum over all others is estimated from ``SAMPLED`` of them, drawn
    uniformly for the whole batch (Bengio & Senécal 2008; with uniform draws the correction is one constant).

    Args:
        states: (n, d). wanted: (n,) codes. weight: (n_items, d). bias: (n_items,).
    """
    n_items = len(weight)
    if n_items <= FULL_SOFTMAX:
        return functional.cross_entropy(functional.linear(states, weight, bias), wanted)
    drawn = torch.randint(n_items, (SAMPLED,))
    others = functional.linear(states, weight[drawn], bias[drawn]) + math.log(n_items / SAMPLED)
    others = others.masked_fill(drawn == wanted[:, None], -math.inf)
    target = (states * weight[wanted]).sum(1, keepdim=True) + bias[wanted][:, None]
    first = torch.zeros(len(states), dtype=torch.long)
    return functional.cross_entropy(torch.cat([target, others], dim=1), first)


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """torch draws from ``seed`` inside and goes on outside as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(part * 1_000_003**place for place, part in enumerate(seed)) % 2**63)
        yield


def epochs(
    model: TrainableModel,
    examples: Sequence[Tensor],
    *,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    seed: int,
) -> Iterator[int]:
    """Train for ever, by AdamW at a constant rate; yields 1, 2, ... after each pass over the examples.

    The model after epoch n is the same however many epochs follow, whatever is drawn between them.
    The model is in evaluation mode whenever the caller has the turn.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    epoch = 0
    while True:
        epoch += 1
        with seeded(seed, epoch):
            model.train()
            order = torch.randperm(len(examples[0]))
            for first in range(0, len(order), batch_size):
                rows = order[first : first + batch_size]
                optimizer.zero_grad()
                torch.autograd.backward(model.loss(*(part[rows] for part in examples)))
                nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
                optimizer.step()
        model.eval()
        yield epoch
