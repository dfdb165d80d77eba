"""Recommendation turns of recorded conversations: is the film that was recommended near the top?

What precedes a turn (``dialogue_sets``) is the request: its films are the history, its words the wish. Two
ways to answer it are measured. The product's retriever counts what was mentioned together in MovieLens and
in dialogues that are not asked. ``dialogue_model`` learns from such dialogues what a recommender says next.
It is asked twice: without the films that were mentioned before, as the product would, and with them, as
published systems are, which gain from films that come up again (He et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.eval import dialogue_model
from tastemaker.eval.dialogue_features import TurnFeatures
from tastemaker.eval.dialogue_sets import SAID_CHARS, DialogueSet, DialogueTurn, folds_of
from tastemaker.eval.talk_parts import AlikeTalks, AlikeWords
from tastemaker.finetune.fit_hybrid import HybridExample, equal_weights, fit_weights, hybrid_examples
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, behaviour_parts, text_parts
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.text import item_text
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.protocols import Embedder, FloatArray, Retriever
from tastemaker.types import HistoryEntry, Request, UserHistory

DEPTH = 50
LEARNED = "learned from dialogues"


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


def learned_ranks(
    features: TurnFeatures, learn: Sequence[DialogueTurn], asked: Sequence[DialogueTurn], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranks by ``dialogue_model``: films mentioned before left out (a repeated one has 0), and with them."""
    row_of = {id(turn): row for row, turn in enumerate(features.turns)}
    model = dialogue_model.learn(features, np.array([row_of[id(turn)] for turn in learn]), seed)
    fresh, all_films = [], []
    for rows in dialogue_model.batches(np.array([row_of[id(turn)] for turn in asked])):
        for row, scores in zip(rows.tolist(), model.scores(features, rows), strict=True):
            turn = features.turns[row]
            wanted = [features.films.position[item] for item in turn.wanted]
            all_films += [_rank(scores, item) for item in wanted]
            scores[features.mentioned[[row]].indices] = -np.inf
            fresh += [_rank(scores, item) for item in wanted]
    return np.array(fresh, np.int64), np.array(all_films, np.int64)


def _rank(scores: FloatArray, item: int) -> int:
    """From 1; 0 beyond ``DEPTH`` and for what is left out. Equals are as many places before as behind."""
    if scores[item] == -np.inf:
        return 0
    rank = 1 + int((scores > scores[item]).sum()) + int((scores == scores[item]).sum() - 1) // 2
    return rank if rank <= DEPTH else 0


class RememberingEmbedder:
    """Encodes a text once: folds ask for the same ones again and again."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.fingerprint, self.dimension = embedder.name, embedder.fingerprint, embedder.dimension
        self._known: dict[str, FloatArray] = {}

    def encode(self, texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= dict(zip(new, self._embedder.encode(new), strict=True))
        rows = [self._known[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)


def measure(dialogues: DialogueSet, embedder: Embedder, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Each system's ranks; with them the dialogue of each, and whether the film was mentioned before."""
    embedder = RememberingEmbedder(embedder)
    films = Dataset.from_tables(dialogues.items)
    index = ItemIndex.build(films.item_ids, [item_text(one) for one in films.iter_items()], embedder)
    features = TurnFeatures(dialogues, (*dialogues.others, *dialogues.asked), index, embedder)
    ranks: dict[str, list[NDArray[np.int64]]] = {}
    owner: list[str] = []
    repeated: list[bool] = []
    for learn, asked in folds_of(dialogues, seed):
        fresh, all_films = learned_ranks(features, learn, asked, seed)
        ranks.setdefault(LEARNED, []).append(fresh)
        ranks.setdefault(f"{LEARNED}, repeats allowed", []).append(all_films)
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
        repeated += [item in turn.mentioned for turn in asked for item in turn.wanted]
    shared = {"dialogue": np.array(owner), "repeated": np.array(repeated)}
    return {name: {"ranks": np.concatenate(found), **shared} for name, found in ranks.items()}
