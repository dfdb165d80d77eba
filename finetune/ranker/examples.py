"""Training examples: what serving would have been asked at past moments, what it would have retrieved, and
what came next.

Only training sequences are read. Candidates come from a retriever that has not seen the answer
(``OutOfSampleRetriever``), since a retriever asked about its own training data finds it far too often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.fusion import softmax
from tastemaker.types import Candidate, Context, Item, Request, UserHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One event of a training sequence: ``position`` 0 is the user's first."""

    user_id: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request with what was retrieved for it and what came next.

    ``shares`` (one per candidate, summing to 1) is the right answer; None where nothing that came next was
    retrieved. ``order`` is a random permutation of the candidates.
    """

    request: Request
    candidates: tuple[Candidate, ...]
    target: Item
    shares: tuple[float, ...] | None
    order: tuple[int, ...]


class OutOfSampleRetriever(Protocol):
    """Retrieves for moments of training users as if it had never seen what they did then and later."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever its answers would."""

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        """As ``Retriever.retrieve``; the user is told by ``request.user_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateTable:
    """Candidates of many moments, best first, in two arrays (moments, n).

    ``items`` indexes ``Dataset.item_ids`` and is -1 behind the last candidate; ``scores`` is float32.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


def seen_items_only(train: Dataset) -> Dataset:
    """``train`` without the items that nobody has had in it.

    An item of the held-out part alone is then unknown to everything that training makes or reads.
    """
    kept = np.flatnonzero(train.item_counts)
    return replace(train, items=train.items.take(pa.array(kept)).combine_chunks())


def choose_moments(train: Dataset, recipe: Recipe) -> list[Moment]:
    """Moments with ``min_history`` events before them, thinned out as the recipe says, in random order.

    Raises:
        DataError: there are none.
    """
    draw = np.random.default_rng([recipe.seed, 1])
    found: list[Moment] = []
    for user_id, sequence in train.sequences().items():
        positions = np.arange(recipe.min_history, len(sequence))
        if recipe.per_user and len(positions) > recipe.per_user:
            positions = np.sort(draw.choice(positions, recipe.per_user, replace=False))
        found += [Moment(user_id=user_id, position=position) for position in positions.tolist()]
    if not found:
        raise DataError(
            f"no training sequence is longer than {recipe.min_history}; there is nothing to learn from",
            hint="lower min_history or bring more data",
        )
    order = draw.permutation(len(found))
    return [found[i] for i in order[: recipe.max_examples or None]]


class Moments:
    """Requests of past moments of one training set, and what came next."""

    def __init__(self, train: Dataset) -> None:
        self._train = train
        self._codes = train.codes()
        bounds = np.searchsorted(self._codes.user, np.arange(len(train.user_ids) + 1)).tolist()
        self._bounds = dict(zip(train.user_ids, pairwise(bounds), strict=True))
        self._history = lru_cache(maxsize=1_024)(train.history)

    def request(self, moment: Moment) -> Request:
        """What serving would be asked just before the event: all that came before it, and its situation."""
        past = self._history(moment.user_id)
        entry = past.entries[moment.position]
        time = None if entry.timestamp is None else datetime.fromtimestamp(entry.timestamp, tz=UTC)
        return Request(
            history=UserHistory(
                user_id=moment.user_id,
                entries=past.entries[: moment.position],
                value_range=past.value_range,
            ),
            context=Context.from_mapping({"time": time, **self._context(moment)}),
            request_id=f"{moment.user_id}#{moment.position}",
        )

    def following(self, moment: Moment, n: int) -> list[int]:
        """Positions in ``Dataset.item_ids`` of the event's item and of those after it, ``n`` at most."""
        start, stop = self._bounds[moment.user_id]
        first = start + moment.position
        items: list[int] = self._codes.item[first : min(first + n, stop)].tolist()
        return items

    def _context(self, moment: Moment) -> dict[str, Any]:
        columns = list(self._train.context_columns)
        if not columns:
            return {}
        row = int(self._codes.row[self._bounds[moment.user_id][0] + moment.position])
        [values] = self._train.interactions.select(columns).slice(row, 1).to_pylist()
        return {name: value for name, value in values.items() if value is not None}


class ExampleSet(Sequence[Example]):
    """Examples that are made as they are asked for, always the same for the same place."""

    def __init__(
        self,
        train: Dataset,
        moments: Sequence[Moment],
        candidates: CandidateTable,
        recipe: Recipe,
        *,
        needs_target: bool,
    ) -> None:
        self._moments, self._candidates, self._recipe = moments, candidates, recipe
        self._requests = Moments(train)
        self._items = tuple(train.iter_items())
        self.retrieved = sum(self._listed(row) for row in range(len(moments)))
        self._rows = [row for row in range(len(moments)) if self._listed(row) or not needs_target]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        row = self._rows[place]
        moment = self._moments[row]
        draw = np.random.default_rng([self._recipe.seed, 2, row])
        following = self._following(row)
        kept = self._kept(row, following, draw)
        items = self._candidates.items[row, kept].tolist()
        scores = self._candidates.scores[row, kept].astype(np.float64)
        return Example(
            request=self._requests.request(moment),
            candidates=tuple(
                Candidate(item=self._items[item], score=float(score))
                for item, score in zip(items, scores, strict=True)
            ),
            target=self._items[following[0]],
            shares=self._shares(items, scores, following),
            order=tuple(draw.permutation(len(items)).tolist()),
        )

    def _following(self, row: int) -> list[int]:
        return self._requests.following(self._moments[row], self._recipe.followers)

    def _listed(self, row: int) -> bool:
        return bool(np.isin(self._following(row), self._candidates.items[row]).any())

    def _kept(self, row: int, following: Sequence[int], draw: np.random.Generator) -> NDArray[np.int64]:
        """Places of the candidates that are listed, in retrieval order: all, or targets and a random rest."""
        items = self._candidates.items[row]
        places = np.flatnonzero(items >= 0)
        size = self._recipe.list_size
        if not size or len(places) <= size:
            return places
        wanted = places[np.isin(items[places], following)][:size]
        others = draw.permutation(np.setdiff1d(places, wanted))[: size - len(wanted)]
        return np.sort(np.concatenate([wanted, others]))

    def _shares(
        self, items: Sequence[int], scores: NDArray[np.float64], following: Sequence[int]
    ) -> tuple[float, ...] | None:
        recipe = self._recipe
        shares = np.zeros(len(items))
        for steps, item in enumerate(following):
            if item in items:
                shares[items.index(item)] += recipe.decay**steps
        if not shares.any():
            return None
        shares /= shares.sum()
        own = softmax(recipe.hybrid_sharpness * scores)
        mixed = (1 - recipe.hybrid_share) * shares + recipe.hybrid_share * own
        return tuple(mixed.tolist())
