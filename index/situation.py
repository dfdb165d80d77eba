"""What is done in situations like this one, by everybody, and after the item before it.

``situation`` knows nothing of the user: an item's lift in each field of the situation, smoothed towards none
where events are few. ``habit`` asks what follows the user's latest two items, and how what follows the latest
shifts with the situation; where two are rare it backs off to one, and that to what is popular. How much
each field says is learned from the training events themselves, on lifts counted without them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.situations import Codes, Situations
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

PRIOR = 5.0
"""Events that an item has beforehand in a field's value, spread like everybody's."""

BACKOFF = 2.0
"""Events beforehand after any item, spread by popularity; after any two, spread as after the latter."""

FOLDS = 5
MAX_EVENTS = 2_000
"""Events that the fields' weights are learned from, drawn at random."""

MAX_ITEMS = 2_000
"""Items that a chosen one is compared with while the weights are learned; of more, a random sample."""

MAX_NUMBERS = 50_000_000
"""Numbers in memory while the weights are learned, 200 MB; else fewer events are drawn."""

RIDGE = 2.0
"""Pull of the weights to 0, in nats per squared unit over all events."""


class Lifts:
    """ln of an item's share in a situation over its share at all, for one field at a time.

    ``(n(i, v) + prior * s(v)) / (n(i) + prior) / s(v)`` with s(v) the share of the value v among the events
    that say anything of the field. Where an item has few events its kind speaks: the mean of the same for its
    genres and for its fifth of the years.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.size = len(catalogue)
        self._kinds = _kinds(catalogue)  # (kinds, items), the rows of an item add up to 1

    def of_items(self, item: NDArray[np.int32], column: Codes, value: int) -> NDArray[np.float64]:
        """(items,) for events of ``item`` with the field's values ``column``; 0 for a value of no event."""
        inside, known = column == value, column > 0
        if not value or not inside.any():
            return np.zeros(self.size)
        share = inside.sum() / known.sum()
        counts = np.bincount(item[inside], minlength=self.size)
        return _log_lift(counts, np.bincount(item[known], minlength=self.size), share)

    def of_kinds(self, item: NDArray[np.int32], column: Codes, value: int) -> NDArray[np.float64]:
        """(items,): of the kinds that each item is of."""
        inside, known = column == value, column > 0
        if not value or not inside.any() or not self._kinds.shape[0]:
            return np.zeros(self.size)
        counts, total = (
            self._kinds @ np.bincount(item[rows], minlength=self.size) for rows in (inside, known)
        )
        lift: NDArray[np.float64] = self._kinds.T @ _log_lift(counts, total, inside.sum() / known.sum())
        return lift


def _log_lift(
    inside: NDArray[np.float64] | IntArray, total: NDArray[np.float64] | IntArray, share: float
) -> NDArray[np.float64]:
    lift: NDArray[np.float64] = np.log((inside + PRIOR * share) / (total + PRIOR) / share)
    return lift


def _kinds(catalogue: Catalogue) -> sparse.csr_array:
    """(kinds, items): genres and fifths of the years, each item's together 1; no rows without either."""
    table = catalogue.dataset.items
    texts: list[list[str]] = [[] for _ in range(len(catalogue))]
    if "genres" in table.column_names:
        texts = [list(dict.fromkeys(genres or ())) for genres in table["genres"].to_pylist()]
    if "year" in table.column_names:
        years = np.array([np.nan if year is None else year for year in table["year"].to_pylist()], float)
        edges = np.nanquantile(years, [0.2, 0.4, 0.6, 0.8]) if np.isfinite(years).any() else []
        for row, year in enumerate(years.tolist()):
            if np.isfinite(year):
                texts[row].append(f"years {int(np.searchsorted(edges, year))}")
    names = {kind: place for place, kind in enumerate(dict.fromkeys(one for row in texts for one in row))}
    places = [(names[kind], row, 1 / len(kinds)) for row, kinds in enumerate(texts) for kind in kinds]
    kind, item, weight = zip(*places, strict=True) if places else ((), (), ())
    return sparse.csr_array((weight, (kind, item)), shape=(len(names), len(catalogue)))


class _Choices:
    """Events to learn from: what was chosen, among all items or a sample of them."""

    def __init__(self, item: NDArray[np.int32], fields: int, size: int, draw: np.random.Generator) -> None:
        shown = np.arange(size) if size <= MAX_ITEMS else np.sort(draw.choice(size, MAX_ITEMS, replace=False))
        self._shown = shown
        self._item = item
        place = np.minimum(np.searchsorted(shown, item), len(shown) - 1)
        # An item that is not in the sample takes the place of its first one.
        self._missing = shown[place] != item
        self.targets = np.where(self._missing, 0, place)
        self.logits = np.zeros((len(item), len(shown)), np.float32)
        self.features = np.zeros((len(item), fields, len(shown)), np.float32)

    @staticmethod
    def drawn(events: IntArray, fields: int, size: int, draw: np.random.Generator) -> IntArray:
        """So many of the events as are kept in memory."""
        most = MAX_NUMBERS // max(fields * min(size, MAX_ITEMS), 1)
        return draw.permutation(events)[: min(MAX_EVENTS, most)]

    def put_logits(self, rows: IntArray, values: NDArray[np.float64]) -> None:
        self._put(self.logits, rows, values)

    def put_feature(self, rows: IntArray, field: int, values: NDArray[np.float64]) -> None:
        self._put(self.features[:, field], rows, values)

    def _put(self, where: NDArray[np.float32], rows: IntArray, values: NDArray[np.float64]) -> None:
        where[rows] = values[self._shown]
        own = rows[self._missing[rows]]
        where[own, 0] = values[self._item[own]]


def field_weights(
    logits: NDArray[np.float32], features: NDArray[np.float32], targets: IntArray
) -> NDArray[np.float64]:
    """Weights from 0 up by a conditional logit with ``logits`` (n, items) beside it.

    Args:
        features: (n, fields, items).
        targets: (n,), the item that was chosen.
    """
    rows = np.arange(len(targets))
    if not features.shape[1]:
        return np.zeros(0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = logits + np.einsum("f,nfi->ni", weights, features, optimize=True)
        scores -= scores.max(axis=1, keepdims=True)
        chance = np.exp(scores)
        chance /= chance.sum(axis=1, keepdims=True)
        told = features[rows, :, targets]
        gradient = (np.einsum("ni,nfi->f", chance, features, optimize=True) - told.sum(axis=0)).astype(
            np.float64
        )
        value = -float(np.log(chance[rows, targets] + 1e-12).sum()) + RIDGE * float(weights @ weights)
        return value, gradient + 2 * RIDGE * weights

    size = features.shape[1]
    start = np.full(size, 0.1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * size)
    weights: NDArray[np.float64] = found.x
    return weights


class SituationRetriever(CatalogueRetriever[NDArray[np.float64]]):
    """Score: the weighted sum of the log-lifts of an item and its kinds in each field of the situation."""

    name = "situation"
    reads = "nothing"

    def __init__(self, catalogue: Catalogue, situations: Situations, *, seed: int = 0) -> None:
        super().__init__(catalogue)
        self._situations = situations
        self._item = catalogue.dataset.codes().item
        self._lifts = Lifts(catalogue)
        self.weights = self._learn(seed)
        """(2 * fields,): of the items' lifts, then of their kinds'."""

    def _learn(self, seed: int) -> NDArray[np.float64]:
        codes, item = self._situations.codes, self._item
        fields = codes.shape[1]
        if len(item) < 2 * FOLDS or not fields:
            return np.zeros(2 * fields)
        draw = np.random.default_rng(seed)
        chosen = _Choices.drawn(np.arange(len(item)), 2 * fields, self._lifts.size, draw)
        fold = draw.integers(FOLDS, size=len(item))
        choices = _Choices(item[chosen], 2 * fields, self._lifts.size, draw)
        for number in range(FOLDS):
            others = fold != number
            rows = np.flatnonzero(fold[chosen] == number)
            choices.put_logits(rows, np.log(np.bincount(item[others], minlength=self._lifts.size) + 0.5))
            for field in range(fields):
                asked = codes[chosen[rows], field]
                for value in np.unique(asked).tolist():
                    told = item[others], codes[others, field], value
                    choices.put_feature(rows[asked == value], field, self._lifts.of_items(*told))
                    choices.put_feature(rows[asked == value], fields + field, self._lifts.of_kinds(*told))
        return field_weights(choices.logits, choices.features, choices.targets)

    def prepare(self, requests: Sequence[Request]) -> list[NDArray[np.float64] | None]:
        return [self._dense(self._situations.of(request)) for request in requests]

    def _dense(self, situation: Codes) -> NDArray[np.float64] | None:
        if not situation.any() or not self.weights.any():
            return None
        codes, fields = self._situations.codes, len(situation)
        scores = np.zeros(self._lifts.size)
        for field, value in enumerate(situation.tolist()):
            told = self._item, codes[:, field], value
            scores += self.weights[field] * self._lifts.of_items(*told)
            scores += self.weights[fields + field] * self._lifts.of_kinds(*told)
        return scores

    def top(self, state: NDArray[np.float64], allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state.astype(np.float32), allowed, n)

    def scores(self, state: NDArray[np.float64], positions: IntArray) -> FloatArray:
        return state[positions].astype(np.float32)


class HabitRetriever(CatalogueRetriever[NDArray[np.float64]]):
    """Score: ln of the chance that an item follows the latest one, with the situation's log-lifts among what
    follows it. Silent without a history item that anything has followed.
    """

    name = "habit"
    reads = "behaviour"

    def __init__(
        self, catalogue: Catalogue, situations: Situations | None, *, seed: int = 0, backoff: float = BACKOFF
    ) -> None:
        """``situations`` None: what follows, whatever the situation."""
        super().__init__(catalogue)
        codes = catalogue.dataset.codes()
        follows = np.flatnonzero(codes.user[1:] == codes.user[:-1]) + 1
        order = np.argsort(codes.item[follows - 1], kind="stable")
        self._after = follows[order]  # events that follow another, by the item before
        self._before = codes.item[self._after - 1]
        self._item, self._user = codes.item, codes.user
        self._codes = situations.codes if situations is not None else np.zeros((len(codes.item), 0), np.int32)
        self._situations = situations
        self._lifts = Lifts(catalogue)
        counts = np.bincount(codes.item, minlength=len(catalogue)).astype(np.float64) + 0.5
        self._popular = counts / counts.sum()
        self._backoff = backoff
        self.weights = np.zeros(self._codes.shape[1])
        if situations is not None:
            self.weights = self._learn(seed)

    def _events_after(self, item: int) -> IntArray:
        first, last = np.searchsorted(self._before, [item, item + 1])
        return self._after[first:last]

    def _item_before(self, events: IntArray) -> IntArray:
        """The item two steps before each event that follows another, -1 where the user had none."""
        earlier = np.maximum(events - 2, 0)
        same = (events >= 2) & (self._user[earlier] == self._user[events])
        return np.where(same, self._item[earlier], -1)

    def _learn(self, seed: int) -> NDArray[np.float64]:
        if len(self._after) < 2 * FOLDS:
            return self.weights
        draw = np.random.default_rng(seed)
        fields, size = self._codes.shape[1], len(self.catalogue)
        chosen = _Choices.drawn(self._after, fields, size, draw)
        fold = draw.integers(FOLDS, size=len(self._item))
        choices = _Choices(self._item[chosen], fields, size, draw)
        for row, event in enumerate(chosen.tolist()):
            others = self._events_after(int(self._item[event - 1]))
            others = others[fold[others] != fold[event]]
            earlier = int(self._item_before(np.array([event]))[0])
            chances, lifts = self._parts(others, earlier, self._codes[event])
            choices.put_logits(np.array([row]), chances)
            for field, lift in enumerate(lifts):
                choices.put_feature(np.array([row]), field, lift)
        return field_weights(choices.logits, choices.features, choices.targets)

    def _parts(
        self, events: IntArray, earlier: int, situation: Codes
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ln of the chances of what follows, (items,), and the log-lifts, (fields, items)."""
        size = len(self.catalogue)
        chances = self._popular
        for followed in (events, events[self._item_before(events) == earlier]):
            counts = np.bincount(self._item[followed], minlength=size)
            chances = (counts + self._backoff * chances) / (len(followed) + self._backoff)
        told = self._item[events], self._codes[events]
        lifts = [
            self._lifts.of_items(told[0], told[1][:, field], value)
            for field, value in enumerate(situation.tolist())
        ]
        return np.log(chances), np.stack(lifts) if lifts else np.zeros((0, size))

    def prepare(self, requests: Sequence[Request]) -> list[NDArray[np.float64] | None]:
        return [self._dense(request) for request in requests]

    def _dense(self, request: Request) -> NDArray[np.float64] | None:
        known = self.catalogue.positions(request.history.item_ids)
        events = self._events_after(int(known[-1])) if len(known) else np.zeros(0, np.int64)
        if not len(events):
            return None
        situation = self._situations.of(request) if self._situations is not None else np.zeros(0, np.int32)
        chances, lifts = self._parts(events, int(known[-2]) if len(known) > 1 else -1, situation)
        scores: NDArray[np.float64] = chances + self.weights @ lifts
        return scores

    def top(self, state: NDArray[np.float64], allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state.astype(np.float32), allowed, n)

    def scores(self, state: NDArray[np.float64], positions: IntArray) -> FloatArray:
        return state[positions].astype(np.float32)
