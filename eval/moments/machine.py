"""A factorisation machine over user, latest item, item and situation (Rendle 2010), for choices and ratings.

Ratings: squared error of ``mean + sum of weights + sum over pairs of <v_a, v_b>``. Choices: the softmax over
all items of ``w_i + <v_i, sum of the other vectors>``, which is what of that formula differs between items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tastemaker.eval.baselines.dense import DenseRetriever
from tastemaker.eval.baselines.training import TrainableModel, epochs, seeded
from tastemaker.eval.moments.sets import Kind
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.situations import Situations
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

INIT_STD = 0.05
BATCH_SIZE = 256


class Features:
    """Numbers of everything but the item: users, latest items, values of the situation; 0 where unknown."""

    def __init__(self, catalogue: Catalogue) -> None:
        dataset = catalogue.dataset
        self._catalogue = catalogue
        self._situations = Situations(dataset)
        self._users = dataset.user_positions
        self._first_item = 1 + len(self._users)
        first = self._first_item + len(catalogue)
        self._first_value = []
        for field in self._situations.fields:
            self._first_value.append(first)
            first += self._situations.values(field) + 1
        self.size = first

    def of_events(self) -> NDArray[np.int64]:
        """(events, features) in the order of ``Dataset.codes``."""
        codes = self._catalogue.dataset.codes()
        same = np.diff(codes.user, prepend=-1) == 0
        latest = np.where(same, self._first_item + np.roll(codes.item, 1).astype(np.int64), 0)
        return np.column_stack(
            [1 + codes.user.astype(np.int64), latest, self._placed(self._situations.codes)]
        )

    def of(self, request: Request) -> NDArray[np.int64]:
        """(features,)."""
        known = self._catalogue.positions(request.history.item_ids)
        user = 1 + self._users.get(request.user_id or "", -1)
        latest = self._first_item + int(known[-1]) if len(known) else 0
        return np.array([user, latest, *self._placed(self._situations.of(request)[None])[0]])

    def _placed(self, codes: NDArray[np.int16]) -> NDArray[np.int64]:
        return np.where(codes > 0, codes + np.array(self._first_value, np.int64), 0)


class Machine(TrainableModel):
    def __init__(self, features: int, items: int, *, dimension: int, kind: Kind, mean: float) -> None:
        super().__init__()
        self.others = nn.Embedding(features, dimension, padding_idx=0)
        self.other_weights = nn.Embedding(features, 1, padding_idx=0)
        self.items = nn.Embedding(items, dimension)
        self.item_weights = nn.Embedding(items, 1)
        for table in (self.others, self.items, self.other_weights, self.item_weights):
            nn.init.normal_(table.weight, std=INIT_STD)
        with torch.no_grad():
            self.others.weight[0] = 0.0
            self.other_weights.weight[0] = 0.0
        self._kind, self._mean = kind, mean

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) to (n, items); for ratings with what all items share."""
        vectors = self.others(features)
        total = vectors.sum(1)
        scores: Tensor = total @ self.items.weight.T + self.item_weights.weight[:, 0]
        if self._kind == "ratings":
            pairs = 0.5 * (total.square() - vectors.square().sum(1)).sum(1)
            scores = scores + (self._mean + self.other_weights(features).sum((1, 2)) + pairs)[:, None]
        return scores

    def loss(self, *batch: Tensor) -> Tensor:
        features, item, value = batch
        scores: Tensor = self(features)
        if self._kind == "ratings":
            error: Tensor = functional.mse_loss(scores.gather(1, item[:, None])[:, 0], value)
            return error
        return functional.cross_entropy(scores, item)


class MachineRetriever(DenseRetriever):
    """Score: the machine's."""

    name = "factorisation machine"
    reads = "nothing"

    def __init__(self, catalogue: Catalogue, model: Machine, features: Features) -> None:
        super().__init__(catalogue)
        self._model, self._features = model, features

    def dense(self, request: Request) -> FloatArray:
        scores: FloatArray = self._all([request])[0]
        return scores

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        return list(self._all(requests))

    def _all(self, requests: Sequence[Request]) -> FloatArray:
        rows = torch.from_numpy(np.stack([self._features.of(request) for request in requests]))
        with torch.inference_mode():
            scores: FloatArray = self._model(rows).numpy()
        return scores


def machine_stages(
    catalogue: Catalogue, kind: Kind, seed: int, *, dimension: int, learning_rate: float, weight_decay: float
) -> Iterator[MachineRetriever]:
    """The machine after each epoch."""
    codes = catalogue.dataset.codes()
    features = Features(catalogue)
    values = catalogue.dataset.interactions["value"].to_numpy().astype(np.float32)[codes.row]
    mean = float(np.nanmean(values)) if kind == "ratings" else 0.0
    with seeded(seed):
        model = Machine(features.size, len(catalogue), dimension=dimension, kind=kind, mean=mean)
    retriever = MachineRetriever(catalogue, model, features)
    examples = [
        torch.from_numpy(features.of_events()),
        torch.from_numpy(codes.item.astype(np.int64)),
        torch.from_numpy(np.nan_to_num(values, nan=mean)),
    ]
    for _ in epochs(
        model,
        examples,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=BATCH_SIZE,
        seed=seed,
    ):
        yield retriever
