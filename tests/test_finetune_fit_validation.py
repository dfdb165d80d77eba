"""Weights from validation events: a part that knows what comes next outweighs one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.finetune import fit_validation
from tastemaker.finetune.fit_validation import fit_on_validation
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.protocols import FloatArray
from tastemaker.testing.data import film_data, next_film
from tastemaker.types import Request


class Opinion(CatalogueRetriever[FloatArray]):
    """Scores of normal noise for every item; one that ``knows`` adds 2 for what follows in the circle."""

    reads = "behaviour"

    def __init__(self, catalogue: Catalogue, name: str, *, knows: bool) -> None:
        super().__init__(catalogue)
        self.name = name
        self.asked: list[Request] = []
        self._knows = knows
        self._noise = np.random.default_rng(len(name))

    def prepare(self, requests: Sequence[Request]) -> list[FloatArray | None]:
        self.asked += requests
        return [self._opinion(request) for request in requests]

    def _opinion(self, request: Request) -> FloatArray:
        scores = self._noise.standard_normal(len(self.catalogue)).astype(np.float32)
        if self._knows:
            scores[self.catalogue.positions([next_film(request.history.item_ids[-1])])] += 2
        return scores

    def top(self, state: FloatArray, allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state, allowed, n)

    def scores(self, state: FloatArray, positions: IntArray) -> FloatArray:
        return state[positions]


def fitted(dataset: Dataset) -> tuple[dict[str, float], list[Opinion], int]:
    split = leave_one_out(dataset)
    catalogue = Catalogue(split.train)
    parts = [Opinion(catalogue, "knows", knows=True), Opinion(catalogue, "guesses", knows=False)]
    fit = fit_on_validation(split.train, split.validation, parts)
    assert fit.reached == fit.events
    return dict(fit.weights), parts, fit.events


def test_the_part_that_knows_gets_the_weight() -> None:
    weights, parts, events = fitted(film_data())
    assert events == 30
    assert weights["knows"] > 1
    assert weights["guesses"] < 0.4
    # Asked is what stood before the validation event, and the situation of that event.
    request = parts[0].asked[0]
    assert request.history.item_ids == tuple(f"comedy-{place}" for place in range(6))
    assert request.context.company == "family"
    assert request.context.time is not None
    assert request.context.time.isoformat() == "2020-01-07T00:00:00+00:00"


def test_of_many_users_a_sample_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_validation, "MAX_USERS", 9)
    assert fitted(film_data())[2] == 9
