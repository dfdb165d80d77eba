"""A sheet for people who read explanations: texts of a report beside what the data say, with room for marks.

python benchmarks/readers_sheet.py --report runs/report-500 --workspace runs/demo --out sheet.csv

One explanation each of so many requests, both drawn with a seed. What stands beside a text is looked up in
the data for every film of the user that the text names, and does not come from the report. Readers fill the
columns "true" and "helpful" with yes or no, and "remark".
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.verify_titles import spoken
from tastemaker.data.dataset import Dataset
from tastemaker.types import Item
from tastemaker.workspace import Workspace

COLUMNS = ("number", "user", "recommended", "about it", "now", "named in the text", "explanation")
MARKS = ("true", "helpful", "remark")


def rows(records: list[dict[str, Any]], dataset: Dataset, number: int, seed: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    told = [record for record in records if record["status"] == "ok" and record["items"]]
    chosen = draw.choice(len(told), size=min(number, len(told)), replace=False)
    out = []
    for count, place in enumerate(chosen.tolist(), start=1):
        record = told[place]
        entry = record["items"][int(draw.integers(len(record["items"])))]
        item, text = dataset.item(entry["id"]), entry["explanation"]["text"]
        values = (
            count,
            record["user_id"],
            item.display_title,
            f"{', '.join(item.genres)}; {item.year}",
            "; ".join(record["situation"]),
            " | ".join(named(text, record["user_id"], dataset)),
            text,
        )
        out.append({**dict(zip(COLUMNS, values, strict=True)), **dict.fromkeys(MARKS, "")})
    return out


def named(text: str, user_id: str, dataset: Dataset) -> list[str]:
    """Every film of the user's history whose title stands in the text, with the user's rating."""
    return [
        f"{entry.title}: rated {entry.value:g} of 5"
        for entry in dataset.history(user_id)
        if entry.item_id is not None and told(dataset.item(entry.item_id), text)
    ]


def told(item: Item, text: str) -> bool:
    return spoken(item.title).casefold() in text.casefold()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    lines = (asked.report / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    dataset = Dataset.load(Workspace(asked.workspace).require_data())
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.DictWriter(file, (*COLUMNS, *MARKS))
        sheet.writeheader()
        sheet.writerows(rows([json.loads(line) for line in lines], dataset, asked.number, asked.seed))


if __name__ == "__main__":
    main()
