"""Several continuations of one prefix in one sequence, none seeing another.

A block mask lets every branch see the prefix and itself, and positions start anew after the prefix in each
branch, so that the network computes what it would for prefix + branch alone, and reads the prefix once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from tastemaker.prompts.chat import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One packed sequence: the prefix, then the branches one after another."""

    prefix: Ids
    branches: tuple[Ids, ...] = ()

    def __len__(self) -> int:
        return len(self.prefix) + sum(map(len, self.branches))

    @property
    def ids(self) -> Ids:
        return self.prefix + tuple(token for branch in self.branches for token in branch)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where in ``ids`` each branch starts."""
        return tuple(accumulate(map(len, self.branches[:-1]), initial=len(self.prefix)))[: len(self.branches)]

    @property
    def positions(self) -> tuple[int, ...]:
        first = len(self.prefix)
        branches = (range(first, first + len(branch)) for branch in self.branches)
        return (*range(first), *(position for branch in branches for position in branch))

    @property
    def segments(self) -> tuple[int, ...]:
        """0 for the prefix, 1 .. n for the branches."""
        owners = (number for number, branch in enumerate(self.branches, start=1) for _ in branch)
        return (*(0 for _ in self.prefix), *owners)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Rows padded on the right to one width. All tensors are (rows, width).

    ``segments`` is -1 where there is padding.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    branched: bool

    @property
    def filled(self) -> Tensor:
        """1 for tokens, 0 for padding, int64 (rows, width): the mask of plain causal attention."""
        return (self.segments >= 0).long()

    def visible(self, window: int | None = None) -> Tensor:
        """bool (rows, 1, width, width): may the token of the third axis see that of the fourth?

        ``window``: only so many positions back, as layers with sliding attention do.
        """
        of, at = self.segments[:, :, None], self.segments[:, None, :]
        width = self.ids.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool, device=self.ids.device).tril()
        # Padding sees padding, since a row of a softmax must see something.
        seen = causal & ((of == at) | (at == 0))
        if window is not None:
            seen &= self.positions[:, :, None] - self.positions[:, None, :] < window
        return seen[:, None]


def pack(rows: Sequence[Row], pad: int, device: torch.device) -> Packed:
    """Pad ``rows`` to the longest one."""
    width = max(map(len, rows))

    def padded(values: Sequence[tuple[int, ...]], filler: int) -> Tensor:
        return torch.tensor([[*one, *[filler] * (width - len(one))] for one in values], device=device)

    return Packed(
        ids=padded([row.ids for row in rows], pad),
        positions=padded([row.positions for row in rows], 0),
        segments=padded([row.segments for row in rows], -1),
        branched=any(row.branches for row in rows),
    )
