"""What a network's lower layers make of short texts: features that no adapter above them changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tastemaker.prompts.chat import ChatLayout, Ids

TOKENS = 2_048
"""Of one forward pass."""


def text_ids(layout: ChatLayout, texts: Sequence[str]) -> list[Ids]:
    return layout.prefix_ids([layout.harmless(text) for text in texts])


def lead_of(layout: ChatLayout) -> int:
    """How many tokens a sequence starts with whatever its text."""
    [start] = layout.prefix_ids([""])
    return len(start)


@torch.no_grad()
def pooled_states(trunk: Any, rows: Sequence[Ids], *, lead: int, layer: int) -> Tensor:
    """Mean state of each row's tokens after ``layer`` layers and the final norm, float32 (len(rows), d).

    Rows of one length are read together: without padding, a row's figures do not depend on its company but
    for the last float32 bit (behind padding, bfloat16 is off by 8e-4).

    Args:
        lead: tokens at the start of every row that belong to no text (a start token); they are left out.
            A row of nothing else is taken whole.
    """
    out = torch.zeros(len(rows), trunk.config.get_text_config().hidden_size)
    with _lower_layers(trunk, layer):
        for batch in _equal_lengths(rows):
            ids = torch.tensor([rows[i] for i in batch], device=trunk.device)
            states = trunk(input_ids=ids, use_cache=False).last_hidden_state.float().cpu()
            told = states[:, lead:] if ids.shape[1] > lead else states
            out[batch] = told.mean(dim=1)
    return out


def _equal_lengths(rows: Sequence[Ids]) -> Iterator[list[int]]:
    """Places of rows of the same length, as many as make ``TOKENS`` tokens."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(len(row), []).append(place)
    for length, same in sorted(places.items()):
        size = max(1, TOKENS // max(length, 1))
        yield from (same[first : first + size] for first in range(0, len(same), size))


@contextmanager
def _lower_layers(trunk: Any, count: int) -> Iterator[None]:
    """The network without its layers from ``count`` on."""
    layers, training = trunk.layers, trunk.training
    trunk.layers = layers[:count]
    trunk.eval()
    try:
        yield
    finally:
        trunk.layers = layers
        trunk.train(training)
