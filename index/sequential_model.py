"""The network behind the sequential retriever. It loads torch; import it only where a model is needed.

Causal self-attention over the latest items (SASRec: Kang & McAuley 2018), pre-norm, with one table of item
vectors for input and output. An item's vector is ``projection(text vector) + free vector``; an item that was
not trained on has no free vector and is placed by its text alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.protocols import FloatArray

_SMALL = 0.02
"""Spread of the random start of free and position vectors; a projected text vector starts at about .05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """What the weights fix. ``length``: the latest items that are read; ``inner``: width of the feed-forward
    layer as a multiple of ``dimension``, which ``heads`` must divide."""

    dimension: int = 64
    layers: int = 2
    heads: int = 2
    inner: int = 2
    length: int = 50

    def __post_init__(self) -> None:
        if self.dimension % self.heads:
            raise ConfigError(f"{self.heads} heads do not divide a dimension of {self.dimension}")


class UserEncoder(nn.Module):
    """A history of items to the vector of what comes next, and texts to item vectors.

    ``input_dropout`` falls on the input vectors, ``dropout`` on both branches of every layer; neither plays a
    role once the module is in evaluation mode.
    """

    def __init__(
        self,
        shape: EncoderShape,
        *,
        text_dimension: int,
        items: int,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.projection = nn.Linear(text_dimension, shape.dimension)
        nn.init.normal_(self.projection.weight, std=1 / math.sqrt(text_dimension))
        nn.init.zeros_(self.projection.bias)
        self.free = nn.Parameter(torch.randn(items, shape.dimension) * _SMALL)
        self.age = nn.Parameter(torch.randn(shape.length, shape.dimension) * _SMALL)  # last row: the latest
        self.enter = nn.LayerNorm(shape.dimension)
        self.leave = nn.LayerNorm(shape.dimension)
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.ModuleList(_Layer(shape, dropout) for _ in range(shape.layers))

    def item_vectors(self, texts: Tensor, free: Tensor | None = None) -> Tensor:
        """Return (n, dimension) for text vectors (n, text_dimension) and free vectors, if there are any."""
        projected: Tensor = self.projection(texts)
        return projected if free is None else projected + free

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """Return (b, l, dimension): at every position, the vector of what comes after it.

        Args:
            vectors: (b, l, dimension) item vectors, oldest first, padded on the left; l <= ``shape.length``.
            real: bool (b, l), False where padded.
        """
        length = vectors.shape[1]
        hidden = self.input_dropout(self.enter(vectors) + self.age[-length:])
        before = torch.ones(length, length, dtype=torch.bool, device=vectors.device).tril()
        # A padded position sees itself, since softmax over nothing is NaN.
        itself = torch.eye(length, dtype=torch.bool, device=vectors.device)
        seen = (before & real[:, None, :]) | itself  # (b, l, l)
        for layer in self.layers:
            hidden = layer(hidden, seen[:, None])
        out: Tensor = self.leave(hidden)
        return out

    def catalogue_vectors(self, texts: Tensor, trained: Tensor) -> Tensor:
        """Vectors (n_items, dimension) of a whole catalogue.

        Args:
            texts: (n_items, text_dimension).
            trained: int64, positions of the items that have a free vector, in the order of ``self.free``.
        """
        free = torch.zeros(len(texts), self.shape.dimension, device=texts.device)
        return self.item_vectors(texts, free.index_copy(0, trained, self.free))

    @torch.inference_mode()
    def encode(self, vectors: FloatArray) -> FloatArray:
        """Return float32 (dimension,) for one history (l, dimension), oldest first, l >= 1."""
        self.eval()
        latest = torch.from_numpy(np.ascontiguousarray(vectors[-self.shape.length :]))[None]
        hidden = self(latest, torch.ones(latest.shape[:2], dtype=torch.bool))
        out: FloatArray = hidden[0, -1].numpy()
        return out


def read_encoder(weights: Path, shape: Mapping[str, int]) -> UserEncoder:
    """An encoder in evaluation mode from a safetensors file.

    Raises:
        ArtifactError: the file or the shape is damaged, or they do not fit each other.
    """
    try:
        tensors = load_file(weights)
        encoder = UserEncoder(
            EncoderShape(**shape),
            text_dimension=tensors["projection.weight"].shape[1],
            items=len(tensors["free"]),
        )
        encoder.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError, ConfigError) as error:
        raise ArtifactError(f"{weights} holds no user encoder: {' '.join(str(error).split())}") from error
    return encoder.eval()


class _Layer(nn.Module):
    def __init__(self, shape: EncoderShape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before_attention = nn.LayerNorm(shape.dimension)
        self.before_inner = nn.LayerNorm(shape.dimension)
        self.attention_in = nn.Linear(shape.dimension, 3 * shape.dimension)
        self.attention_out = nn.Linear(shape.dimension, shape.dimension)
        self.inner_in = nn.Linear(shape.dimension, shape.inner * shape.dimension)
        self.inner_out = nn.Linear(shape.inner * shape.dimension, shape.dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self._attend(self.before_attention(hidden), seen))
        inner = self.dropout(functional.gelu(self.inner_in(self.before_inner(hidden))))
        out: Tensor = hidden + self.dropout(self.inner_out(inner))
        return out

    def _attend(self, hidden: Tensor, seen: Tensor) -> Tensor:
        rows, length, dimension = hidden.shape
        split = self.attention_in(hidden).view(rows, length, 3, self.heads, dimension // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (b, heads, l, dimension / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        out: Tensor = self.attention_out(mixed.transpose(1, 2).reshape(rows, length, dimension))
        return out


def pad_left(rows: Sequence[Sequence[int] | np.ndarray], fill: int) -> Tensor:
    """Return int64 (len(rows), longest): ``rows`` right-aligned, ``fill`` before them."""
    width = max(len(row) for row in rows)
    out = np.full((len(rows), width), fill, np.int64)
    for place, row in enumerate(rows):
        out[place, width - len(row) :] = row
    return torch.from_numpy(out)
