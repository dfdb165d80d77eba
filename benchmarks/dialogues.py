"""Recorded conversations: recall of the film that was recommended, among all films.

python benchmarks/dialogues.py [--set redial] [--set opendialkg] [--out docs/results/dialogues.json]

Published on ReDial, trained on its 10,000 training dialogues (recall@10): KBRD .169, UniCRS .215, and
ChatGPT .174. They may recommend films that were mentioned before; "repeats allowed" does so too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.artifacts import write_json
from tastemaker.eval.dialogue_sets import SETS, load_dialogues
from tastemaker.eval.dialogues import measure
from tastemaker.eval.metrics import recall_at_k
from tastemaker.eval.provenance import provenance
from tastemaker.index.embeddings import load_embedder


def summary(found: dict[str, Any], seed: int) -> dict[str, Any]:
    """Recall with 95 % bootstrap intervals; whole dialogues are drawn. ``fresh``: of films not mentioned
    before, ``repeated``: of the others.
    """
    _, place = np.unique(found["dialogue"], return_inverse=True)
    size = np.bincount(place)
    draw = np.random.default_rng(seed).integers(len(size), size=(2_000, len(size)))
    told: dict[str, Any] = {}
    for k in (1, 10, 50):
        hits = np.bincount(place, recall_at_k(found["ranks"], k))
        means = hits[draw].sum(1) / size[draw].sum(1)
        told[f"recall@{k}"] = round(float(hits.sum() / size.sum()), 4)
        told[f"recall@{k}_ci95"] = [round(float(one), 4) for one in np.quantile(means, [0.025, 0.975])]
    for name, among in (("fresh", ~found["repeated"]), ("repeated", found["repeated"])):
        hits = recall_at_k(found["ranks"][among], 10)
        told[f"recall@10_{name}"] = round(float(hits.mean()), 4) if len(hits) else None
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--set", dest="sets", action="append", choices=SETS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    embedder = load_embedder("all-minilm-l6-v2")
    results: dict[str, Any] = {}
    for name in asked.sets or SETS:
        dialogues = load_dialogues(name)
        found = measure(dialogues, embedder, seed=asked.seed)
        systems = {system: summary(one, asked.seed) for system, one in found.items()}
        results[name] = {"turns": len(dialogues.asked), "films": dialogues.items.num_rows, "systems": systems}
        for system, one in systems.items():
            print(f"{name:<11} {system:<40}", {key: value for key, value in one.items() if "ci95" not in key})
    if asked.out is not None:
        write_json(asked.out, {**provenance(asked.seed), "sets": results})


if __name__ == "__main__":
    main()
