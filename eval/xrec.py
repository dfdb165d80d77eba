"""The accepted text metrics on XRec's Yelp test rows (Ma et al. 2024), for comparison with published figures.

A figure of comparability, not of truth. Each row has a user profile, an item profile and a reference, which a
language model wrote from the user's real review of that item. What a reference says of the visit is in
neither profile, so a truthful text cannot say it, and the metrics pay for the words of the reference whether
they are known or guessed. Two controls show how much: one sentence for everybody, and the reference of
another row.

The rows have no history and no item attributes. All that our templates can answer is a wish, and a long one
they do not repeat, so little is left of them here. XRec's own evaluation computes USR (as here), BERTScore
and a score by GPT, but neither BLEU nor ROUGE.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.explain_words import TemplateWriter
from tastemaker.artifacts import digest_of
from tastemaker.errors import DataError
from tastemaker.eval.benchmarks import find_files
from tastemaker.eval.significance import bootstrap_interval
from tastemaker.eval.text_metrics import (
    bleu,
    bleu_signature,
    distinct,
    mean_words,
    readability,
    rouge,
    skeleton_repeat_rate,
    unique_sentence_ratio,
)
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Candidate, Evidence, Item, Ranked, Request, UserHistory

NAME = "explain-xrec"
FILE = "yelp.test.jsonl"
ORIGIN = "data/yelp of github.com/HKUDS/XRec (its test rows, one JSON object a line)"
CONSTANT = "The user would enjoy {} for its delicious food, friendly service and cozy atmosphere."
"""Worded after a look at the references, as a control; nothing else is."""

_FIELDS = {
    "title": "title",
    "user_summary": "user profile",
    "item_summary": "item profile",
    "explanation": "reference",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the test set: who, what, a profile of each, and the reference explanation."""

    user: str
    title: str
    user_text: str
    item_text: str
    reference: str


def load_rows(folder: Path | None = None, *, rows: int | None = None, seed: int = 0) -> list[Row]:
    """Read the test rows, from ``folder`` or where ``find_files`` looks; ``rows`` samples so many, in order.

    Raises:
        DataError: the file is not there, is damaged, or a line is no row; line and field are named.
    """
    (path,) = find_files(NAME, (FILE,), origin=ORIGIN, folder=folder)
    found = [_row(line, f"line {number} of {path}") for number, line in enumerate(_lines(path), start=1)]
    if not found:
        raise DataError(f"{path} has no rows", hint=f"use the unchanged file of {ORIGIN}")
    if rows is None or rows >= len(found):
        return found
    chosen = np.random.default_rng(seed).permutation(len(found))[:rows]
    return [found[i] for i in sorted(chosen.tolist())]


def _lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        hint = f"use the unchanged file of {ORIGIN}"
        raise DataError(f"{path} cannot be read: {error}", hint=hint) from error
    # Not splitlines: a text may hold one of the rarer line separators.
    return [line for line in text.split("\n") if line.strip()]


def _row(line: str, place: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is no JSON: {error}", hint=f"one object a line, as in {ORIGIN}") from error
    if not isinstance(value, dict):
        raise DataError(f"{place} is no JSON object", hint=f"wanted are {', '.join(_FIELDS)}")
    for field, what in _FIELDS.items():
        if not isinstance(value.get(field), str) or not value[field].strip():
            raise DataError(
                f"{place} has no text in {field}, the {what}", hint=f"wanted are {', '.join(_FIELDS)}"
            )
    if not isinstance(value.get("uid"), (int, str)):
        raise DataError(f"{place} has no number in uid, the user")
    return Row(
        user=str(value["uid"]),
        title=value["title"],
        user_text=value["user_summary"],
        item_text=value["item_summary"],
        reference=value["explanation"],
    )


class _NoCatalogue:
    """The rows cite no items, so none is asked for."""

    def has_item(self, item_id: str) -> bool:  # noqa: ARG002 (a Catalogue)
        return False

    def item(self, item_id: str) -> Item:
        raise KeyError(item_id)


def template_texts(rows: Sequence[Row]) -> list[str]:
    """The product's own template text for each row, for a user who wishes what the user profile says."""
    writer = TemplateWriter(catalogue=_NoCatalogue())
    return [_template_text(writer, row) for row in rows]


def _template_text(writer: TemplateWriter, row: Row) -> str:
    request = Request(history=UserHistory(user_id=row.user), wish=row.user_text)
    item = Candidate(item=Item(id=row.title, title=row.title, description=row.item_text), score=0.0)
    cited = Evidence(kind="wish", ref="wish", text=row.user_text)
    return next(writer.texts(request, Ranked(rank=1, candidate=item, score=1.0), [cited]))


def systems_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What is compared with the references: name -> a text per row. Only the last is made from references."""
    references = [row.reference for row in rows]
    return {
        "our template": template_texts(rows),
        "item profile": [row.item_text for row in rows],
        "user profile": [row.user_text for row in rows],
        "one sentence for all": [CONSTANT.format("the business")] * len(rows),
        "that with the title": [CONSTANT.format(row.title) for row in rows],
        "next row's reference": references[1:] + references[:1],
    }


REFERENCES = "the references"


def measure_xrec(
    rows: Sequence[Row], *, seed: int = 0, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Compare the texts of ``systems_of`` with the references, and say how varied each and those are.

    Figures are those of ``text_metrics``; ``rouge_l_ci95`` by bootstrap over rows with ``seed``, and
    ``skeleton_repeats`` with the title as the only name. No text of the data is in the result.

    Raises:
        MissingExtraError: sacrebleu or rouge-score is not installed.
    """
    references = [row.reference for row in rows]
    compared = systems_of(rows)
    systems: dict[str, dict[str, Any]] = {}
    for number, (name, texts) in enumerate(compared.items(), start=1):
        systems[name] = {**_overlap(texts, references, seed), **_own(texts, rows)}
        if progress is not None:
            progress("measuring", number, len(compared))
    return {
        "rows": len(rows),
        "users": len({row.user for row in rows}),
        "data": {"name": NAME, "hash": digest_of([asdict(row) for row in rows])},
        "bleu": bleu_signature(),
        "systems": {**systems, REFERENCES: _own(references, rows)},
    }


def _overlap(texts: Sequence[str], references: Sequence[str], seed: int) -> dict[str, Any]:
    scores = rouge(texts, references)
    low, high = bootstrap_interval(scores["rougeL"], seed=seed)
    return {
        "bleu1": round(bleu(texts, references, order=1), 2),
        "bleu4": round(bleu(texts, references), 2),
        "rouge1": round(float(scores["rouge1"].mean()), 4),
        "rouge2": round(float(scores["rouge2"].mean()), 4),
        "rouge_l": round(float(scores["rougeL"].mean()), 4),
        "rouge_l_ci95": [round(low, 4), round(high, 4)],
    }


def _own(texts: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    read = readability(texts)
    repeats = skeleton_repeat_rate(texts, [[row.title] for row in rows], [row.user for row in rows])
    return {
        "usr": round(unique_sentence_ratio(texts), 4),
        "skeleton_repeats": round(repeats, 4),
        "distinct1": round(distinct(texts, 1), 4),
        "distinct2": round(distinct(texts, 2), 4),
        "words": round(mean_words(texts), 1),
        "reading_ease": None if read is None else round(read.reading_ease, 1),
        "grade": None if read is None else round(read.grade, 1),
    }
