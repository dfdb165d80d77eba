"""Retrievers that score the whole catalogue at once, and the floor: random order."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.types import Request


class DenseRetriever(CatalogueRetriever[FloatArray]):
    """A state is one score per item. Requests are scored one by one: a batch gives the very same floats."""

    reads: Literal["behaviour", "words", "nothing"] = "behaviour"

    @abstractmethod
    def dense(self, request: Request) -> FloatArray | None:
        """Return float32 (n_items,), or None when there is nothing to say about this request."""

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        return [self.dense(request) for request in requests]

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state, allowed, n)

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        return state[positions]


class RandomRetriever(DenseRetriever):
    """Every item gets a uniform random score, drawn from the seed, the user and the history."""

    name = "chance"
    reads = "nothing"

    def __init__(self, catalogue: Catalogue | Dataset, *, seed: int = 0) -> None:
        super().__init__(catalogue)
        self._seed = seed

    def dense(self, request: Request) -> FloatArray:
        asked = "\n".join([request.user_id or "", *request.history.item_ids])
        generator = np.random.default_rng([self._seed, zlib.crc32(asked.encode("utf-8", "replace"))])
        return generator.random(len(self.catalogue), dtype=np.float32)
