"""What a network's lower layers make of short texts: features that no adapter above them changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tastemaker.batching import length_batches
from tastemaker.prompts.chat import ChatLayout, Ids

TOKENS = 2_048
"""Padded tokens of one forward pass."""


def text_ids(layout: ChatLayout, texts: Sequence[str]) -> list[Ids]:
    return layout.prefix_ids([layout.harmless(text) for text in texts])


def lead_of(layout: ChatLayout) -> int:
    """How many tokens a sequence starts with whatever its text."""
    [start] = layout.prefix_ids([""])
    return len(start)


@torch.no_grad()
def pooled_states(trunk: Any, rows: Sequence[Ids], *, lead: int, pad: int, layer: int) -> Tensor:
    """Mean state of each row's tokens after ``layer`` layers and the final norm, float32 (len(rows), d).

    Args:
        lead: tokens at the start of every row that belong to no text (a start token); they are left out.
            A row of nothing else is taken whole.
    """
    out = torch.zeros(len(rows), trunk.config.get_text_config().hidden_size)
    with _lower_layers(trunk, layer):
        for batch in length_batches([len(row) for row in rows], TOKENS):
            ids = [torch.tensor(rows[i]) for i in batch]
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)
            lengths = torch.tensor([len(row) for row in ids])
            filled = torch.arange(padded.shape[1]) < lengths[:, None]
            output = trunk(
                input_ids=padded.to(trunk.device), attention_mask=filled.to(trunk.device), use_cache=False
            )
            told = filled & (torch.arange(padded.shape[1]) >= lead) | (filled & (lengths <= lead)[:, None])
            states = output.last_hidden_state.float().cpu() * told[..., None]
            out[batch] = states.sum(dim=1) / told.sum(dim=1, keepdim=True)
    return out


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
