"""What several baselines make of the same training part, made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import Embedder, ProgressCallback

Kept = TypeVar("Kept")

EMBEDDER = "all-minilm-l6-v2"

Sequence = NDArray[np.int64]
"""Item positions of one user, oldest first."""


class Material:
    """A training part and the views of it that are costly to make."""

    def __init__(
        self,
        train: Dataset,
        *,
        embedder: str | Embedder = EMBEDDER,
        progress: ProgressCallback | None = None,
    ) -> None:
        """``embedder``: an embedding model or its source; loaded when a baseline reads texts."""
        self.catalogue = Catalogue(train)
        self._embedder = embedder
        self._progress = progress
        self._kept: dict[Hashable, object] = {}

    @property
    def train(self) -> Dataset:
        return self.catalogue.dataset

    @cached_property
    def sequences(self) -> list[Sequence]:
        """The item positions of every user with an event, in the order of ``Dataset.codes``."""
        codes = self.train.codes()
        starts = np.flatnonzero(np.diff(codes.user, prepend=-1))
        return np.split(codes.item.astype(np.int64), starts[1:]) if len(starts) else []

    def keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gave when it was first asked for under ``key``; settings that share it pay once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    @cached_property
    def embedder(self) -> Embedder:
        source = self._embedder
        return load_embedder(source, progress=self._progress) if isinstance(source, str) else source

    @cached_property
    def text_index(self) -> ItemIndex:
        """Every item's text vector; 550 short texts a second and core with the built-in model."""
        texts = index_texts(self.train)
        return ItemIndex.build(self.train.item_ids, texts, self.embedder, progress=self._progress)
