"""Behaviour and context added and put through one softmax: ``p(item) = softmax(W(behaviour + context))``.

Behaviour is the mean of the vectors of the last ``length`` items, in any order; context is the sum of one
vector for each condition of the moment: part of the day, weekday, season, and every context column of the
data. Without a clock and such columns context is zero. It knows nothing of texts and ratings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tastemaker.eval.baselines.dense import DenseRetriever
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.situation import Condition, conditions, event_conditions
from tastemaker.eval.baselines.training import TrainableModel, epochs, seeded, softmax_loss
from tastemaker.index.catalogue import Catalogue, IntArray
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

INIT_STD = 0.1
BATCH_SIZE = 512


class AdditiveModel(TrainableModel):
    """The last code of each table pads: ``n_items`` for items, ``n_conditions`` for conditions."""

    def __init__(self, n_items: int, n_conditions: int, *, dimension: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.EmbeddingBag(n_items + 1, dimension, mode="mean", padding_idx=n_items)
        self.conditions = nn.EmbeddingBag(n_conditions + 1, dimension, mode="sum", padding_idx=n_conditions)
        for table in (self.items, self.conditions):
            nn.init.normal_(table.weight, std=INIT_STD)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dimension, n_items)

    def forward(self, recent: Tensor, situation: Tensor) -> Tensor:
        """(n, length) and (n, fields) codes to logits (n, n_items)."""
        logits: Tensor = self.output(self.state(recent, situation))
        return logits

    def state(self, recent: Tensor, situation: Tensor) -> Tensor:
        """Behaviour plus context, (n, dimension)."""
        added: Tensor = self.dropout(self.items(recent) + self.conditions(situation))
        return added

    def loss(self, *batch: Tensor) -> Tensor:
        recent, situation, wanted = batch
        return softmax_loss(self.state(recent, situation), wanted, self.output.weight, self.output.bias)


class Situations:
    """Codes of the conditions that training has seen; others are left out."""

    def __init__(self, seen: Sequence[tuple[Condition, ...]]) -> None:
        known = dict.fromkeys(condition for event in seen for condition in event)
        self._code: Mapping[Condition, int] = {condition: code for code, condition in enumerate(known)}

    def __len__(self) -> int:
        return len(self._code)

    def codes(self, events: Sequence[tuple[Condition, ...]]) -> Tensor:
        """int64 (events, the most conditions of one, at least 1), padded with ``len(self)``."""
        rows = [[self._code[one] for one in event if one in self._code] for event in events]
        return torch.from_numpy(_padded(rows, max(map(len, rows), default=0), len(self)))


class AdditiveRetriever(DenseRetriever):
    """Score: the logit of the model. Silent when a request has neither known items nor a known condition."""

    name = "additive"

    def __init__(
        self, catalogue: Catalogue, model: AdditiveModel, situations: Situations, length: int
    ) -> None:
        super().__init__(catalogue)
        self._model = model
        self._situations = situations
        self._length = length

    def dense(self, request: Request) -> FloatArray | None:
        recent = self.catalogue.positions(request.history.item_ids)[-self._length :]
        situation = self._situations.codes([conditions(request.context)])
        if not len(recent) and not (situation < len(self._situations)).any():
            return None
        items = torch.from_numpy(_padded([recent], len(recent), len(self.catalogue)))
        with torch.inference_mode():
            scores: FloatArray = self._model(items, situation)[0].numpy()
        return scores


def additive_stages(
    material: Material,
    seed: int,
    *,
    dimension: int,
    length: int,
    dropout: float,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> Iterator[AdditiveRetriever]:
    """The additive model after each epoch of training; an example is an event that has another before it."""
    codes = material.train.codes()
    recent, wanted, place = recent_items(material.sequences, length, len(material.catalogue))
    events = event_conditions(material.train, codes.row[place])
    situations = Situations(events)
    with seeded(seed):
        model = AdditiveModel(len(material.catalogue), len(situations), dimension=dimension, dropout=dropout)
    retriever = AdditiveRetriever(material.catalogue, model, situations, length)
    for _ in epochs(
        model,
        [torch.from_numpy(recent), situations.codes(events), torch.from_numpy(wanted)],
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=BATCH_SIZE,
        seed=seed,
    ):
        yield retriever


def recent_items(
    sequences: Sequence[IntArray], length: int, padding: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Every event that has another before it, with the at most ``length`` items before it.

    Returns:
        items before (n, length), padded; the item of the event (n,); its place among all events (n,).
    """
    rows, wanted, places, first = [], [], [], 0
    for items in sequences:
        for step in range(1, len(items)):
            rows.append(items[max(step - length, 0) : step])
            wanted.append(items[step])
            places.append(first + step)
        first += len(items)
    return _padded(rows, length, padding), np.array(wanted, np.int64), np.array(places, np.int64)


def _padded(rows: Sequence[Sequence[int] | IntArray], width: int, padding: int) -> IntArray:
    """Rows of codes (len(rows), at least 1), padded on the right."""
    out = np.full((len(rows), max(width, 1)), padding, np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
