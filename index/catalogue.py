"""What the retrievers of one data set share: positions, the allowed set of a request, candidates.

A *position* is the place of an item in ``Dataset.item_ids``. Scores and masks are arrays over positions,
so that ids and filters are looked at once per request and not once per retriever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.index.columns import ItemColumns
from tastemaker.protocols import FloatArray
from tastemaker.types import Candidate, Item, Request

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Top = tuple[IntArray, FloatArray]
"""Positions and their scores, best first."""

State = TypeVar("State")
_KEPT_ITEMS = 50_000


class Catalogue:
    """The items of a data set in a fixed order."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.columns = ItemColumns(dataset.items)
        self._item = lru_cache(maxsize=_KEPT_ITEMS)(dataset.item)
        # Place of each id in text order: the tie-break of every list.
        self.id_order = np.empty(len(dataset.item_ids), np.int64)
        self.id_order[np.argsort(np.array(dataset.item_ids, dtype=object))] = np.arange(len(self.id_order))

    def __len__(self) -> int:
        return len(self.dataset.item_ids)

    def item(self, position: int) -> Item:
        return self._item(self.dataset.item_ids[position])

    def positions(self, item_ids: Sequence[str]) -> IntArray:
        """Positions of the ids that the catalogue holds, in order; others are left out."""
        places = self.dataset.item_positions
        return np.array([places[id_] for id_ in item_ids if id_ in places], np.int64)

    def allowed(self, request: Request) -> BoolArray:
        """Return bool (n_items,): items that are not unwanted and meet every filter."""
        mask = self.columns.mask(request.filters)
        mask[self.positions(tuple(request.unwanted_ids))] = False
        return mask

    def best(self, scores: FloatArray, allowed: BoolArray, n: int) -> Top:
        """The ``n`` best allowed positions of dense scores (n_items,), ties by item id."""
        return self.order(np.flatnonzero(allowed), scores[allowed], n)

    def order(self, positions: IntArray, scores: FloatArray, n: int) -> Top:
        """Sort positions by score, best first, ties by item id, and keep ``n``."""
        if len(positions) > n:
            kept = scores >= np.partition(scores, -n)[-n]  # the n best, and all that tie with the last
            positions, scores = positions[kept], scores[kept]
        order = np.lexsort((self.id_order[positions], -scores))[:n]
        return positions[order], scores[order]

    def candidates(
        self, top: Top, sources: Sequence[Mapping[str, float]] | None = None
    ) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                item=self.item(position), score=score, sources={} if sources is None else sources[place]
            )
            for place, (position, score) in enumerate(zip(top[0].tolist(), top[1].tolist(), strict=True))
        )


class CatalogueRetriever(ABC, Generic[State]):
    """A ``Retriever`` over a catalogue, in three steps that a hybrid can call one by one.

    ``prepare`` reads the requests (one batch through the embedding model), ``top`` searches,
    ``scores`` scores given positions. A state of None means: nothing to say about this request.
    ``reads`` says what its states come from: items that others have had, words, or nothing of the user's.
    ``unit`` says how a hybrid compares scores: votes add up from 0 and are compared by their ratio, logits
    (log-counts, cosines, dot products) by their difference. A part that does not ``propose`` only has an
    opinion on what others name.
    """

    name: str
    reads: Literal["behaviour", "words", "nothing"]
    unit: Literal["votes", "logits"] = "logits"
    proposes: bool = True

    def __init__(self, catalogue: Catalogue | Dataset) -> None:
        """A catalogue that several retrievers share, or a data set to make one of."""
        self.catalogue = catalogue if isinstance(catalogue, Catalogue) else Catalogue(catalogue)

    @abstractmethod
    def prepare(self, requests: Sequence[Request]) -> list[State | None]:
        """Return one state per request."""

    @abstractmethod
    def top(self, state: State, allowed: BoolArray, n: int) -> Top:
        """Return at most ``n`` of the allowed positions, best first, ties by item id."""

    @abstractmethod
    def scores(self, state: State, positions: IntArray) -> FloatArray:
        """Return float32 (len(positions),), the scores that ``top`` gives, 0 where nothing is known."""

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        """See ``tastemaker.protocols.Retriever``."""
        return [
            ()
            if state is None
            else self.catalogue.candidates(self.top(state, self.catalogue.allowed(request), n))
            for request, state in zip(requests, self.prepare(requests), strict=True)
        ]
