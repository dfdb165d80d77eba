"""Labelled wishes: how many fields are understood, that exclusions hold in lists, and that nothing is lost.

The labels were written by people who had not seen the recogniser. ``part`` says how a wish was used: see
docs/lab.md for the figures at first contact.
"""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.agent.requests import build_request
from tastemaker.index.catalogue import Catalogue
from tastemaker.testing.wishes import wish_catalogue

HERE = Path(__file__).parent
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (HERE / "data" / "wishes.jsonl").read_text(encoding="utf-8").splitlines()
]
DOMAINS = {row["domain"] for row in ROWS}
CATALOGUES = {name: wish_catalogue(name) for name in DOMAINS}
RECOGNISERS = {name: Recogniser(name, CATALOGUES[name]) for name in DOMAINS}


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "wishes_benchmark", HERE.parent / "benchmarks" / "wishes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = _benchmark()


def test_the_set_is_large_and_varied() -> None:
    kinds = defaultdict(int)
    for row in ROWS:
        kinds[row["id"][:2], row["kind"]] += 1
    assert len(ROWS) == len({row["id"] for row in ROWS}) == len({row["wish"] for row in ROWS}) >= 200
    wanted = ("negation", "range", "relative-date", "contradiction", "slang", "typos", "nothing", "mixed")
    assert all(kinds[language, kind] >= 3 for language in ("en", "zh") for kind in wanted)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nine_fields_of_ten_are_understood(language: str) -> None:
    counts = []
    for row in ROWS:
        if row["id"].startswith(language):
            read = RECOGNISERS[row["domain"]].read(row["wish"], now=BENCHMARK.NOW)
            found, wanted = BENCHMARK.found(read), BENCHMARK.labelled(row)
            counts.append((len(found & wanted), len(found), len(wanted)))
    assert BENCHMARK.scores(counts)["f1"] >= 0.90


@pytest.mark.parametrize("row", [row for row in ROWS if row["exclude"]], ids=lambda row: row["id"])
def test_what_is_ruled_out_is_in_no_list(row: dict[str, Any]) -> None:
    """Of what was understood; a misspelt exclusion that was not is counted in F1."""
    data = CATALOGUES[row["domain"]]
    request = build_request(
        data, wish=row["wish"], recogniser=RECOGNISERS[row["domain"]], domain=row["domain"]
    )
    understood = set(request.understanding.exclude) if request.understanding is not None else set()
    allowed = Catalogue(data).allowed(request)
    for item, kept in zip(data.iter_items(), allowed.tolist(), strict=True):
        if kept:
            texts = " ".join([item.title, item.description, *map(str, item.attributes.values())]).casefold()
            for thing in understood & set(row["exclude"]):
                values = {str(value).casefold() for values in item.attributes.values() for value in
                          (values if isinstance(values, tuple) else (values,))}  # fmt: skip
                assert thing not in values
                if RECOGNISERS[row["domain"]].fields.value(thing) is None:
                    assert f" {thing}" not in f" {texts}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_what_is_not_understood_stays_in_the_wish(row: dict[str, Any]) -> None:
    read = RECOGNISERS[row["domain"]].read(row["wish"], now=BENCHMARK.NOW)
    lost = [word for word in row["wish_keeps"] if word.casefold() not in read.wish.casefold()]
    assert not lost
