"""Training sequences as batches of windows. The same seed and epoch always give the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout

Codes = NDArray[np.int64]

MIN_STEPS = 20
_BUCKET = 8
"""Windows whose lengths differ by less are batched together: little padding, and still random company."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextItem:
    """A validation question in item positions: what the user has had, and what came next."""

    history: Codes
    target: int


def training_sequences(train: Dataset) -> list[Codes]:
    """Item positions of every user with at least two events, oldest first."""
    return [items.astype(np.int64) for items in train.sequences().values() if len(items) > 1]


def validation_questions(
    train: Dataset, validation: Sequence[Holdout], limit: int, seed: int
) -> list[NextItem]:
    """The first held-out event of each user who has a history in ``train`` and has not had the item.

    Of more than ``limit`` such users a random part is taken.
    """
    first: dict[str, str] = {}
    for holdout in validation:
        first.setdefault(holdout.user_id, holdout.item_id)
    sequences = train.sequences()
    questions = [
        NextItem(history=sequences[user].astype(np.int64), target=train.item_positions[item])
        for user, item in first.items()
        if user in sequences and train.item_positions[item] not in sequences[user]
    ]
    if len(questions) <= limit:
        return questions
    picks = np.random.default_rng(seed).choice(len(questions), limit, replace=False)
    return [questions[place] for place in sorted(picks)]


def epoch_batches(
    sequences: Sequence[Codes], length: int, positions: int, *, seed: int, epoch: int
) -> list[list[Codes]]:
    """Windows of the sequences, grouped by length into batches, in random order.

    An epoch of a small data set is as many passes over it as give ``MIN_STEPS`` batches: the metric of a
    single step says little.

    Args:
        length: inputs of a window, which holds one event more. In one pass every event but a user's first is
            the target of exactly one window.
        positions: a batch holds at most so many inputs, padding included, and at least one window.
    """
    generator = np.random.default_rng((seed, epoch))
    batches: list[list[Codes]] = []
    while len(batches) < MIN_STEPS:
        batches += _one_pass(sequences, length, positions, generator)
    return batches


def _one_pass(
    sequences: Sequence[Codes], length: int, positions: int, generator: np.random.Generator
) -> list[list[Codes]]:
    windows = [window for items in sequences for window in _windows(items, length, generator)]
    order = generator.permutation(len(windows))
    order = order[np.argsort([len(windows[place]) // _BUCKET for place in order], kind="stable")]
    batches = list(_filled([windows[place] for place in order], positions))
    return [batches[place] for place in generator.permutation(len(batches))]


def _windows(items: Codes, length: int, generator: np.random.Generator) -> Iterator[Codes]:
    """Windows of ``length`` targets; of a longer sequence the first cut from the end is at random.

    Half of the time the last window is a whole one, as in serving.
    """
    stop = len(items)
    if stop > length + 1 and generator.random() < 0.5:
        stop -= int(generator.integers(1, length))
        yield items[stop - 1 :]
    while stop > 1:
        yield items[max(0, stop - length - 1) : stop]
        stop -= length


def _filled(windows: Sequence[Codes], positions: int) -> Iterator[list[Codes]]:
    batch: list[Codes] = []
    widest = 0
    for window in windows:
        widest = max(widest, len(window) - 1)
        if batch and widest * (len(batch) + 1) > positions:
            yield batch
            batch, widest = [], len(window) - 1
        batch.append(window)
    if batch:
        yield batch
