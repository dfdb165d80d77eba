"""How a user would rate an item in this situation: a ridge regression on who, what, what kind, and when.

Crossed indicators, each with a scale that says how far it may move: user, item, their pair, genres, user and
genre, and each of these with each field of the situation. Rare crossings shrink to the plainer ones they are
made of, so that an item that was never rated in a situation is judged by its genres there, and a user who
never was by everybody. Only the data's own context columns are crossed, not the clock.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import BoolArray, Catalogue, CatalogueRetriever, IntArray, Top
from tastemaker.index.situations import CLOCK, GAP, Codes, Situations
from tastemaker.protocols import FloatArray
from tastemaker.types import Request

MAX_EVENTS = 200_000
"""More ratings than that are left to the other parts: the pairs alone would fill the memory."""

RIDGE = 3.0
"""Squared error that a coefficient of 1 costs: ratings of 1 to 5 have a variance of about 1."""

SCALES = {
    "user": 1.0,
    "item": 1.0,
    "pair": 1.5,
    "genre": 0.5,
    "user genre": 0.5,
    "field": 1.0,
    "item field": 0.5,
    "user field": 0.7,
    "genre field": 0.5,
    "user genre field": 0.4,
    "user moment": 0.7,
}
"""How far a coefficient may move beside one at 1; chosen on DePaulMovie (docs/lab.md)."""

Term = tuple[Hashable, ...]


_OF_ITEMS = ("item", "pair", "item field")
_OF_GENRES = ("genre", "user genre", "genre field", "user genre field")


class OpinionRetriever(CatalogueRetriever[NDArray[np.float64]]):
    """Score: the expected rating, less what all items share. Proposes nothing; silent without ratings."""

    name = "opinion"
    reads = "nothing"
    proposes = False

    def __init__(self, catalogue: Catalogue, situations: Situations | None) -> None:
        """``situations`` None: opinions whatever the situation."""
        super().__init__(catalogue)
        dataset = catalogue.dataset
        self._situations = situations
        self._crossed = (
            [place for place, name in enumerate(situations.fields) if name not in (*CLOCK, GAP)]
            if situations is not None
            else []
        )
        self._genres, number = _genres(dataset)
        self._shares = _shares(self._genres, number)
        self._tables: dict[Term, tuple[IntArray, NDArray[np.float64]]] = {}
        self._columns: dict[Term, int] = {}
        self._weights = np.zeros(0)
        codes = dataset.codes()
        ratings = dataset.interactions["value"].to_numpy()[codes.row].astype(np.float64)
        rated = np.flatnonzero(np.isfinite(ratings))
        if dataset.value_range is not None and 0 < len(rated) <= MAX_EVENTS:
            self._fit(codes.user[rated], codes.item[rated], self._kept_codes(rated), ratings[rated])

    def _kept_codes(self, rows: IntArray) -> Codes:
        if self._situations is None:
            return np.zeros((len(rows), 0), np.int32)
        return self._situations.codes[rows][:, self._crossed]

    def _fit(
        self, user: NDArray[np.int32], item: NDArray[np.int32], codes: Codes, ratings: NDArray[np.float64]
    ) -> None:
        rows, columns, values = [], [], []
        for row, (who, what, where) in enumerate(
            zip(user.tolist(), item.tolist(), codes.tolist(), strict=True)
        ):
            for term, scale in self._terms(who, what, tuple(where)):
                rows.append(row)
                columns.append(self._columns.setdefault(term, len(self._columns)))
                values.append(scale)
        matrix = sparse.csr_array((values, (rows, columns)), shape=(len(ratings), len(self._columns)))
        wanted = ratings - ratings.mean()
        normal = (matrix.T @ matrix + RIDGE * sparse.eye_array(matrix.shape[1])).tocsr()
        self._weights, _ = cg(normal, matrix.T @ wanted, rtol=1e-6, maxiter=500)
        self._tabulate()

    def _terms(self, user: int, item: int, situation: tuple[int, ...]) -> Iterator[tuple[Term, float]]:
        genres = self._genres[item]
        share = 1 / max(len(genres), 1) ** 0.5
        yield ("user", user), SCALES["user"]
        yield ("item", item), SCALES["item"]
        yield ("pair", user, item), SCALES["pair"]
        for genre in genres:
            yield ("genre", genre), SCALES["genre"] * share
            yield ("user genre", user, genre), SCALES["user genre"] * share
        if any(situation):
            yield ("user moment", user, situation), SCALES["user moment"]
        for field, value in enumerate(situation):
            if not value:
                continue
            yield ("field", field, value), SCALES["field"]
            yield ("item field", item, field, value), SCALES["item field"]
            yield ("user field", user, field, value), SCALES["user field"]
            for genre in genres:
                yield ("genre field", genre, field, value), SCALES["genre field"] * share
                yield ("user genre field", user, genre, field, value), SCALES["user genre field"] * share

    def _tabulate(self) -> None:
        """Coefficients by what they cross an item or a genre with; those of neither move no item."""
        scattered: dict[Term, tuple[list[int], list[float]]] = {}
        for term, column in self._columns.items():
            kind = str(term[0])
            if kind in _OF_ITEMS or kind in _OF_GENRES:
                what, rest = _taken_out(term)
                places, values = scattered.setdefault((kind, *rest), ([], []))
                places.append(what)
                values.append(SCALES[kind] * float(self._weights[column]))
        self._tables = {
            key: (np.array(places), np.array(values)) for key, (places, values) in scattered.items()
        }

    def prepare(self, requests: Sequence[Request]) -> list[NDArray[np.float64] | None]:
        if not self._tables:
            return [None] * len(requests)
        return [self._dense(request) for request in requests]

    def _dense(self, request: Request) -> NDArray[np.float64]:
        """(items,): all that differs between items for this user in this situation."""
        user = self.catalogue.dataset.user_positions.get(request.user_id or "", -1)
        situation = self._situations.of(request)[self._crossed] if self._situations is not None else ()
        said = [(field, int(value)) for field, value in enumerate(situation) if value]
        items = self._sum(
            [("item",), ("pair", user), *(("item field", *one) for one in said)], len(self.catalogue)
        )
        genres = self._sum(
            [
                ("genre",),
                ("user genre", user),
                *(("genre field", *one) for one in said),
                *(("user genre field", user, *one) for one in said),
            ],
            self._shares.shape[1],
        )
        scores: NDArray[np.float64] = items + self._shares @ genres
        return scores

    def _sum(self, keys: Sequence[Term], size: int) -> NDArray[np.float64]:
        out = np.zeros(size)
        for key in keys:
            if key in self._tables:
                places, values = self._tables[key]
                out[places] += values
        return out

    def top(self, state: NDArray[np.float64], allowed: BoolArray, n: int) -> Top:
        return self.catalogue.best(state.astype(np.float32), allowed, n)

    def scores(self, state: NDArray[np.float64], positions: IntArray) -> FloatArray:
        return state[positions].astype(np.float32)


def _taken_out(term: Term) -> tuple[int, Term]:
    """The item or genre of a term, and what else it names: it stands first, but behind a user."""
    place = 2 if term[0] in ("pair", "user genre", "user genre field") else 1
    return int(str(term[place])), (*term[1:place], *term[place + 1 :])


def _shares(genres: Sequence[Sequence[int]], size: int) -> sparse.csr_array:
    """(items, genres): each item's genres weigh together as one, by the sum of squares."""
    places = [(row, genre, 1 / len(own) ** 0.5) for row, own in enumerate(genres) for genre in own]
    row, column, value = zip(*places, strict=True) if places else ((), (), ())
    return sparse.csr_array((value, (row, column)), shape=(len(genres), size))


def _genres(dataset: Dataset) -> tuple[list[list[int]], int]:
    """Numbers of each item's genres, and how many there are; of the first column that holds several texts."""
    for name in ("genres", "categories", "tags"):
        if name in dataset.items.column_names and pa.types.is_list(dataset.items[name].type):
            listed = dataset.items[name].to_pylist()
            known = {
                genre: place
                for place, genre in enumerate(dict.fromkeys(g for own in listed for g in own or ()))
            }
            return [[known[genre] for genre in own or ()] for own in listed], len(known)
    return [[] for _ in dataset.item_ids], 0
