"""One report against another over the requests that both answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import DataError
from tastemaker.eval.compare import paired
from tastemaker.eval.metrics import per_user
from tastemaker.eval.offline.record import Record
from tastemaker.types import Request

RECORDS = "requests.jsonl"
SUMMARY = "summary.json"
TESTED = "ndcg@10"


def load_report(folder: Path) -> tuple[list[Record], dict[str, Any]]:
    """Records and summary of a finished report.

    Raises:
        DataError: there is none in the folder, or it is damaged.
    """
    try:
        lines = (folder / RECORDS).read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line]
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no finished report: {Path(error.filename).name} is missing",
            hint="tastemaker report --users 200 --out FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"the report in {folder} cannot be read: {error}") from error
    if not isinstance(summary, dict) or not all(_is_record(record) for record in records):
        raise DataError(f"the report in {folder} is damaged: {RECORDS} or {SUMMARY} is not what was written")
    return records, summary


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and (
        record.get("status") == "failed"
        or record.keys()
        >= {"request_id", "user_id", "status", "wish", "context", "history", "items", "target"}
    )


def require_common(asked: Iterable[Request], other: Sequence[Record]) -> None:
    """Raise DataError unless a report of ``asked`` will have a request in common with ``other``."""
    theirs = {_question(record) for record in other if record["status"] == "ok"}
    if not any(_question(question_of(request)) in theirs for request in asked):
        raise DataError(
            "the two reports answer no request in common", hint="make both with the same --users and --seed"
        )


def question_of(request: Request) -> Record:
    """What a record says of the question itself."""
    return {
        "request_id": request.request_id,
        "user_id": request.user_id,
        "wish": request.wish,
        "context": request.context.as_mapping(),
        "history": {"entries": len(request.history)},
    }


def _question(record: Record) -> str:
    asked = [record[name] for name in ("request_id", "user_id", "wish", "context")]
    return json.dumps([*asked, record["history"]["entries"]], sort_keys=True)


def against(
    records: Sequence[Record],
    summary: Mapping[str, Any],
    other: Sequence[Record],
    other_summary: Mapping[str, Any],
    *,
    seed: int,
) -> dict[str, Any]:
    """Figures of both reports side by side, and how far their lists and texts agree.

    ``list_overlap``: mean Jaccard index of the listed items; ``first_kept``: share of requests with the same
    first item; ``cited_overlap``: mean Jaccard index of what is cited for items in both lists;
    ``same_text``: share of those items with the same text; ``test``: of NDCG@10, paired over users, None
    where it is not known what came next.

    Raises:
        DataError: no request was answered in both.
    """
    ours = {_question(record): record for record in records if record["status"] == "ok"}
    pairs = [
        (ours[_question(record)], record)
        for record in other
        if record["status"] == "ok" and _question(record) in ours
    ]
    if not pairs:
        raise DataError(
            "the two reports answered no request in common", hint="make both with the same --users and --seed"
        )
    return {
        "requests": len(pairs),
        "figures": {
            name: [summary[name], other_summary.get(name)]
            for name, value in summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        **_agreement(pairs),
        "test": _test(pairs, seed),
    }


def _agreement(pairs: Sequence[tuple[Record, Record]]) -> dict[str, float | None]:
    lists, firsts, cited, texts = [], [], [], []
    for one, two in pairs:
        left, right = ({item["id"]: item for item in record["items"]} for record in (one, two))
        if left or right:
            lists.append(_jaccard(set(left), set(right)))
            firsts.append(next(iter(left), None) == next(iter(right), None))
        for item_id in left.keys() & right.keys():
            cited.append(_jaccard(_cited(left[item_id]), _cited(right[item_id])))
            texts.append(_text(left[item_id]) == _text(right[item_id]))
    return {
        "list_overlap": _mean(lists),
        "first_kept": _mean(firsts),
        "cited_overlap": _mean([share for share in cited if share is not None]),
        "same_text": _mean(texts),
    }


def _cited(item: Record) -> set[tuple[str, str]]:
    pieces = item["explanation"]["evidence"] if item["explanation"] else ()
    return {(piece["kind"], piece["ref"]) for piece in pieces if piece["kind"] != "fact"}


def _text(item: Record) -> str:
    return str(item["explanation"]["text"]) if item["explanation"] else ""


def _jaccard(one: set[Any], two: set[Any]) -> float | None:
    return len(one & two) / len(one | two) if one | two else None


def _test(pairs: Sequence[tuple[Record, Record]], seed: int) -> dict[str, Any] | None:
    known = [
        (one["target"]["rank"], two["target"]["rank"])
        for one, two in pairs
        if one["target"] and two["target"] and one["target"]["id"] == two["target"]["id"]
    ]
    if not known:
        return None
    ours, theirs = (per_user(ranks, (10,))[TESTED] for ranks in zip(*known, strict=True))
    return {
        "metric": TESTED,
        "users": len(known),
        "values": [round(float(ours.mean()), 4), round(float(theirs.mean()), 4)],
        **paired(ours, theirs, seed=seed),
    }


def _mean(values: Sequence[float | bool | None]) -> float | None:
    told = [value for value in values if value is not None]
    return round(float(np.mean(told)), 4) if told else None
