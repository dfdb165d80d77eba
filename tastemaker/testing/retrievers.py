"""A retriever that knows nothing, and so cannot have seen the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastemaker.artifacts import digest_of
from tastemaker.data.dataset import Dataset
from tastemaker.types import Candidate, Request


class RandomRetriever:
    """Lists the data set's items in a random order of its own for each ``request_id``; scores fall to 0."""

    name = "random"

    def __init__(self, dataset: Dataset, *, seed: int = 0) -> None:
        self._items = tuple(dataset.iter_items())
        self._seed = seed

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        return [self._listed(request, n) for request in requests]

    def _listed(self, request: Request, n: int) -> tuple[Candidate, ...]:
        wanted = [item for item in self._items if item.id not in request.unwanted_ids]
        key = int(digest_of([self._seed, request.request_id]), 16)
        order = np.random.default_rng(key).permutation(len(wanted))[:n]
        return tuple(
            Candidate(item=wanted[at], score=(len(order) - 1 - rank) / len(order))
            for rank, at in enumerate(order)
        )
