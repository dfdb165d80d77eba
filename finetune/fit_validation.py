"""Fit the hybrid's weights on validation events, for parts too dear to be trained once per fold.

The parts are built from the training part, so the validation events are as new to them as serving's. That a
user encoder was stopped by its metric on the same events favours it a little; the alternative,
``tastemaker.finetune.fit_hybrid`` with folds, would train it five times more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout
from tastemaker.finetune.crossfit import Moment, moments
from tastemaker.finetune.fit_hybrid import (
    MAX_USERS,
    FittedHybrid,
    equal_weights,
    fit_weights,
    hybrid_examples,
    with_history,
)
from tastemaker.index.catalogue import CatalogueRetriever
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, behaviour_parts, text_parts
from tastemaker.index.popularity import EventWeight
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray, ProgressCallback

_AT_ONCE = 64


def fit_on_validation(
    train: Dataset,
    validation: Sequence[Holdout],
    parts: Sequence[CatalogueRetriever[Any]],
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> FittedHybrid:
    """Maximum-likelihood weights of ``parts`` for the event that followed each user's training events.

    Args:
        validation: events after ``train``; the first one of each of at most ``MAX_USERS`` users is asked for.
        parts: built from ``train`` alone, over one catalogue.

    Raises:
        ValueError: no item that came next is in any pool.
    """
    names = [part.name for part in parts]
    retriever = HybridRetriever(parts[0].catalogue, parts, equal_weights(names))
    asked = _questions(train, validation, seed)
    examples = []
    for start in range(0, len(asked), _AT_ONCE):
        batch = asked[start : start + _AT_ONCE]
        requests, targets = [one.request for one in batch], [one.target for one in batch]
        # Each event is one user's: all weigh the same, which a batch's share would only blur.
        found = hybrid_examples(retriever, requests, targets, names)
        examples += [replace(example, weight=1.0) for example in found]
        if progress is not None:
            progress("fitting the hybrid", start + len(batch), len(asked))
    return fit_weights(examples, names, len(asked))


def weigh_encoder(
    train: Dataset,
    validation: Sequence[Holdout],
    encoder: CatalogueRetriever[Any],
    index: ItemIndex,
    *,
    weigh: EventWeight | None = None,
    repeats: bool = False,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> HybridWeights:
    """Weights of ``build_retriever(..., more=[encoder])``.

    Args:
        train, validation: see ``fit_on_validation``; ``encoder`` is over a catalogue of ``train``.
        index: of the same items.
        weigh, repeats: see ``tastemaker.index.hybrid.behaviour_parts``.

    Raises:
        ValueError: no item that came next is in any pool.
    """
    catalogue = encoder.catalogue
    counted = behaviour_parts(catalogue, weigh, repeats=repeats)
    parts = [*counted, *text_parts(catalogue, index, _NoWords(index.dimension)), encoder]
    return with_history(fit_on_validation(train, validation, parts, seed=seed, progress=progress).weights)


@dataclass(frozen=True, slots=True)
class _NoWords:
    """An embedder for events: they come without wishes, and an item that is not indexed says nothing."""

    dimension: int
    name: str = "none"
    fingerprint: str = "none"

    def encode(self, texts: Sequence[str]) -> FloatArray:
        return np.zeros((len(texts), self.dimension), np.float32)


def _questions(train: Dataset, validation: Sequence[Holdout], seed: int) -> list[Moment]:
    first: dict[str, Holdout] = {}
    for holdout in validation:
        first.setdefault(holdout.user_id, holdout)
    users = list(first)
    if len(users) > MAX_USERS:
        picks = np.random.default_rng(seed).choice(len(users), MAX_USERS, replace=False)
        users = [users[pick] for pick in sorted(picks.tolist())]
    extended = _with_events(train, [first[user] for user in users])
    return [moment for user in users for moment in moments(extended, user, last=1)]


def _with_events(train: Dataset, events: Sequence[Holdout]) -> Dataset:
    """``train`` and the events after it."""
    rows = [
        {
            "user_id": event.user_id,
            "item_id": event.item_id,
            "timestamp": event.timestamp,
            "value": event.value,
            "event": event.event,
            **event.context,
        }
        for event in events
    ]
    later = pa.Table.from_pylist(rows, schema=train.interactions.schema)
    return replace(train, interactions=pa.concat_tables([train.interactions, later]).combine_chunks())
