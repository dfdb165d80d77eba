"""Intents of the IARD dialogues, as the chat recognises them.

python benchmarks/intents.py [--out docs/results/intents.json]

336 dialogues of people who look for films (Cai and Chen, UMAP 2020), whose turns carry one or more of 16
intents. ``MAPPING`` says which kind of the chat each is; intents that are one to a recommender are one here.
A turn is read clause by clause, as the chat reads it, without any list before it.

Two readers: the shipped one, which has seen none of these dialogues, and one that has learned from those of
four folds beside the shipped examples, measured on the fifth. Accuracy: the share of turns whose likeliest
kind is among those that were labelled. F1 is over turns, for each kind and their mean.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.chat.kinds import KindReader, best, load_kinds
from tastemaker.agent.chat.lexicon import load_chat_words
from tastemaker.artifacts import write_json
from tastemaker.eval.benchmarks import find_files
from tastemaker.eval.provenance import provenance

MAPPING = {
    "IQU": "ask",  # initial query
    "PRO": "ask",  # provides a preference
    "ANS": "ask",  # answers the recommender's question
    "REF": "ask",  # reformulates
    "ASK": "ask",  # asks for something of the recommender
    "CRI-A": "ask",  # criticises by adding a wish
    "CRI-F": "critique",  # criticises a feature
    "CRI-C": "critique",  # criticises by comparing
    "CON": "more",  # continues
    "STO": "reset",  # starts over
    "SEE": "seen",
    "ACC": "like",  # accepts
    "REJ": "dislike",  # rejects
    "INQ": "why",  # inquires about an item
    "NRE": "small_talk",  # a neutral response
    "OTH": "small_talk",
}
FOUND = {
    "reject": "dislike",
    "why_not": "why",
    "compare": "why",
    "more_like": "ask",
    "lift": "ask",
    "undo": "reset",
}
FOUND["off_topic"] = "small_talk"
KINDS = tuple(dict.fromkeys(MAPPING.values()))
FOLDS = 5

Turn = tuple[str, frozenset[str], str]
"""Text, labelled kinds and dialogue."""


def load_turns() -> list[Turn]:
    """The seekers' turns; a film is named as "@id <Title (year)>" there, and by its title here."""
    [path] = find_files(
        "conv-iard", ["umap2020_IARD_Cai.json.gz"], origin="https://wanlingcai.github.io/data/umap2020_IARD"
    )
    found = []
    for name, dialogue in json.loads(gzip.decompress(path.read_bytes())).items():
        for turn in dialogue["dialogue_info"].values():
            if turn["role"] == "seeker":
                text = re.sub(
                    r"@\d+\s*<([^>]*?)\s*(?:\(\d{4}\))?\s*>", r"\1", html.unescape(turn["utterance_text"])
                )
                kinds = frozenset(MAPPING[one] for one in turn["sub-intent/action"])
                found.append((text, kinds, name))
    return found


def clauses(text: str) -> list[str]:
    parts = load_chat_words("en").clauses.split(text.lower().replace("...", ". "))
    return [part for part in parts if part.strip()] or [text]


def read(reader: KindReader, text: str) -> tuple[str, frozenset[str]]:
    """The kind of the whole turn, and those of its clauses."""
    kinds = [best(scores := reader.scores(one), scores) for one in (text, *clauses(text))]
    told = [FOUND.get(kind, str(kind)) for kind in kinds]
    return told[0], frozenset(told)


def measured(turns: Sequence[Turn], told: Sequence[tuple[str, frozenset[str]]], seed: int) -> dict[str, Any]:
    right = np.array(
        [whole in gold for (_, gold, _), (whole, _) in zip(turns, told, strict=True)], dtype=float
    )
    _, place = np.unique([name for _, _, name in turns], return_inverse=True)
    size, hits = np.bincount(place), np.bincount(place, right)
    draw = np.random.default_rng(seed).integers(len(size), size=(2_000, len(size)))
    means = hits[draw].sum(1) / size[draw].sum(1)
    scores = {}
    for kind in KINDS:
        gold = np.array([kind in labelled for _, labelled, _ in turns])
        said = np.array([kind in found for _, found in told])
        scores[kind] = round(float(2 * (gold & said).sum() / max(gold.sum() + said.sum(), 1)), 4)
    return {
        "accuracy": round(float(right.mean()), 4),
        "accuracy_ci95": [round(float(one), 4) for one in np.quantile(means, [0.025, 0.975])],
        "macro_f1": round(float(np.mean(list(scores.values()))), 4),
        "f1": scores,
    }


def learned(turns: Sequence[Turn], seed: int) -> list[tuple[str, frozenset[str]]]:
    """What readers that learned from the other folds say; a turn of one kind is an example of it."""
    shipped = files("tastemaker.prompts") / "packs" / "turns.en.jsonl"
    rows = [json.loads(line) for line in shipped.read_text(encoding="utf-8").splitlines()]
    names = sorted({name for _, _, name in turns})
    fold = dict(
        zip(names, np.random.default_rng(seed).integers(FOLDS, size=len(names)).tolist(), strict=True)
    )
    told: dict[int, tuple[str, frozenset[str]]] = {}
    for held in range(FOLDS):
        examples = [(text, kinds) for text, kinds, name in turns if fold[name] != held and len(kinds) == 1]
        texts = [row["text"] for row in rows] + [text for text, _ in examples]
        kinds = [row["kind"] for row in rows] + [next(iter(kinds)) for _, kinds in examples]
        reader = KindReader(texts, kinds, "en")
        told |= {at: read(reader, text) for at, (text, _, name) in enumerate(turns) if fold[name] == held}
    return [told[at] for at in range(len(turns))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    turns = load_turns()
    shipped = load_kinds("en")
    found = {
        "shipped": measured(turns, [read(shipped, text) for text, _, _ in turns], asked.seed),
        "learned": measured(turns, learned(turns, asked.seed), asked.seed),
    }
    commonest = max(KINDS, key=lambda kind: sum(kind in kinds for _, kinds, _ in turns))
    always = [(commonest, frozenset([commonest]))] * len(turns)
    found[f"always {commonest}"] = measured(turns, always, asked.seed)
    for name, one in found.items():
        print(f"{name:<12}", one)
    if asked.out is not None:
        write_json(
            asked.out, {**provenance(asked.seed), "turns": len(turns), "mapping": MAPPING, "readers": found}
        )


if __name__ == "__main__":
    main()
