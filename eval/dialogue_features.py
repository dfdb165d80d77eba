"""What can be known of a film at a turn of a dialogue, as numbers: input of ``dialogue_model``.

Every number comes from what was said before the turn, from what is known of films, and from other dialogues
that the caller names. Films that were mentioned already have numbers of their own, since people come back to
them (277 of the 3,595 films that ReDial's validation turns recommend).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from tastemaker.data.dataset import Dataset
from tastemaker.eval.dialogue_sets import SAID_CHARS, DialogueSet, DialogueTurn
from tastemaker.eval.talk_parts import SHARPNESS
from tastemaker.index.catalogue import BoolArray, IntArray
from tastemaker.index.store import ItemIndex
from tastemaker.index.text import item_text
from tastemaker.protocols import Embedder, FloatArray

NAMES = (
    "recommended", "named", "alike talks", "alike seekers", "named together", "watched together",
    "words", "seeker's words", "nearest mentioned", "traits", "genres", "years apart", "word match",
    "people shared", "people named",
    "repeat", "said last", "said before last", "third last", "earlier",
    "one of few", "said twice", "by seeker",
)  # fmt: skip
PROPOSING = ("recommended", "alike talks", "alike seekers", "named together", "traits", "genres")
"""Their plain sum says which films a turn's weights are fitted on."""

FACTORS = 24
"""Dimensions left of a film's text, of who watched it, and of what was said."""

YEARS = (1980, 1990, 2000, 2005, 2010, 2014, 2016, 2017, 2018)
UNSEEN = 0.3
"""Counts that every film has beforehand."""


class Films:
    """What is known of the films: ``traits`` (films, traits) and the matrices that features are made of."""

    def __init__(self, dialogues: DialogueSet, index: ItemIndex) -> None:
        data = Dataset.from_tables(dialogues.items)
        self.position = data.item_positions
        self.titles: list[str] = dialogues.items["title"].to_pylist()
        self.vectors = index.vectors(np.arange(len(self.titles)))
        years = dialogues.items["year"].to_pylist() if "year" in dialogues.items.column_names else []
        self.year = np.array([year or 2005 for year in years] or [2005] * len(self.titles), np.float32)
        self.genres = _genres(dialogues)
        self.watched = _watched(dialogues, self.position)
        self.seen = np.log1p(np.asarray((self.watched > 0).sum(0), np.float32).ravel())
        text = principal(self.vectors, self.vectors)
        after = scaled(np.stack([self.year >= year for year in YEARS], axis=1).astype(np.float32))
        parts = [0.5 * scaled(self.genres), text, 0.5 * _factors(self.watched), 0.4 * after]
        self.traits = np.concatenate([*parts, self.seen[:, None] / 2], axis=1).astype(np.float32)
        self.likeness = unit(
            np.concatenate([self.vectors, 0.1 * self.traits, 0.8 * unit(self.genres)], axis=1)
        )
        self.vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
        self.words = self.vectorizer.fit_transform([item_text(one) for one in data.iter_items()])
        self.namer, self.people = _people(dialogues)


class TurnFeatures:
    """Numbers of every film at every turn; see ``of``. ``query``: what the films' traits are weighed by."""

    def __init__(
        self, dialogues: DialogueSet, turns: Sequence[DialogueTurn], index: ItemIndex, embedder: Embedder
    ) -> None:
        self.films = films = Films(dialogues, index)
        self.turns = turns
        names = {turn.dialogue: None for turn in turns}
        place = {name: number for number, name in enumerate(names)}
        self.dialogue = np.array([place[turn.dialogue] for turn in turns], np.int64)
        self.mentioned = _matrix([turn.mentioned for turn in turns], films.position)
        self.wanted = _matrix([turn.wanted for turn in turns], films.position)
        deal = sparse.csr_matrix(
            (np.ones(len(turns), np.float32), (self.dialogue, np.arange(len(turns)))),
            shape=(len(names), len(turns)),
        )
        self.named = (deal @ (self.mentioned + self.wanted)).sign()  # (dialogues, films)
        said = [" ".join(turn.said)[-SAID_CHARS:] or " " for turn in turns]
        self.said = embedder.encode(said)
        self.seekers = embedder.encode([_seeker(turn)[-SAID_CHARS:] or " " for turn in turns])
        self._words = films.vectorizer.transform(said)
        self._people = films.namer.transform([_plain(one) for one in said]) if films.namer else None
        self._repeats = [_repeats(turn, films) for turn in turns]

    def query(self, learned: IntArray) -> FloatArray:
        """(turns, q): a constant, what was said, the seeker's part of it, the traits of films mentioned.

        ``learned``: the turns whose words decide on the directions that are kept.
        """
        count = np.asarray(self.mentioned.sum(1), np.float32)
        profile = (self.mentioned @ self.films.traits) / np.maximum(count, 1)
        said = principal(self.said, self.said[learned])
        seekers = 0.7 * principal(self.seekers, self.seekers[learned])
        parts = [np.ones_like(count), said, seekers, profile, (count == 0).astype(np.float32)]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def of(self, rows: IntArray, counted: BoolArray) -> FloatArray:
        """(rows, films, len(NAMES)): the features of these turns, other talks being those ``counted``.

        ``counted``: bool (turns,), whole dialogues, none of which is a dialogue of ``rows``.
        """
        out = np.zeros((len(rows), len(self.films.titles), len(NAMES)), np.float32)
        for name, values in (self._talked(rows, counted) | self._known(rows)).items():
            out[:, :, NAMES.index(name)] = values
        for place, row in enumerate(rows.tolist()):
            for item, name, value in self._repeats[row]:
                out[place, item, NAMES.index(name)] = value
        return out

    def _talked(self, rows: IntArray, counted: BoolArray) -> dict[str, FloatArray]:
        talks = np.flatnonzero(counted)
        wanted = self.wanted[talks]
        named = self.named[np.unique(self.dialogue[talks])]
        often = np.asarray(named.sum(0), np.float32).ravel()
        near = (self.mentioned[rows].multiply(1 / (often + 1)) @ named.T).tocsr()  # rare films tell more
        return {
            "recommended": np.log(np.asarray(wanted.sum(0), np.float32).ravel() + UNSEEN)[None],
            "named": np.log(often + UNSEEN)[None],
            "alike talks": _votes((wanted.T @ _close(self.said[rows], self.said[talks]).T).T),
            "alike seekers": _votes((wanted.T @ _close(self.seekers[rows], self.seekers[talks]).T).T),
            "named together": _votes((near @ named).toarray()),
        }

    def _known(self, rows: IntArray) -> dict[str, FloatArray]:
        films, mentioned = self.films, self.mentioned[rows]
        count = np.asarray(mentioned.sum(1), np.float32)
        few = np.maximum(count, 1)
        nearest = np.zeros((len(rows), len(films.titles)), np.float32)
        for place in np.flatnonzero(count[:, 0]).tolist():
            nearest[place] = (films.vectors[mentioned[[place]].indices] @ films.vectors.T).max(0)
        genres = unit(films.genres)
        apart = np.abs(mentioned @ films.year[:, None] / few - films.year[None]) / 10
        found = {
            "watched together": _votes(((mentioned @ films.watched.T) @ films.watched).toarray()),
            "words": self.said[rows] @ films.vectors.T,
            "seeker's words": self.seekers[rows] @ films.vectors.T,
            "nearest mentioned": nearest,
            "traits": unit(mentioned @ films.likeness / few) @ films.likeness.T,
            "genres": unit(mentioned @ genres / few) @ genres.T,
            "years apart": np.where(count > 0, -apart, 0),
            "word match": (self._words[rows] @ films.words.T).toarray(),
        }
        if self._people is not None:
            found["people shared"] = np.log1p(((mentioned @ films.people) @ films.people.T).toarray())
            found["people named"] = (self._people[rows] @ films.people.T).sign().toarray()
        return found


def principal(rows: FloatArray, learned: FloatArray) -> FloatArray:
    """``rows`` along the directions in which ``learned`` differ most, of mean spread 1."""
    mean = learned.mean(0)
    _, _, directions = np.linalg.svd(learned - mean, full_matrices=False)
    kept = directions[:FACTORS].T
    spread = float(((learned - mean) @ kept).std(0).mean())
    return np.asarray((rows - mean) @ kept / max(spread, 1e-9), np.float32)


def unit(rows: FloatArray) -> FloatArray:
    """Rows of length 1; empty ones stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)


def scaled(rows: FloatArray) -> FloatArray:
    """Columns of mean 0 and spread 1; constant ones become 0."""
    return np.asarray((rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-3), np.float32)


def _votes(counts: NDArray[np.floating]) -> FloatArray:
    """Shares of votes as logits, as the hybrid does it."""
    mean = counts.mean(1, keepdims=True)
    return np.asarray(np.log((counts / np.where(mean > 0, mean, 1) + 1) / 2), np.float32)


def _close(asked: FloatArray, known: FloatArray) -> FloatArray:
    return np.asarray(np.exp(SHARPNESS * (asked @ known.T - 1.0)), np.float32)


def _matrix(rows: Sequence[Sequence[str]], position: Mapping[str, int]) -> sparse.csr_matrix:
    pairs = [(row, position[item]) for row, items in enumerate(rows) for item in dict.fromkeys(items)]
    places = np.array(pairs, np.int64).reshape(-1, 2)
    ones = np.ones(len(places), np.float32)
    return sparse.csr_matrix((ones, (places[:, 0], places[:, 1])), shape=(len(rows), len(position)))


def _genres(dialogues: DialogueSet) -> FloatArray:
    """(films, genres) of genres that one film in a hundred has; one empty column without any."""
    rows = dialogues.items["genres"].to_pylist() if "genres" in dialogues.items.column_names else []
    names = sorted({genre for genres in rows for genre in genres or ()})
    table = np.zeros((dialogues.items.num_rows, len(names) + 1), np.float32)
    for row, genres in enumerate(rows):
        table[row, [names.index(genre) for genre in genres or ()]] = 1
    return table[:, np.append(table[:, :-1].mean(0) >= 0.01, True)]


def _watched(dialogues: DialogueSet, position: Mapping[str, int]) -> sparse.csr_matrix:
    """(users, films) of MovieLens, a film's ones over the root of how many there are (and 3 more)."""
    users: dict[str, list[str]] = {}
    events = (dialogues.behaviour[name].to_pylist() for name in ("user_id", "item_id"))
    for user, item in zip(*events, strict=True):
        users.setdefault(user, []).append(item)
    found = _matrix(list(users.values()), position)
    held_back = 1 / (np.sqrt(np.asarray(found.sum(0)).ravel()) + 3)
    return (found @ sparse.diags(held_back)).astype(np.float32).tocsr()


def _factors(watched: sparse.csr_matrix) -> FloatArray:
    """(films, FACTORS) from who watched them; zeros where too few people are known."""
    if min(watched.shape) <= FACTORS:
        return np.zeros((watched.shape[1], 1), np.float32)
    _, sizes, right = svds(watched, FACTORS, random_state=0)
    found = right.T * sizes
    return np.asarray(found / max(float(found.std(0).mean()), 1e-9), np.float32)


def _people(dialogues: DialogueSet) -> tuple[CountVectorizer | None, sparse.csr_matrix]:
    """What finds names of two or three words in a text, and who is in which film: (films, people)."""
    casts = [[name for name in map(_plain, cast) if 2 <= len(name.split()) <= 3] for cast in dialogues.people]
    names = {name: None for cast in casts for name in cast}
    if not names:
        return None, sparse.csr_matrix((dialogues.items.num_rows, 0), dtype=np.float32)
    place = {name: number for number, name in enumerate(names)}
    return CountVectorizer(vocabulary=place, ngram_range=(2, 3), token_pattern=r"\S+"), _matrix(casts, place)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", "", text).casefold().split())


def _seeker(turn: DialogueTurn) -> str:
    """Every second turn from the last one back: who recommends speaks next."""
    return " ".join(turn.said[::-1][::2][::-1])


def _repeats(turn: DialogueTurn, films: Films) -> list[tuple[int, str, float]]:
    """(film, feature, value) of the films mentioned before: how long ago, how often, by whom first."""
    found = []
    for item in turn.mentioned:
        position = films.position[item]
        ago = [back for back, text in enumerate(turn.said[::-1], 1) if films.titles[position] in text]
        values = {"repeat": 1.0, "one of few": 1 / len(turn.mentioned)}
        if ago:
            values[("said last", "said before last", "third last", "earlier")[min(ago[0], 4) - 1]] = 1.0
            values |= {"said twice": float(len(ago) > 1), "by seeker": float(ago[-1] % 2 == 1)}
        found += [(position, name, value) for name, value in values.items()]
    return found
