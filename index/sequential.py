"""Retrieval by what comes next: a trained user encoder over item vectors in a FAISS index.

The encoder is what ``tastemaker train retriever`` writes. It reads which items a user had and in which order;
it knows nothing of ratings, wishes or the clock. An item that training has not seen is placed by its text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.artifacts import read_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.data.fingerprint import fingerprint_of
from tastemaker.errors import ArtifactError
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

KIND = "sequential-encoder"
WEIGHTS_FILE = "weights.safetensors"
ITEMS_FILE = "items.json"
"""Ids of the items that were trained on, in the order of their free vectors."""

_RETRAIN = "tastemaker train retriever"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTaste:
    """What a history leads to: a vector (d,), and the log of the softmax's sum over the trained items."""

    vector: FloatArray
    log_total: float


class SequentialRetriever(CatalogueRetriever[NextTaste]):
    """Score: the log-probability, in nats, that an item comes next among the items trained on.

    ``log softmax`` of the inner products of item vectors with the vector of the history. A new item's score
    is on the same scale, though its probability is not part of the sum. Histories are encoded one by one, so
    that a batch equals its singles to the last bit.
    """

    name = "sequential"
    reads = "behaviour"

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        *,
        vectors: FloatArray,
        trained: IntArray,
        encode: Callable[[FloatArray], FloatArray],
    ) -> None:
        """
        Args:
            vectors: float32 (n_items, d), by catalogue position.
            trained: positions of the items trained on.
            encode: the vectors (l, d) of a history, oldest first, l >= 1, to the vector (d,) of what is next.
        """
        super().__init__(catalogue)
        # Always exact: with 64 dimensions a million vectors are compared in 20 ms. Row = catalogue position.
        self._index = ItemIndex(vectors.shape[1], kind="exact")
        self._index.add_vectors(self.catalogue.dataset.item_ids, vectors)
        self._trained = np.ascontiguousarray(vectors[trained])
        self._encode = encode

    def prepare(self, requests: Sequence[Request]) -> list[NextTaste | None]:
        return [self._taste(self.catalogue.positions(request.history.item_ids)) for request in requests]

    def top(self, state: NextTaste, allowed: BoolArray, n: int) -> Top:
        ((positions, scores),) = self._index.search(state.vector[None], n, allowed=allowed)
        return positions, scores - np.float32(state.log_total)

    def scores(self, state: NextTaste, positions: IntArray) -> FloatArray:
        found: FloatArray = self._index.vectors(positions) @ state.vector - np.float32(state.log_total)
        return found

    def _taste(self, history: IntArray) -> NextTaste | None:
        if not len(history):
            return None
        vector = self._encode(self._index.vectors(history))
        logits = self._trained @ vector
        highest = float(logits.max())
        return NextTaste(vector=vector, log_total=highest + float(np.log(np.exp(logits - highest).sum())))


def training_fingerprint(train: Dataset) -> str:
    """Hash of the interactions that an encoder learns from. Items may be added without changing it."""
    return fingerprint_of(train.interactions)


def text_vectors(dataset: Dataset, index: ItemIndex) -> FloatArray:
    """Return float32 (n_items, d) in the order of ``dataset.item_ids``.

    Raises:
        ArtifactError: the index lacks an item.
    """
    rows = index.row_of(dataset.item_ids)
    if (rows < 0).any():
        missing = dataset.item_ids[int(np.argmin(rows))]
        raise ArtifactError(
            f"the index lacks {int((rows < 0).sum()):,} items of the data, e.g. {missing!r}",
            hint="tastemaker index build",
        )
    return index.vectors(rows)


def load_sequential(
    folder: Path, catalogue: Catalogue, index: ItemIndex, *, trained_on: str | None
) -> SequentialRetriever:
    """Load the encoder that ``train_sequential`` wrote to ``folder``, for this catalogue.

    Args:
        index: text vectors of the catalogue's items.
        trained_on: ``training_fingerprint`` of the data it must have learned from; None: any.

    Raises:
        ArtifactError: it is damaged, learned from other interactions, or reads another embedding model's
            vectors.
    """
    try:
        manifest = read_manifest(folder, KIND)
        _check_made_for(folder, manifest, index, trained_on)
        return _read(folder, manifest, catalogue, index)
    except ArtifactError as error:
        raise ArtifactError(error.message, hint=error.hint or _RETRAIN) from error


def _check_made_for(
    folder: Path, manifest: Mapping[str, Any], index: ItemIndex, trained_on: str | None
) -> None:
    if manifest.get("embedder_fingerprint") != index.embedder_fingerprint:
        raise ArtifactError(
            f"{folder} was trained with embedding model {manifest.get('embedder')} "
            f"({manifest.get('embedder_fingerprint')}); the index was built with {index.embedder_name} "
            f"({index.embedder_fingerprint})"
        )
    if trained_on is not None and manifest.get("training_fingerprint") != trained_on:
        raise ArtifactError(
            f"{folder} was trained on other interactions ({manifest.get('training_fingerprint')}); "
            f"the workspace's training part is {trained_on}"
        )


def _read(
    folder: Path, manifest: Mapping[str, Any], catalogue: Catalogue, index: ItemIndex
) -> SequentialRetriever:
    # They load torch, which a workspace without an encoder does not need.
    import torch

    from tastemaker.index.sequential_model import read_encoder

    encoder = read_encoder(folder / WEIGHTS_FILE, manifest.get("shape", {}))
    item_ids = json.loads((folder / ITEMS_FILE).read_text(encoding="utf-8"))
    kept = [row for row, item_id in enumerate(item_ids) if catalogue.dataset.has_item(item_id)]
    if not kept or len(item_ids) != len(encoder.free):
        raise ArtifactError(
            f"{folder} has {len(encoder.free):,} free vectors for {len(item_ids):,} items, of which the "
            f"catalogue holds {len(kept):,}"
        )
    trained = catalogue.positions(item_ids)
    with torch.inference_mode():
        encoder.free = torch.nn.Parameter(encoder.free[kept], requires_grad=False)
        texts = torch.from_numpy(text_vectors(catalogue.dataset, index))
        vectors = encoder.catalogue_vectors(texts, torch.from_numpy(trained)).numpy()
    return SequentialRetriever(catalogue, vectors=vectors, trained=trained, encode=encoder.encode)
