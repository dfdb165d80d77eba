"""Recommendation turns of recorded conversations: is the film that was recommended near the top?

=================  =============================================================================
``redial``         ReDial (Li et al. 2018), 2,716 validation turns, 6,583 films with plots
``opendialkg``     OpenDialKG (Moon et al. 2019), 1,188 validation turns, films with their facts
=================  =============================================================================

Both as processed for iEvaLM (Wang et al. 2023): each film that a turn recommends is one question, sought
among all films. What precedes the turn is the request: its films are the history, its words the wish. What
was mentioned together is counted from MovieLens and from dialogues that are not asked (for ReDial, of whose
training part nothing is at hand, the other four fifths of the asked ones).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.benchmarks import find_files
from tastemaker.eval.talk_parts import AlikeTalks, AlikeWords
from tastemaker.finetune.fit_hybrid import HybridExample, equal_weights, fit_weights, hybrid_examples
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, behaviour_parts, text_parts
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.text import item_text
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.protocols import Embedder, Retriever
from tastemaker.types import HistoryEntry, Request, UserHistory

SAID_CHARS = 600
"""Of what was said before: its end. MiniLM reads about that much."""

FOLDS = 5
DEPTH = 50
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
    ones themselves are dealt into folds. ``behaviour``: MovieLens over the same films.
    """

    name: str
    items: pa.Table
    asked: tuple[DialogueTurn, ...]
    others: tuple[DialogueTurn, ...]
    behaviour: pa.Table


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
        others=tuple(_turns(train[0], ids)) if train else (),
        behaviour=_movielens(Dataset.from_tables(items), folder),
    )


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def _items(facts: dict[str, dict[str, Any]]) -> pa.Table:
    def people(one: dict[str, Any]) -> str:
        return ", ".join(dict.fromkeys((*one.get("director", ()), *one.get("star", one.get("actor", ())))))

    rows = list(facts.values())
    return pa.table(
        {
            "id": list(facts),
            "title": [one["name"] for one in rows],
            "description": [". ".join(filter(None, (one.get("plot") or "", people(one)))) for one in rows],
            "genres": pa.array(
                [list(dict.fromkeys(one.get("genre", ()))) for one in rows], pa.list_(pa.string())
            ),
            "year": pa.array([_year(one) for one in rows], pa.int64()),
        }
    )


def _year(one: dict[str, Any]) -> int | None:
    text = str(one.get("year") or one["name"][-5:-1])
    return int(text) if text.isdigit() and len(text) == 4 else None


def _turns(path: Path, ids: dict[str, str]) -> Iterator[DialogueTurn]:
    for line in _text(path).splitlines():
        row = json.loads(line)
        mentioned = tuple(dict.fromkeys(ids[one] for one in row["entity"] if one in ids))
        wanted = tuple(dict.fromkeys(ids[one] for one in row["rec"] if one in ids))
        said = tuple(one for one in row["context"] if one)
        yield DialogueTurn(dialogue=str(row["dialog_id"]), said=said, mentioned=mentioned, wanted=wanted)


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


def counted(dialogues: DialogueSet, turns: Sequence[DialogueTurn]) -> Dataset:
    """MovieLens and the films of these dialogues, each dialogue a user, in the order of mention."""
    films: dict[str, dict[str, None]] = {}
    for turn in turns:
        films.setdefault(turn.dialogue, {}).update(dict.fromkeys((*turn.mentioned, *turn.wanted)))
    pairs = [(f"dialogue {name}", item) for name, items in films.items() for item in items]
    told = pa.table({"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]})
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string())])
    return Dataset.from_tables(
        dialogues.items, pa.concat_tables([dialogues.behaviour.cast(schema), told.cast(schema)])
    )


def request_of(turn: DialogueTurn, films: Dataset, *, words: bool = True, mentions: bool = True) -> Request:
    entries = tuple(HistoryEntry(title=films.item(one).display_title, item_id=one) for one in turn.mentioned)
    said = " ".join(turn.said)[-SAID_CHARS:]
    return Request(
        history=UserHistory(entries=entries if mentions else ()),
        wish=said if words else "",
        k=DEPTH,
        exclude=frozenset(turn.mentioned),
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


def fitted(
    dialogues: DialogueSet, learn: Sequence[DialogueTurn], index: ItemIndex, embedder: Embedder, seed: int
) -> tuple[Dataset, HybridRetriever]:
    """The product's retriever; its weights from a quarter of the dialogues, asked of parts without them."""
    names = sorted({turn.dialogue for turn in learn})
    hidden = set(np.random.default_rng(seed).permutation(names)[: len(names) // 4].tolist())
    parts_names, examples = _examples(
        dialogues,
        [turn for turn in learn if turn.dialogue not in hidden],
        [turn for turn in learn if turn.dialogue in hidden][:2_000],
        index,
        embedder,
    )
    weights = {
        kind: fit_weights(found, parts_names, len(found)).weights for kind, found in examples.items() if found
    }
    data = counted(dialogues, learn)
    return data, HybridRetriever(
        Catalogue(data), _parts(dialogues, learn, data, index, embedder), HybridWeights(**weights)
    )


def _parts(
    dialogues: DialogueSet, turns: Sequence[DialogueTurn], data: Dataset, index: ItemIndex, embedder: Embedder
) -> list[CatalogueRetriever[Any]]:
    """The product's parts over MovieLens and dialogues, and once more over the dialogues alone.

    People recommend other films in a talk than they watched in twenty years; the fitted weights say how much
    each tells.
    """
    catalogue = Catalogue(data)
    talked = behaviour_parts(Catalogue(counted(replace(dialogues, behaviour=dialogues.behaviour[:0]), turns)))
    for part in talked:
        part.name = f"talked {part.name}"
    talks = [(" ".join(turn.said)[-SAID_CHARS:], turn.wanted) for turn in turns]
    return [
        *behaviour_parts(catalogue),
        *talked,
        *text_parts(catalogue, index, embedder),
        AlikeTalks(catalogue, talks, embedder),
        AlikeWords(catalogue, talks),
    ]


def _examples(
    dialogues: DialogueSet,
    rest: Sequence[DialogueTurn],
    hidden: Sequence[DialogueTurn],
    index: ItemIndex,
    embedder: Embedder,
) -> tuple[list[str], dict[str, list[HybridExample]]]:
    """Pools for turns with films mentioned before (``both``) and without (``words``)."""
    data = counted(dialogues, rest)
    catalogue = Catalogue(data)
    parts = _parts(dialogues, rest, data, index, embedder)
    names = [part.name for part in parts]
    equal = equal_weights(names).history
    everywhere = HybridWeights(history=equal, both=equal, words=equal, nobody=equal)
    retriever = HybridRetriever(catalogue, parts, everywhere)
    found: dict[str, list[HybridExample]] = {"both": [], "words": []}
    for turn in hidden:
        fresh = [one for one in turn.wanted if one not in turn.mentioned]
        kind = "both" if turn.mentioned else "words"
        found[kind] += hybrid_examples(retriever, [request_of(turn, data)] * len(fresh), fresh, names)
    return names, found


def ranks_of(
    retriever: Retriever, asked: Sequence[DialogueTurn], films: Dataset, **parts: bool
) -> NDArray[np.int64]:
    """Rank of every recommended film, 0 beyond 50; turn by turn."""
    ranks = []
    for first in range(0, len(asked), 128):
        batch = asked[first : first + 128]
        found = retriever.retrieve([request_of(turn, films, **parts) for turn in batch], DEPTH)
        for turn, candidates in zip(batch, found, strict=True):
            order = [one.item.id for one in candidates]
            ranks += [order.index(item) + 1 if item in order else 0 for item in turn.wanted]
    return np.array(ranks, np.int64)


def measure(dialogues: DialogueSet, embedder: Embedder, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Recall at 1, 10 and 50 of each system, and the ranks with the dialogue of each for intervals."""
    films = Dataset.from_tables(dialogues.items)
    index = ItemIndex.build(films.item_ids, [item_text(one) for one in films.iter_items()], embedder)
    ranks: dict[str, list[NDArray[np.int64]]] = {}
    owner: list[str] = []
    for learn, asked in folds_of(dialogues, seed):
        data, hybrid = fitted(dialogues, learn, index, embedder, seed)
        text, popular = TextRetriever(data, index, embedder), PopularityRetriever(Catalogue(data))
        systems: dict[str, tuple[Retriever, dict[str, bool]]] = {
            "hybrid": (hybrid, {}),
            "hybrid without words": (hybrid, {"words": False}),
            "text alone": (text, {}),
            "text of the words alone": (text, {"mentions": False}),
            "popularity": (popular, {"words": False}),
        }
        for name, (retriever, parts) in systems.items():
            ranks.setdefault(name, []).append(ranks_of(retriever, asked, data, **parts))
        owner += [turn.dialogue for turn in asked for _ in turn.wanted]
    return {
        name: {"ranks": np.concatenate(found), "dialogue": np.array(owner)} for name, found in ranks.items()
    }
