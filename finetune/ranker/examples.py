"""Training examples: what serving would have been asked at past moments, what it would have retrieved, and
what came next.

Only training sequences are read. Candidates come from retrievers that never saw the user
(``tastemaker.finetune.ranker.candidates``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.finetune.crossfit import MIN_HISTORY, Moment, moments
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.fusion import softmax
from tastemaker.types import Candidate, Item, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateTable:
    """Candidates of many events, best first, in two arrays (events, n).

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


def choose_events(train: Dataset, recipe: Recipe) -> list[Event]:
    """Events that can be asked for (``crossfit.moments``), thinned out as the recipe says, in random order.

    Raises:
        DataError: there are none.
    """
    draw = np.random.default_rng([recipe.seed, 1])
    found: list[Event] = []
    for user_id in train.sequences():
        asked = [moment.position for moment in moments(train, user_id)]
        if recipe.per_user and len(asked) > recipe.per_user:
            asked = sorted(draw.choice(asked, recipe.per_user, replace=False).tolist())
        found += [Event(user_id=user_id, position=position) for position in asked]
    if not found:
        raise DataError(
            f"no user has more than {MIN_HISTORY} training events; there is nothing to learn from",
            hint="bring more data",
        )
    order = draw.permutation(len(found))
    return [found[i] for i in order[: recipe.max_examples or None]]


class Timeline:
    """The requests that stood before events of one training set, and what came then."""

    def __init__(self, train: Dataset) -> None:
        self._codes = train.codes()
        bounds = np.searchsorted(self._codes.user, np.arange(len(train.user_ids) + 1)).tolist()
        self._bounds = dict(zip(train.user_ids, pairwise(bounds), strict=True))

        def by_position(user_id: str) -> dict[int, Moment]:
            return {moment.position: moment for moment in moments(train, user_id)}

        self._moments = lru_cache(maxsize=1_024)(by_position)

    def request(self, event: Event) -> Request:
        """What serving would have been asked just before ``event``."""
        return self._moments(event.user_id)[event.position].request

    def following(self, event: Event, n: int) -> list[int]:
        """Positions in ``Dataset.item_ids`` of the event's item and of those after it, ``n`` at most."""
        start, stop = self._bounds[event.user_id]
        first = start + event.position
        items: list[int] = self._codes.item[first : min(first + n, stop)].tolist()
        return items


class ExampleSet(Sequence[Example]):
    """Examples that are made as they are asked for, always the same for the same place."""

    def __init__(
        self,
        train: Dataset,
        events: Sequence[Event],
        candidates: CandidateTable,
        recipe: Recipe,
        *,
        needs_target: bool,
    ) -> None:
        self._events, self._candidates, self._recipe = events, candidates, recipe
        self._timeline = Timeline(train)
        self._items = tuple(train.iter_items())
        self.retrieved = sum(self._listed(row) for row in range(len(events)))
        self._rows = [row for row in range(len(events)) if self._listed(row) or not needs_target]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        row = self._rows[place]
        draw = np.random.default_rng([self._recipe.seed, 2, row])
        following = self._following(row)
        kept = self._kept(row, following, draw)
        items = self._candidates.items[row, kept].tolist()
        scores = self._candidates.scores[row, kept].astype(np.float64)
        return Example(
            request=self._timeline.request(self._events[row]),
            candidates=tuple(
                Candidate(item=self._items[item], score=float(score))
                for item, score in zip(items, scores, strict=True)
            ),
            target=self._items[following[0]],
            shares=self._shares(items, scores, following),
            order=tuple(draw.permutation(len(items)).tolist()),
        )

    def _following(self, row: int) -> list[int]:
        return self._timeline.following(self._events[row], self._recipe.followers)

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
