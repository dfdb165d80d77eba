"""Several retrievers as one: every part's scores brought to log-odds, then added.

For each request every proposing part names its best ``POOL`` items. Over the union of these, the scores s of
a part that counts votes become ``ln((s / m + FLOOR) / (1 + FLOOR))`` with m their mean over the union; other
parts' scores only lose their mean. The score of a candidate is the sum of these times weights. With weights
fitted as a conditional logit (``tastemaker.finetune.fit_hybrid``) the softmax of the scores is the chance
that an item is the next one, given that it is among the candidates. The weights depend on what the parts can
read in the request. The pool does not depend on how many items are asked for, so a shorter list is the
beginning of a longer one (up to ``POOL`` items).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError
from tastemaker.index.alike import AlikeRetriever
from tastemaker.index.avoided import AvoidedRetriever
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever, IntArray
from tastemaker.index.ease import EaseRetriever
from tastemaker.index.opinion import OpinionRetriever
from tastemaker.index.popularity import EventWeight, PopularityRetriever
from tastemaker.index.recency import RecencyRetriever
from tastemaker.index.situation import HabitRetriever, SituationRetriever
from tastemaker.index.situations import Situations
from tastemaker.index.store import ItemIndex
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.protocols import Embedder, FloatArray
from tastemaker.types import Candidate, Request, freeze

POOL = 200
"""Items that each part names per request."""

FLOOR = 1.0
"""Votes that every item has beforehand, in units of the pool's mean: .03, .1, .3 and 1 gave NDCG@10 .1155,
.1161, .1168 and .1178 out of sample on ml-latest-small (docs/lab.md)."""

AVOIDED = 3.0
"""Nats that an item loses per unit of cosine to what was turned down in the session. Not fitted, since no
public data have such sessions: a sequel (.85) loses 1.7 nats more than anything else (.3), odds of 1 to 5."""

_AT_ONCE = 64
"""Requests whose states are in memory together: some 10 arrays with one number per item each."""

States = Sequence[Any]
"""What each part prepared for one request, in the order of the parts; None where it is silent."""


_HISTORY = {
    "next": 0.14,
    "transitions": 0.85,
    "linked": 0.52,
    "nearby": 1.01,
    "ease": 0.37,
    "taste": 0.43,
    "popularity": 0.01,
    "recency": 0.17,
    "text": 1.44,
    "alike": 0.37,
}
"""Log-odds per logit of a part, for who has a history (``benchmarks/hybrid_weights.py``)."""

SITUATED = {"situation": 0.5, "habit": 0.3, "opinion": 0.5}
"""The same for parts that only data with context columns have, less than what validation gave there
(LDOS-CoMoDa: situation 1.1; smart home: habit .6; DePaulMovie: opinion 1.5; docs/lab.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridWeights:
    """Weight of each part, by its name, for the four things a request can have. A part not named has 0.

    ``history``: items that others have also had; ``both``: such items and a wish; ``words``: no such item,
    but a wish or typed titles; ``nobody``: neither. The defaults were fitted on ml-latest-small and balanced
    on wishes simulated by the genres of the item sought (docs/lab.md).
    """

    history: Mapping[str, float] = field(default_factory=lambda: {**_HISTORY, **SITUATED})
    both: Mapping[str, float] = field(default_factory=lambda: {**_HISTORY, **SITUATED, "text": 15.0})
    words: Mapping[str, float] = field(
        default_factory=lambda: {"text": 10.0, "popularity": 0.6, "recency": 0.6, "situation": 0.6}
    )
    nobody: Mapping[str, float] = field(
        default_factory=lambda: {"popularity": 1.4, "recency": 1.0, "situation": 1.4}
    )

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
    """How one part's scores become logits for one request, and what they then weigh.

    ``mean`` is that of the part's scores (of its votes, negative ones counted as 0) over the pool.
    """

    unit: Literal["votes", "logits"]
    mean: float
    weight: float

    @classmethod
    def over(cls, scores: FloatArray, unit: Literal["votes", "logits"], weight: float) -> Scale:
        """The scale for a pool's scores, shape (pool,), at least one."""
        counted = np.maximum(scores, 0) if unit == "votes" else scores
        return cls(unit=unit, mean=float(counted.mean(dtype=np.float64)), weight=weight)

    def apply(self, scores: FloatArray) -> FloatArray:
        if self.unit == "logits":
            return (scores - self.mean).astype(np.float32)
        shares = np.maximum(scores, 0) / self.mean if self.mean > 0 else np.ones_like(scores)
        return np.log((shares + FLOOR) / (1 + FLOOR)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The named items of one request: sorted positions, and as many logits of every speaking part."""

    positions: IntArray
    logits: Mapping[str, FloatArray]


class HybridRetriever:
    """A ``Retriever`` over parts of one catalogue. ``Candidate.sources`` has each part's logits."""

    name = "hybrid"

    def __init__(
        self,
        catalogue: Catalogue,
        parts: Sequence[CatalogueRetriever[Any]],
        weights: HybridWeights | None = None,
    ) -> None:
        self.catalogue = catalogue
        self._parts = tuple(parts)
        self.weights = weights if weights is not None else HybridWeights()

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        """See ``tastemaker.protocols.Retriever``; ``score`` is in nats, comparable within one request."""
        return [self._fused(request, states, n) for request, states in self._prepared(requests)]

    def pools(self, requests: Sequence[Request]) -> Iterator[Pool]:
        """What the parts with a weight say about the items that they name, one pool per request."""
        for request, states in self._prepared(requests):
            positions = self._pool(request, states)
            scales = self._scales(request, states, positions)
            yield Pool(positions=positions, logits=self._scaled(states, positions, scales))

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        """Score given items for altered requests on the scale of the original one.

        The scale and the weights are those of ``request``: its pool, its exclusions, its case of
        ``HybridWeights``. So scoring ``request`` itself gives back the scores of ``retrieve``, and any
        difference comes from the alteration. A part that falls silent (the only history item dropped) has
        scores of 0; exclusions and filters of the altered requests play no role.

        Returns:
            One float32 array (len(candidates),) per altered request. An item that the catalogue lacks has 0.
        """
        original, *others = self._prepare([request, *altered])
        scales = self._scales(request, original, self._pool(request, original))
        ids = [candidate.item.id for candidate in candidates]
        known = np.array([id_ in self.catalogue.dataset.item_positions for id_ in ids], bool)
        positions = self.catalogue.positions(ids)
        out = []
        for states in others:
            scores = np.zeros(len(ids), np.float32)
            scores[known] = self._add(self._scaled(states, positions, scales), scales, len(positions))
            out.append(scores)
        return out

    def _prepare(self, requests: Sequence[Request]) -> list[States]:
        by_part = [part.prepare(requests) for part in self._parts]
        return [[states[row] for states in by_part] for row in range(len(requests))]

    def _prepared(self, requests: Sequence[Request]) -> Iterator[tuple[Request, States]]:
        for first in range(0, len(requests), _AT_ONCE):
            batch = requests[first : first + _AT_ONCE]
            yield from zip(batch, self._prepare(batch), strict=True)

    def _fused(self, request: Request, states: States, n: int) -> tuple[Candidate, ...]:
        pool = self._pool(request, states, n)
        scales = self._scales(request, states, self._pool(request, states) if n > POOL else pool)
        scaled = self._scaled(states, pool, scales)
        best, scores = self.catalogue.order(pool, self._add(scaled, scales, len(pool)), n)
        place = np.searchsorted(pool, best)
        sources = [{name: float(values[row]) for name, values in scaled.items()} for row in place.tolist()]
        return self.catalogue.candidates((best, scores), sources)

    def _pool(self, request: Request, states: States, n: int = POOL) -> IntArray:
        """Positions (sorted) that the speaking parts with a weight propose."""
        allowed = self.catalogue.allowed(request)
        weights = self._weights_for(request, states)
        named = [
            part.top(state, allowed, max(n, POOL))[0]
            for part, state in zip(self._parts, states, strict=True)
            if state is not None and part.proposes and weights.get(part.name)
        ]
        return np.unique(np.concatenate(named)) if named else np.zeros(0, np.int64)

    def _weights_for(self, request: Request, states: States) -> Mapping[str, float]:
        avoided = {AvoidedRetriever.name: AVOIDED}
        return {**self._fitted_for(request, states), **avoided}

    def _fitted_for(self, request: Request, states: States) -> Mapping[str, float]:
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
                scales[part.name] = Scale.over(part.scores(state, pool), part.unit, weight)
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


def behaviour_parts(
    catalogue: Catalogue, weigh: EventWeight | None = None, *, repeats: bool = False
) -> list[CatalogueRetriever[Any]]:
    """The parts that need nothing but interactions; those that learn from situations, if the data tell any.

    ``weigh``: how much an event of a name says; None: all alike. ``repeats``: see ``situation_parts``.

    Several windows over one behaviour: ``next`` looks at the very next steps, ``transitions`` at what follows
    soon, ``linked`` at what comes close by in either order and leans to the popular, ``nearby`` at the same
    stretch of a user's life, ``ease`` at taste, the latest items loudest, ``taste`` at the whole history.
    """
    ease = EaseRetriever(catalogue)
    situated = situation_parts(catalogue, repeats=repeats)
    return [
        TransitionRetriever(catalogue, name="next", window=3, gap_weight=1.0, length=10, decay=0.5),
        TransitionRetriever(catalogue),
        TransitionRetriever(catalogue, name="linked", back=0.6, popularity_power=0.3, decay=0.6),
        TransitionRetriever(
            catalogue, name="nearby", window=50, gap_weight=0.95, back=1.0, length=100, decay=0.95
        ),
        ease,
        ease.with_history("taste", length=300, decay=0.99),
        PopularityRetriever(catalogue, weigh=weigh, lifts=not situated),
        RecencyRetriever(catalogue),
        *situated,
    ]


def situation_parts(catalogue: Catalogue, *, repeats: bool = False) -> list[CatalogueRetriever[Any]]:
    """The parts that learn from situations: none where the data have no context columns, unless things are
    done again and again (``repeats``), when the clock alone says much.
    """
    data = catalogue.dataset
    if not data.context_columns and not (repeats and data.interactions.num_rows):
        return []
    situations = Situations(data)
    if not situations.fields:
        return []  # neither times nor context columns: plays that are only counted
    return [
        SituationRetriever(catalogue, situations),
        HabitRetriever(catalogue, situations),
        OpinionRetriever(catalogue, situations),
    ]


def text_parts(catalogue: Catalogue, index: ItemIndex, embedder: Embedder) -> list[CatalogueRetriever[Any]]:
    """The parts that read item texts and wishes; they know items that nobody has had yet."""
    return [TextRetriever(catalogue, index, embedder), AlikeRetriever(catalogue, index)]


def build_retriever(
    dataset: Dataset,
    index: ItemIndex,
    embedder: Embedder,
    weights: HybridWeights | None = None,
    more: Sequence[CatalogueRetriever[Any]] = (),
    weigh: EventWeight | None = None,
    repeats: bool = False,
) -> HybridRetriever:
    """The product's retriever: behaviour and text parts over one catalogue, and ``more`` parts of it.

    ``weigh`` and ``repeats``: see ``behaviour_parts``.
    """
    catalogue = Catalogue(dataset)
    avoided = AvoidedRetriever(catalogue, index)  # says what a session rules out; no weight to be fitted
    known = behaviour_parts(catalogue, weigh, repeats=repeats)
    parts = (*known, *text_parts(catalogue, index, embedder), avoided, *more)
    return HybridRetriever(catalogue, parts, weights)
