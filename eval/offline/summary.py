"""The figures of a report, from its records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.eval.faithfulness import Deletion, summary
from tastemaker.eval.lists import ListStatistics
from tastemaker.eval.metrics import per_user
from tastemaker.eval.names import names_of
from tastemaker.eval.offline.record import Record
from tastemaker.eval.significance import bootstrap_intervals
from tastemaker.eval.text_metrics import (
    distinct,
    mean_words,
    readability,
    skeleton,
    skeleton_repeat_rate,
    unique_sentence_ratio,
)
from tastemaker.types import Item, Request, UserHistory

CUTOFFS = (5, 10)


def summarise(records: Sequence[Record], dataset: Dataset, *, seed: int) -> dict[str, Any]:
    """Everything that ``summary.json`` says but times and provenance.

    Shares are of 1. ``explained_share``: of the items, those whose text claims something; of the texts:
    ``fallback_share`` (the language model was asked and nothing of its text could be kept), ``llm_share``,
    ``evidence_share`` (a piece of the request is cited). ``statement_precision``: statements of the texts as
    handed out that the verifier supports; ``statement_precision_second_checker``: those in which the second
    checker finds no false claim, of which it could read ``second_checker_read_share``. ``draft_precision``:
    statements of the language model that were kept, of all that it wrote. ``skeletons``: how many different
    texts are left when titles, genres, years and numbers are masked; ``skeleton_repeat_rate``: share of the
    texts that another user reads as well but for those.
    """
    good = [record for record in records if record["status"] == "ok"]
    items = [item for record in good for item in record["items"]]
    told = [item for item in items if item["explanation"] and item["explanation"]["text"]]
    return {
        "requests": len(records),
        "failed": len(records) - len(good),
        "degraded": sum(record["trace"]["degraded"] is not None for record in good),
        "items": len(items),
        "explained_share": _share(sum(map(_says_something, told)), len(items)),
        **_writing(told),
        **_truth(told),
        **_faithfulness(good),
        **_texts(good, dataset),
        "ranking": _ranking(good, seed),
        "lists": _lists(good, dataset),
        "position": _position(good),
    }


def _says_something(item: Record) -> bool:
    return any(one["claims"] for one in item["statements"])


def _writing(told: Sequence[Record]) -> dict[str, Any]:
    by_llm = sum(item["explanation"]["writer"] == "llm" for item in told)
    cited = sum(any(piece["kind"] != "fact" for piece in item["explanation"]["evidence"]) for item in told)
    return {
        "fallback_share": _share(sum(item["fallback"] for item in told), len(told)),
        "llm_share": _share(by_llm, len(told)),
        "evidence_share": _share(cited, len(told)),
    }


def _truth(told: Sequence[Record]) -> dict[str, Any]:
    first = [one for item in told for one in item["statements"]]
    second = [one for item in told for one in item["second"]]
    kept = sum(len(item["statements"]) for item in told if item["explanation"]["writer"] == "llm")
    cut = sum(item["cut"] for item in told)
    return {
        "statements": len(first),
        "statement_precision": _share(sum(one["supported"] for one in first), len(first)),
        "statement_precision_second_checker": _share(sum(not one["false"] for one in second), len(second)),
        "second_checker_read_share": _share(sum(one["read"] for one in second), len(second)),
        "draft_precision": _share(kept, kept + cut),
    }


def _faithfulness(good: Sequence[Record]) -> dict[str, Any]:
    probed = [record for record in good if "deletions" in record]
    found = [Deletion(**deletion) for record in probed for deletion in record["deletions"]]
    shaken = [record["stability"] for record in probed if record["stability"] is not None]
    return {
        "probed_requests": len(probed),
        **summary(found),
        "stability_listed": _mean([one["listed"] for one in shaken]),
        "stability_cited": _mean([one["cited"] for one in shaken if one["cited"] is not None]),
    }


def _texts(good: Sequence[Record], dataset: Dataset) -> dict[str, Any]:
    told = list(texts_of(good))
    if not told:
        return {}
    texts = [item["explanation"]["text"] for _, item in told]
    names = [_names(record, item, dataset) for record, item in told]
    users = [record["user_id"] or record["request_id"] for record, _ in told]
    read = readability(texts)
    return {
        "unique_sentence_ratio": round(unique_sentence_ratio(texts), 4),
        "skeletons": len(set(map(skeleton, texts, names))),
        "skeleton_repeat_rate": round(skeleton_repeat_rate(texts, names, users), 4),
        "distinct_1": round(distinct(texts, 1), 4),
        "distinct_2": round(distinct(texts, 2), 4),
        "mean_words": round(mean_words(texts), 2),
        "reading_ease": None if read is None else round(read.reading_ease, 1),
        "reading_grade": None if read is None else round(read.grade, 1),
    }


def texts_of(good: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """Record and item of every explanation that has a text."""
    for record in good:
        for item in record["items"]:
            if item["explanation"] and item["explanation"]["text"]:
                yield record, item


def _names(record: Record, item: Record, dataset: Dataset) -> frozenset[str]:
    """What is a name in the text of ``item``: titles, years and numbers, genre words, the quoted wish."""
    past = [piece for piece in item["explanation"]["evidence"] if piece["kind"] == "history"]
    items = [
        dataset.item(piece["ref"])
        if dataset.has_item(piece["ref"])
        else Item(id=piece["ref"], title=piece["text"])
        for piece in past
    ]
    names = names_of([dataset.item(item["id"]), *items], record["language"])
    return names | {record["wish"]} if record["wish"] else names


def _ranking(good: Sequence[Record], seed: int) -> dict[str, Any] | None:
    """Metrics of the served order and of the retriever's, where it is known what came next."""
    targets = [record["target"] for record in good if record["target"] is not None]
    if not targets:
        return None
    out: dict[str, Any] = {"targets": len(targets)}
    for system, field in (("served", "rank"), ("retriever", "retrieval_rank")):
        values = per_user([target[field] for target in targets], CUTOFFS)
        out[system] = {
            "metrics": {name: round(float(column.mean()), 4) for name, column in values.items()},
            "ci95": {
                name: [round(low, 4), round(high, 4)]
                for name, (low, high) in bootstrap_intervals(values, seed=seed).items()
            },
        }
    return out


def _lists(good: Sequence[Record], dataset: Dataset) -> dict[str, float | None]:
    statistics = ListStatistics(dataset)
    for record in good:
        statistics.add(Request(history=UserHistory()), [item["id"] for item in record["items"]])
    histories = [record["history"]["popularity"] for record in good]
    told = [one for one in histories if one is not None]
    return {**statistics.summary(), "popularity_history": _mean(told)}


def _position(good: Sequence[Record]) -> dict[str, float | None]:
    """How far the served list follows the retriever's order."""
    lists = [record["items"] for record in good if record["items"]]
    return {
        "retrievers_first_kept": _mean([items[0]["retrieval_rank"] == 1 for items in lists]),
        "mean_retrieval_rank": _mean([item["retrieval_rank"] for items in lists for item in items]),
    }


def timings(spent: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean milliseconds per request of each stage, over those that were answered."""
    answered = [one for one in spent if one]
    names = answered[0] if answered else {}
    return {name: round(float(np.mean([one[name] for one in answered])), 1) for name in names}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: Sequence[float | bool]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
