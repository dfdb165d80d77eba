"""A trial: does the small language model read situations that the rules miss?

python benchmarks/wish_llm.py [--llm qwen2.5-coder-0.5b-instruct] [--out docs/results/wish-llm.json]

For every field of the situation that the rules leave open, the model scores each value of the domain's
vocabulary and "not said" (constrained decoding: nothing else can come out), less what it gives them for a
wish that says nothing. A value is taken where it is ahead of "not said" by a margin. The margin is chosen on
the wishes' parts a, and measured on parts b.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.llm_load import load_language_model
from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.artifacts import write_json
from tastemaker.config import Settings
from tastemaker.eval.provenance import provenance
from tastemaker.prompts.domains import load_domain
from tastemaker.protocols import LanguageModel
from tastemaker.testing.wishes import wish_catalogue
from tastemaker.types import Prompt

NOT_SAID = "not said"
NOTHING = "something good"
SYSTEM = "You read what somebody wants and answer with one word from the list, or with: not said."


def prompts_for(wish: str, field: str, values: Sequence[str]) -> Prompt:
    asked = f'Wish: "{wish}"\nWhich {field} does it state? Choose from: {", ".join(values)}, {NOT_SAID}.'
    return Prompt(system=SYSTEM, user=asked, choices=(*values, NOT_SAID))


def margins(
    model: LanguageModel, wish: str, fields: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, float]]:
    """For each field the likeliest value, and how far it is ahead of "not said" beside an empty wish."""
    names = list(fields)
    said = model.score([prompts_for(wish, name, fields[name]) for name in names])
    empty = model.score([prompts_for(NOTHING, name, fields[name]) for name in names])
    found = {}
    for name, told, base in zip(names, said, empty, strict=True):
        gain = (told - told[-1]) - (base - base[-1])
        best = int(np.argmax(gain[:-1]))
        found[name] = (fields[name][best], float(gain[best]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--llm", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--file", type=Path, default=Path("tests/data/wishes.jsonl"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = [json.loads(line) for line in asked.file.read_text(encoding="utf-8").splitlines()]
    model = load_language_model(Settings(llm=asked.llm))
    readers = {name: Recogniser(name, wish_catalogue(name)) for name in {row["domain"] for row in rows}}
    told = []
    for row in rows:
        read = readers[row["domain"]].read(row["wish"])
        vocabulary = load_domain(row["domain"]).context
        left = {name: tuple(values) for name, values in vocabulary.items() if name not in read.context}
        found = margins(model, row["wish"], left)
        told.append((row, dict(read.context), found))
    parts = sorted({row["part"][-1] for row in rows})
    grid = [0.5 * step for step in range(41)]
    tables = {
        part: {
            margin: counted([one for one in told if one[0]["part"].endswith(part)], margin) for margin in grid
        }
        for part in parts
    }
    chosen = max(grid, key=lambda margin: f1(tables["a"][margin]))
    rules = {part: f1(tables[part][grid[-1]]) for part in parts}
    result: dict[str, Any] = {
        **provenance(0),
        "llm": asked.llm,
        "margin": chosen,
        "f1_of_situations": {
            part: {"rules": rules[part], "with_llm": f1(tables[part][chosen])} for part in parts
        },
        "added_at_margin": {part: tables[part][chosen] for part in parts},
        "f1_by_margin_on_a": {str(margin): f1(tables["a"][margin]) for margin in grid},
    }
    print(
        json.dumps(
            {name: result[name] for name in ("margin", "f1_of_situations", "added_at_margin")}, indent=1
        )
    )
    if asked.out is not None:
        write_json(asked.out, result)


def counted(
    told: Sequence[tuple[dict[str, Any], dict[str, str], dict[str, tuple[str, float]]]], margin: float
) -> list[int]:
    """Right, found and wanted entries of situations, the model's values beyond ``margin`` among them."""
    right = said = wanted = 0
    for row, context, found in told:
        whole = {**{name: value for name, (value, ahead) in found.items() if ahead > margin}, **context}
        right += len(whole.items() & row["context"].items())
        said += len(whole)
        wanted += len(row["context"])
    return [right, said, wanted]


def f1(counts: Sequence[int]) -> float:
    right, said, wanted = counts
    return round(2 * right / max(said + wanted, 1), 4)


if __name__ == "__main__":
    main()
