"""Examples of the objective ``match``: stretches of a user's sequence that ask for many items at once.

A timeline asks for each of its entries as serving asks for the next item (``tastemaker.prompts.timeline``):
a stretch of 32 events costs what one question costs and gives up to 32 answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.finetune.crossfit import folds_of
from tastemaker.finetune.ranker.examples import CandidateTable, Event, Timeline
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.types import Context, HistoryEntry, Request

WARM_UP = 4
"""Entries at the start of a stretch that are read and not asked for, unless the user's sequence starts there:
serving has a longer history to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question inside a stretch, for the entry at ``place`` (0 = the stretch's first).

    ``items`` are positions in ``Dataset.item_ids``, ``scores`` the retriever's; both (candidates,).
    ``target`` is the place among them of what came. ``fold``: which of ``factors.crossfit_factors`` do not
    know the answer; 0 are those of everybody.
    """

    place: int
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    target: int
    fold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The request before the stretch's last event, with the stretch as its history, and all its questions."""

    request: Request
    asks: tuple[Ask, ...]


class StretchSet(Sequence[Stretch]):
    """Stretches of at most ``length`` events, made as they are asked for, always the same for the same place.

    Each user's sequence is cut from its end, at places that the seed shifts. Events whose item the retriever
    missed are read and not asked for. ``retrieved`` counts the events that are asked for.
    """

    def __init__(
        self,
        train: Dataset,
        events: Sequence[Event],
        candidates: CandidateTable,
        recipe: Recipe,
        *,
        length: int,
    ) -> None:
        self._events, self._candidates = events, candidates
        self._timeline = Timeline(train)
        self._seed, self._hidden = recipe.seed, recipe.context_dropout
        self._folds = folds_of(train)
        by_user: dict[str, list[int]] = defaultdict(list)
        for row, event in enumerate(events):
            if self._target(row) is not None:
                by_user[event.user_id].append(row)
        draw = np.random.default_rng([recipe.seed, 4])
        self._stretches = [
            stretch
            for rows in by_user.values()
            for stretch in _cut(sorted((events[row].position, row) for row in rows), length, draw)
        ]
        self.retrieved = sum(len(rows) for _, rows in self._stretches)

    def __len__(self) -> int:
        return len(self._stretches)

    def __getitem__(self, place: Any) -> Any:
        start, rows = self._stretches[place]
        request = self._timeline.request(self._events[rows[-1]])
        # The same fields are hidden whenever this stretch is made: a run that goes on reads the same texts.
        draw = np.random.default_rng([self._seed, 5, place])
        entries = tuple(self._dimmed_entry(entry, draw) for entry in request.history.entries[start:])
        asked = replace(
            request,
            history=replace(request.history, entries=entries),
            context=self._dimmed(request.context, draw),
        )
        return Stretch(request=asked, asks=tuple(self._ask(row, start) for row in rows))

    def _dimmed_entry(self, entry: HistoryEntry, draw: np.random.Generator) -> HistoryEntry:
        if not entry.context:
            return entry
        kept = {name: value for name, value in entry.context.items() if draw.random() >= self._hidden}
        return replace(entry, context=kept)

    def _dimmed(self, context: Context, draw: np.random.Generator) -> Context:
        """The situation without some of its fields; the time stays, since gaps are told from it."""
        known = context.as_mapping()
        kept = {
            name: value for name, value in known.items() if name == "time" or draw.random() >= self._hidden
        }
        return context if kept == known else Context.from_mapping(dict(kept))

    def _ask(self, row: int, start: int) -> Ask:
        found = self._candidates.items[row] >= 0
        event = self._events[row]
        target = self._target(row)
        assert target is not None
        return Ask(
            place=event.position - start,
            items=self._candidates.items[row, found],
            scores=self._candidates.scores[row, found],
            target=target,
            fold=self._folds[event.user_id] + 1,
        )

    def _target(self, row: int) -> int | None:
        [item] = self._timeline.following(self._events[row], 1)
        places = np.flatnonzero(self._candidates.items[row] == item)
        return int(places[0]) if len(places) else None


def _cut(
    asked: Sequence[tuple[int, int]], length: int, draw: np.random.Generator
) -> list[tuple[int, list[int]]]:
    """(first position, rows asked for) of each stretch of one user; ``asked``: (position, row), sorted."""
    end = asked[-1][0] + 1 + int(draw.integers(length // 2 + 1))
    out = []
    while end > 0:
        start = max(end - length, 0)
        first = start + WARM_UP if start else 0
        if rows := [row for position, row in asked if first <= position < end]:
            out.append((start, rows))
        end = first if start else 0
    return out
