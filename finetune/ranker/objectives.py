"""What a training loss is: the seam between examples and the engine.

An objective turns an example into token ids, and encoded examples into one loss each. To add one: write a
class with the members of ``Objective`` and name it in ``tastemaker.finetune.ranker.registry``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from tastemaker.config import ScoringForm
from tastemaker.finetune.ranker.examples import Example
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.packing import Row
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.render import PromptRenderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An example as token ids. ``marks``: per row, where the loss reads (for people, in ``--dry-run``)."""

    rows: tuple[Row, ...]
    marks: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The right answer over an example's choices, in the order in which they are scored.

    ``shares`` sum to 1; ``offsets`` are added to the model's scores before the softmax.
    """

    shares: tuple[float, ...]
    offsets: tuple[float, ...]

    def loss(self, scores: Tensor) -> Tensor:
        """Cross entropy, in nats, of the shares against softmax(scores (k,) + offsets)."""
        offsets = torch.tensor(self.offsets, device=scores.device)
        shares = torch.tensor(self.shares, device=scores.device)
        return -(shares * torch.log_softmax(scores + offsets, dim=0)).sum()


E = TypeVar("E", bound=Encoded)


class Objective(Protocol[E]):
    """One way to learn from examples. ``form``: the scoring form whose scores it trains."""

    @property
    def form(self) -> ScoringForm: ...

    @property
    def needs_target(self) -> bool:
        """Whether examples whose target the retriever missed say nothing to it; they are left out then."""

    def encode(self, example: Any) -> E:
        """``Example``, or what else the objective reads, as token ids."""

    def loss(self, network: TrainedNetwork, batch: Sequence[E]) -> Tensor:
        """One loss per example, float32 (len(batch),), in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What objectives are made from. ``retrieval_weight``: see ``Recipe``."""

    layout: ChatLayout
    renderer: PromptRenderer
    retrieval_weight: float = 0.0

    def listing(self, example: Example, order: Sequence[int] | None = None) -> Listing:
        """The example's shares and weighted retrieval scores, in ``order`` (None: as they stand)."""
        shares = example.shares or (0.0,) * len(example.candidates)
        shown = range(len(example.candidates)) if order is None else order
        return Listing(
            shares=tuple(shares[i] for i in shown),
            offsets=tuple(self.retrieval_weight * example.candidates[i].score for i in shown),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedEncoded(Encoded, Generic[E]):
    parts: tuple[E | None, ...]


class Mixed:
    """A weighted sum of objectives. Those that need a target skip the examples without one."""

    def __init__(self, parts: Sequence[tuple[float, Objective[Any]]]) -> None:
        self._parts = tuple(parts)
        self.form: ScoringForm = parts[0][1].form
        self.needs_target = all(objective.needs_target for _, objective in parts)

    def encode(self, example: Example) -> MixedEncoded[Any]:
        parts = tuple(
            objective.encode(example) if example.shares or not objective.needs_target else None
            for _, objective in self._parts
        )
        told = [part for part in parts if part is not None]
        return MixedEncoded(
            rows=tuple(row for part in told for row in part.rows),
            marks=tuple(marks for part in told for marks in part.marks),
            parts=parts,
        )

    def loss(self, network: TrainedNetwork, batch: Sequence[MixedEncoded[Any]]) -> Tensor:
        total = torch.zeros(len(batch), device=network.device)
        for place, (weight, objective) in enumerate(self._parts):
            told = [row for row, encoded in enumerate(batch) if encoded.parts[place] is not None]
            if told:
                losses = objective.loss(network, [batch[row].parts[place] for row in told])
                total = total.index_add(0, torch.tensor(told, device=network.device), weight * losses)
        return total
