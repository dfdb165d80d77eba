"""Hybrids with an encoder each for ranker training: no fold's encoder has met the fold's users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout, leave_one_out
from tastemaker.errors import ConfigError
from tastemaker.finetune.crossfit import deal
from tastemaker.finetune.ranker import hybrid_source
from tastemaker.finetune.ranker.candidates import retrieve_candidates
from tastemaker.finetune.ranker.examples import choose_events, seen_items_only
from tastemaker.finetune.ranker.hybrid_source import EncodedHybrids, plain_source
from tastemaker.finetune.ranker.recipe import Recipe, make_recipe
from tastemaker.finetune.sequential import SequentialRun
from tastemaker.finetune.sequential_train import SequentialTraining
from tastemaker.index.build import index_texts
from tastemaker.index.store import ItemIndex
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Request

FOLDS = 2
SPLIT = leave_one_out(film_data())
TRAIN = seen_items_only(SPLIT.train)


class Runs:
    """Every encoder asked for: the users it trains on and those who stop it."""

    def __init__(self) -> None:
        self.seen: list[tuple[set[str], set[str]]] = []

    def __call__(
        self, part: Dataset, validation: Sequence[Holdout], index: ItemIndex, config: SequentialTraining
    ) -> SequentialRun:
        self.seen.append((set(part.sequences()), {one.user_id for one in validation}))
        return SequentialRun(part, validation, index, config)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(hybrid_source, "SequentialRun", found)
    monkeypatch.setattr(hybrid_source, "SequentialTraining", partial(SequentialTraining, epochs=1))
    return found


def hybrids(folder: Path, **changes: Any) -> EncodedHybrids:
    embedder = HashEmbedder()
    made = EncodedHybrids(
        train=TRAIN,
        validation=SPLIT.validation,
        index=ItemIndex.build(TRAIN.item_ids, index_texts(TRAIN), embedder),
        embedder=embedder,
        folder=folder,
        seed=0,
    )
    return replace(made, **changes)


def test_no_encoder_has_met_the_users_it_answers(tmp_path: Path, runs: Runs) -> None:
    source = hybrids(tmp_path).source(FOLDS)
    events = choose_events(TRAIN, Recipe())
    table = retrieve_candidates(TRAIN, events, source, 5, folds=FOLDS)
    hidden = [set(users) for _, users in deal(TRAIN, FOLDS)]
    # The first fold's is asked for twice, to weigh and to answer.
    assert [hidden[0], hidden[0], hidden[1]] == [set(TRAIN.sequences()) - users for users, _ in runs.seen]
    assert all(held <= users for users, held in runs.seen)
    assert len(list(tmp_path.iterdir())) == FOLDS
    assert (table.items >= 0).any()


def test_the_encoder_speaks_in_the_candidates(tmp_path: Path, runs: Runs) -> None:
    source = hybrids(tmp_path).source(FOLDS)
    others, users = next(deal(TRAIN, FOLDS))
    [found] = source.build(others).retrieve([Request(history=TRAIN.history(users[0]))], 5)
    assert any("sequential" in candidate.sources for candidate in found)


def test_a_source_is_known_by_what_it_is_made_of(tmp_path: Path, runs: Runs) -> None:
    first = hybrids(tmp_path).source(FOLDS).fingerprint
    assert first == hybrids(tmp_path).source(FOLDS).fingerprint
    assert first != hybrids(tmp_path, seed=1).source(FOLDS).fingerprint
    made = hybrids(tmp_path)
    assert first != plain_source(TRAIN, made.index, made.embedder, seed=0, progress=None).fingerprint


def test_candidates_are_scored_alike_when_encoders_are_found_again(tmp_path: Path, runs: Runs) -> None:
    events = choose_events(TRAIN, Recipe())
    tables = [
        retrieve_candidates(TRAIN, events, hybrids(tmp_path).source(FOLDS), 5, folds=FOLDS) for _ in "12"
    ]
    assert np.array_equal(tables[0].items, tables[1].items)
    assert np.array_equal(tables[0].scores, tables[1].scores)


def test_one_fold_hides_nobody() -> None:
    with pytest.raises(ConfigError, match="encoder_folds is 1"):
        make_recipe({"encoder_folds": 1})
