"""Next-item models over a user's recent items: an LSTM and self-attention, both trained by softmax.

An item is one learned vector, used on the way in and, with a bias, on the way out; the loss is the
cross-entropy of every next item against the whole catalogue. They know nothing of texts, ratings and clock.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastemaker.eval.baselines.dense import DenseRetriever
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.training import TrainableModel, epochs, seeded, softmax_loss
from tastemaker.index.catalogue import Catalogue, IntArray
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

INIT_STD = 0.1
"""Of item vectors; torch's default of 1 gives logits of +-8 with 64 dimensions before anything is learned."""


class NextItemModel(TrainableModel):
    """Item vectors in, a subclass's ``encode``, item vectors out. Code ``n_items`` pads, on the right."""

    def __init__(self, n_items: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.n_items = n_items
        self.vectors = nn.Embedding(n_items + 1, dimension, padding_idx=n_items)
        nn.init.normal_(self.vectors.weight, std=INIT_STD)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.dropout = nn.Dropout(dropout)

    @abstractmethod
    def encode(self, items: Tensor) -> Tensor:
        """(users, steps) codes to (users, steps, dimension); a step sees itself and earlier ones only."""

    def logits(self, states: Tensor) -> Tensor:
        """(..., dimension) to (..., n_items)."""
        return functional.linear(states, self.vectors.weight[: self.n_items], self.bias)

    def loss(self, *batch: Tensor) -> Tensor:
        (windows,) = batch  # (users, steps + 1)
        longest = int((windows != self.n_items).sum(1).max())
        windows = windows[:, :longest]
        wanted = windows[:, 1:]
        real = wanted != self.n_items
        states = self.encode(windows[:, :-1])[real]
        return softmax_loss(states, wanted[real], self.vectors.weight[: self.n_items], self.bias)


class LSTMModel(NextItemModel):
    """Embedding, one LSTM layer, tied output."""

    def __init__(self, n_items: int, *, dimension: int, dropout: float) -> None:
        super().__init__(n_items, dimension, dropout)
        self.lstm = nn.LSTM(dimension, dimension, batch_first=True)

    def encode(self, items: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.vectors(items)))
        return self.dropout(states)  # type: ignore[no-any-return]


class AttentionModel(NextItemModel):
    """SASRec (Kang & McAuley 2018) with the full softmax in place of sampled negatives.

    Two blocks of causal self-attention, one head, learned positions, layer norms before each part. The
    original's binary loss over one sampled negative is its known weakness (Klenitskiy & Vasilev 2023).
    Cornac 3.0.1 has a SASRec that works, but it encodes every prefix of a history anew: an epoch of
    ml-latest-small takes it over 70 s of one core, this one 5 s.
    """

    def __init__(self, n_items: int, *, dimension: int, dropout: float, length: int) -> None:
        super().__init__(n_items, dimension, dropout)
        self.places = nn.Embedding(length, dimension)
        nn.init.normal_(self.places.weight, std=INIT_STD)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dimension, 1, dimension, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(dimension)

    def encode(self, items: Tensor) -> Tensor:
        steps = items.shape[1]
        states = self.vectors(items) * self.vectors.embedding_dim**0.5 + self.places.weight[:steps]
        states = self.dropout(states)
        later = nn.Transformer.generate_square_subsequent_mask(steps)
        for block in self.blocks:
            states = block(states, src_mask=later, is_causal=True)
        return self.norm(states)  # type: ignore[no-any-return]


class SequenceRetriever(DenseRetriever):
    """Score: the model's logit of the item after the last ``length`` items of the history."""

    def __init__(self, catalogue: Catalogue, model: NextItemModel, *, name: str, length: int) -> None:
        super().__init__(catalogue)
        self.name = name
        self._model = model
        self._length = length

    def dense(self, request: Request) -> FloatArray | None:
        history = self.catalogue.positions(request.history.item_ids)[-self._length :]
        if not len(history):
            return None
        with torch.inference_mode():
            states = self._model.encode(torch.from_numpy(history)[None])
            scores: FloatArray = self._model.logits(states[0, -1]).numpy()
        return scores


def windows_of(sequences: Sequence[IntArray], length: int, padding: int) -> Tensor:
    """Cut sequences from their end into stretches that predict ``length`` items, each item once.

    Returns:
        int64 (n, length + 1), padded on the right. Neighbours share one item: the last input of the earlier
        is the first of the later. Sequences of one item predict nothing and are left out.
    """
    rows = [
        items[max(stop - length - 1, 0) : stop]
        for items in sequences
        for stop in range(len(items), 1, -length)
    ]
    padded = np.full((len(rows), length + 1), padding, np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def lstm_stages(
    material: Material,
    seed: int,
    *,
    dimension: int,
    length: int,
    dropout: float,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> Iterator[SequenceRetriever]:
    """The LSTM after each epoch of training."""
    with seeded(seed):
        model = LSTMModel(len(material.catalogue), dimension=dimension, dropout=dropout)
    return _stages("lstm", material, model, length, learning_rate, weight_decay, seed)


def attention_stages(
    material: Material,
    seed: int,
    *,
    dimension: int,
    length: int,
    dropout: float,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> Iterator[SequenceRetriever]:
    """Self-attention after each epoch of training."""
    with seeded(seed):
        n_items = len(material.catalogue)
        model = AttentionModel(n_items, dimension=dimension, dropout=dropout, length=length)
    return _stages("sasrec", material, model, length, learning_rate, weight_decay, seed)


BATCH_TARGETS = 500
"""Next items per step of training. With 2,000 the LSTM still ranked by popularity after seven epochs."""


def _stages(
    name: str,
    material: Material,
    model: NextItemModel,
    length: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
) -> Iterator[SequenceRetriever]:
    examples = windows_of(material.sequences, length, model.n_items)
    retriever = SequenceRetriever(material.catalogue, model, name=name, length=length)
    targets = int((examples[:, 1:] != model.n_items).sum())
    for _ in epochs(
        model,
        [examples],
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=max(BATCH_TARGETS * len(examples) // max(targets, 1), 1),
        seed=seed,
    ):
        yield retriever
