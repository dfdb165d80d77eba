"""Recommendation turns of recorded conversations, as processed for iEvaLM (Wang et al. 2023).

=================  =============================================================================
``redial``         ReDial (Li et al. 2018), 2,716 validation turns, 6,583 films with plots
``opendialkg``     OpenDialKG (Moon et al. 2019), 1,188 validation turns, films with their facts
=================  =============================================================================

Each film that a turn recommends is one question, sought among all films. Of ReDial nothing but the validation
part is at hand, so its dialogues are dealt into folds: a turn is asked of what the others teach.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.benchmarks import find_files

SAID_CHARS = 600
"""Of what was said before: its end. MiniLM reads about that much."""

FOLDS = 10
SETS = ("redial", "opendialkg")


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueTurn:
    """A turn that recommends: what was said before, films mentioned before (ids), and those recommended."""

    dialogue: str
    said: tuple[str, ...]
    mentioned: tuple[str, ...]
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueSet:
    """``asked``: turns to be answered. ``others``: dialogues that may be learned from, empty where the asked
    ones themselves are dealt into folds. ``behaviour``: MovieLens over the same films. ``people``: who made
    and played in each film, empty where nobody is known.
    """

    name: str
    items: pa.Table
    asked: tuple[DialogueTurn, ...]
    others: tuple[DialogueTurn, ...]
    behaviour: pa.Table
    people: tuple[tuple[str, ...], ...] = ()


def load_dialogues(name: str, folder: Path | None = None) -> DialogueSet:
    """Read a set.

    Raises:
        DataError: there is no such set, or its files are not found.
    """
    if name not in SETS:
        raise DataError(f"unknown set {name!r}; known are {', '.join(SETS)}")
    files = [f"{name}.id2info.json.gz", f"{name}_eval.valid_data_processed.jsonl.gz"]
    if name == "opendialkg":
        files.append("opendialkg_eval.train_data_processed.jsonl.gz")
    origin = "https://github.com/RUCAIBox/iEvaLM-CRS"
    info, valid, *train = find_files(f"conv-{name}", files, origin=origin, folder=folder)
    facts = json.loads(_text(info))
    ids = {one["name"]: key for key, one in facts.items()}
    items = _items(facts)
    return DialogueSet(
        name=name,
        items=items,
        asked=tuple(_turns(valid, ids)),
        others=tuple(_turns(train[0], ids, "train ")) if train else (),
        behaviour=_movielens(Dataset.from_tables(items), folder),
        people=tuple(_people(one) for one in facts.values()),
    )


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def _items(facts: dict[str, dict[str, Any]]) -> pa.Table:
    rows = list(facts.values())
    return pa.table(
        {
            "id": list(facts),
            "title": [one["name"] for one in rows],
            "description": [
                ". ".join(filter(None, (one.get("plot") or "", ", ".join(_people(one))))) for one in rows
            ],
            "genres": pa.array(
                [list(dict.fromkeys(one.get("genre", ()))) for one in rows], pa.list_(pa.string())
            ),
            "year": pa.array([_year(one) for one in rows], pa.int64()),
        }
    )


def _people(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one.get("director", ()), *one.get("star", one.get("actor", ())))))


def _year(one: dict[str, Any]) -> int | None:
    text = str(one.get("year") or one["name"][-5:-1])
    return int(text) if text.isdigit() and len(text) == 4 else None


def _turns(path: Path, ids: dict[str, str], prefix: str = "") -> Iterator[DialogueTurn]:
    """``prefix``: of the dialogues' names, which OpenDialKG counts from 0 in either part."""
    for line in _text(path).splitlines():
        row = json.loads(line)
        mentioned = tuple(dict.fromkeys(ids[one] for one in row["entity"] if one in ids))
        wanted = tuple(dict.fromkeys(ids[one] for one in row["rec"] if one in ids))
        said = tuple(one for one in row["context"] if one)
        yield DialogueTurn(
            dialogue=f"{prefix}{row['dialog_id']}", said=said, mentioned=mentioned, wanted=wanted
        )


def _movielens(films: Dataset, folder: Path | None) -> pa.Table:
    """Ratings of 3.5 and more of films that the set knows by title (and year)."""
    ratings, movies = find_files("ml-latest-small", ("ratings.csv", "movies.csv"), origin="", folder=folder)
    from tastemaker.data.readers import read

    source = read(ratings, movies).dataset
    known = {
        one.id: films.find_title(one.display_title) or films.find_title(one.title)
        for one in source.iter_items()
    }
    rows = source.interactions.sort_by([("user_id", "ascending"), ("timestamp", "ascending")]).to_pylist()
    kept = [row for row in rows if known[row["item_id"]] is not None and (row["value"] or 5.0) >= 3.5]
    return pa.table(
        {
            "user_id": [f"ml {row['user_id']}" for row in kept],
            "item_id": [known[row["item_id"]] for row in kept],
        }
    )


def folds_of(dialogues: DialogueSet, seed: int) -> Iterator[tuple[list[DialogueTurn], list[DialogueTurn]]]:
    """What may be learned from, and what is asked."""
    if dialogues.others:
        yield list(dialogues.others), list(dialogues.asked)
        return
    names = sorted({turn.dialogue for turn in dialogues.asked})
    fold = dict(
        zip(names, np.random.default_rng(seed).integers(FOLDS, size=len(names)).tolist(), strict=True)
    )
    for number in range(FOLDS):
        yield (
            [turn for turn in dialogues.asked if fold[turn.dialogue] != number],
            [turn for turn in dialogues.asked if fold[turn.dialogue] == number],
        )
