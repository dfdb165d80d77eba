"""How well free wishes are understood: field-level precision, recall and F1 on labelled wishes.

python benchmarks/wishes.py [--file tests/data/wishes.jsonl] [--out docs/results/wishes.json] [--errors]

A field is one entry of the situation ("company=kids"), one condition ("runtime<120") or one exclusion
("horror"); it counts when it is exactly the labelled one. Kept: wishes whose words that must remain all do.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.artifacts import write_json
from tastemaker.eval.provenance import provenance
from tastemaker.index.filters import parse_filter
from tastemaker.testing.wishes import wish_catalogue
from tastemaker.types import Filter
from tastemaker.understanding import Understanding

NOW = datetime(2026, 11, 25, 18, 30)
"""A Wednesday: the moment of asking that the labels assume."""


def fields_of(context: dict[str, str], filters: list[Filter], exclude: list[str]) -> Iterator[str]:
    for name, value in context.items():
        yield f"context {name}={value}"
    for one in filters:
        yield f"filter {one}"
    for thing in exclude:
        yield f"exclude {thing.casefold()}"


def labelled(row: dict[str, Any]) -> set[str]:
    filters = [parse_filter(text) for text in row["filters"]]
    return set(fields_of(row["context"], filters, row["exclude"]))


def found(read: Understanding) -> set[str]:
    return set(fields_of(dict(read.context), list(read.filters), list(read.exclude)))


def scores(counts: list[tuple[int, int, int]]) -> dict[str, float]:
    """Precision, recall and F1 of (right, found, wanted) summed over wishes."""
    right, told, wanted = np.array(counts).sum(axis=0).tolist()
    precision, recall = right / max(told, 1), right / max(wanted, 1)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * right / max(told + wanted, 1), 4),
    }


def interval(counts: list[tuple[int, int, int]], seed: int = 0) -> list[float]:
    """95 % bootstrap interval of F1 over wishes."""
    table, draw = np.array(counts), np.random.default_rng(seed)
    sums = table[draw.integers(len(table), size=(2_000, len(table)))].sum(axis=1)
    return np.quantile(2 * sums[:, 0] / (sums[:, 1] + sums[:, 2]), [0.025, 0.975]).round(4).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path("tests/data/wishes.jsonl"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--errors", action="store_true", help="print every wish that is read otherwise")
    asked = parser.parse_args()
    rows = [json.loads(line) for line in asked.file.read_text(encoding="utf-8").splitlines()]
    recognisers = {name: Recogniser(name, wish_catalogue(name)) for name in {row["domain"] for row in rows}}
    groups: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    kept = []
    for row in rows:
        read = recognisers[row["domain"]].read(row["wish"], now=NOW)
        told, wanted = found(read), labelled(row)
        counts = len(told & wanted), len(told), len(wanted)
        for group in ("all", f"part {row.get('part', 'all')}", row["id"][:2], f"kind {row['kind']}"):
            groups[group].append(counts)
        lost = [word for word in row["wish_keeps"] if word.casefold() not in read.wish.casefold()]
        kept.append(not lost)
        if asked.errors and (told != wanted or lost):
            print(f"{row['id']} [{row['domain']}] {row['wish']}")
            print(f"   missing {sorted(wanted - told)}, wrong {sorted(told - wanted)}, lost {lost}")
            print(f"   rest {read.wish!r}")
    result = {
        **provenance(0),
        "wishes": len(rows),
        "kept": round(float(np.mean(kept)), 4),
        "f1_ci95": interval(groups["all"]),
        "scores": {
            name: {"wishes": len(counts), **scores(counts)} for name, counts in sorted(groups.items())
        },
    }
    if asked.out is not None:
        write_json(asked.out, result)
    print(json.dumps({name: result[name] for name in ("wishes", "kept", "f1_ci95", "scores")}, indent=1))


if __name__ == "__main__":
    main()
