"""Several retrievers as one: every part's scores brought to one scale, then added.

For each request every part names its best ``POOL`` items. Over the union of these, a part's scores are
scaled so that its lowest is 0 and its highest 1; an item of which a part knows nothing has 0 before scaling.
The score of a candidate is the sum of scaled scores times weights, and the weights depend on what the
parts can read in the request. The pool does not depend on how many items are asked for, so a shorter list
is the beginning of a longer one (up to ``POOL`` items).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever, IntArray
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.protocols import Embedder, FloatArray
from tastemaker.types import Candidate, Request, freeze

POOL = 200
"""Items that each part names per request."""

States = Sequence[Any]
"""What each part prepared for one request, in the order of the parts; None where it is silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridWeights:
    """Weight of each part, by its name, for the four things a request can have. A part not named has 0.

    ``history``: items that others have also had; ``both``: such items and a wish; ``words``: no such item,
    but a wish or typed titles; ``nobody``: neither. The defaults were chosen on validation items of
    MovieLens-100K (docs/lab.md); wishes were simulated there by the genres of the item sought.
    """

    history: Mapping[str, float] = field(
        default_factory=lambda: {"transitions": 1.0, "text": 0.1, "popularity": 0.2}
    )
    both: Mapping[str, float] = field(
        default_factory=lambda: {"transitions": 1.0, "text": 2.0, "popularity": 0.2}
    )
    words: Mapping[str, float] = field(default_factory=lambda: {"text": 1.0, "popularity": 0.3})
    nobody: Mapping[str, float] = field(default_factory=lambda: {"popularity": 1.0})

    def __post_init__(self) -> None:
        for case in fields(self):
            weights = dict(getattr(self, case.name))
            sound = [isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in weights.values()]
            if not all(sound) or not any(weights.values()):
                raise ConfigError(
                    f"hybrid weights for {case.name!r} are {weights}; numbers from 0 up are wanted, "
                    "one of them above 0"
                )
            object.__setattr__(self, case.name, freeze(weights))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HybridWeights:
        """Read ``to_dict``'s form; missing cases keep their defaults.

        Raises:
            ConfigError: an unknown case, or a weight that is no number from 0 up.
        """
        known = [case.name for case in fields(cls)]
        for name, weights in values.items():
            if name not in known or not isinstance(weights, Mapping):
                raise ConfigError(
                    f"hybrid weights hold {name!r}: {weights!r}; wanted are {', '.join(known)}, each with "
                    "weights by retriever name"
                )
        return cls(**values)

    def to_dict(self) -> dict[str, dict[str, float]]:
        return {case.name: dict(getattr(self, case.name)) for case in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How one part's scores become 0..1 for one request, and what they then weigh."""

    low: float
    span: float
    weight: float

    def apply(self, scores: FloatArray) -> FloatArray:
        return ((scores - self.low) / self.span).astype(np.float32)


class HybridRetriever:
    """A ``Retriever`` over parts of one catalogue. ``Candidate.sources`` has each part's scaled score."""

    name = "hybrid"

    def __init__(
        self,
        catalogue: Catalogue,
        parts: Sequence[CatalogueRetriever[Any]],
        weights: HybridWeights | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._parts = tuple(parts)
        self.weights = weights if weights is not None else HybridWeights()

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        """See ``tastemaker.protocols.Retriever``; ``score`` is comparable within one request only."""
        return [
            self._fused(request, states, n)
            for request, states in zip(requests, self._prepare(requests), strict=True)
        ]

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        """Score given items for altered requests on the scale of the original one.

        The scale and the weights are those of ``request``: its pool, its exclusions, its case of
        ``HybridWeights``. So scoring ``request`` itself gives back the scores of ``retrieve``, and any
        difference comes from the alteration. A part that falls silent (the only history item dropped) gives
        what it gives the worst of the pool, 0; exclusions and filters of the altered requests play no role.

        Returns:
            One float32 array (len(candidates),) per altered request. An item that the catalogue lacks has 0.
        """
        original, *others = self._prepare([request, *altered])
        scales = self._scales(request, original, self._pool(request, original))
        ids = [candidate.item.id for candidate in candidates]
        known = np.array([id_ in self._catalogue.dataset.item_positions for id_ in ids], bool)
        positions = self._catalogue.positions(ids)
        out = []
        for states in others:
            scores = np.zeros(len(ids), np.float32)
            scores[known] = self._add(self._scaled(states, positions, scales), scales, len(positions))
            out.append(scores)
        return out

    def _prepare(self, requests: Sequence[Request]) -> list[States]:
        by_part = [part.prepare(requests) for part in self._parts]
        return [[states[row] for states in by_part] for row in range(len(requests))]

    def _fused(self, request: Request, states: States, n: int) -> tuple[Candidate, ...]:
        pool = self._pool(request, states, n)
        scales = self._scales(request, states, self._pool(request, states) if n > POOL else pool)
        scaled = self._scaled(states, pool, scales)
        best, scores = self._catalogue.order(pool, self._add(scaled, scales, len(pool)), n)
        place = np.searchsorted(pool, best)
        sources = [{name: float(values[row]) for name, values in scaled.items()} for row in place.tolist()]
        return self._catalogue.candidates((best, scores), sources)

    def _pool(self, request: Request, states: States, n: int = POOL) -> IntArray:
        """Positions (sorted) that the speaking parts with a weight name."""
        allowed = self._catalogue.allowed(request)
        weights = self._weights_for(request, states)
        named = [
            part.top(state, allowed, max(n, POOL))[0]
            for part, state in zip(self._parts, states, strict=True)
            if state is not None and weights.get(part.name)
        ]
        return np.unique(np.concatenate(named)) if named else np.zeros(0, np.int64)

    def _weights_for(self, request: Request, states: States) -> Mapping[str, float]:
        spoken = {part.reads for part, state in zip(self._parts, states, strict=True) if state is not None}
        if "behaviour" in spoken:
            return self.weights.both if request.wish.strip() else self.weights.history
        return self.weights.words if "words" in spoken else self.weights.nobody

    def _scales(self, request: Request, states: States, pool: IntArray) -> dict[str, Scale]:
        """The scale of every speaking part with a weight, by name; none for an empty pool."""
        weights = self._weights_for(request, states)
        scales = {}
        for part, state in zip(self._parts, states, strict=True):
            weight = weights.get(part.name, 0.0)
            if state is not None and weight and len(pool):
                scores = part.scores(state, pool)
                low, high = float(scores.min()), float(scores.max())
                # All alike: nothing to tell apart, everyone gets 0.
                scales[part.name] = Scale(low=low, span=high - low or math.inf, weight=weight)
        return scales

    def _scaled(
        self, states: States, positions: IntArray, scales: Mapping[str, Scale]
    ) -> dict[str, FloatArray]:
        return {
            part.name: scales[part.name].apply(part.scores(state, positions))
            for part, state in zip(self._parts, states, strict=True)
            if state is not None and part.name in scales
        }

    @staticmethod
    def _add(scaled: Mapping[str, FloatArray], scales: Mapping[str, Scale], size: int) -> FloatArray:
        total = np.zeros(size, np.float32)
        for name, values in scaled.items():
            total += np.float32(scales[name].weight) * values
        return total


def build_retriever(
    dataset: Dataset, index: ItemIndex, embedder: Embedder, weights: HybridWeights | None = None
) -> HybridRetriever:
    """The product's retriever: transitions, text and popularity over one catalogue."""
    catalogue = Catalogue(dataset)
    parts = (
        TransitionRetriever(catalogue),
        TextRetriever(catalogue, index, embedder),
        PopularityRetriever(catalogue),
    )
    return HybridRetriever(catalogue, parts, weights)
