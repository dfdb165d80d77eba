"""One person in several situations: how far the lists differ, and what explanations say of the situation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain

Record = dict[str, Any]

PERSISTENCE = 0.9
"""Of rank-biased overlap: how likely a reader goes on to the next place; .9 looks at some ten places."""

MOMENTS: tuple[dict[str, str], ...] = (
    {
        "weekday": "monday",
        "part_of_day": "morning",
        "activity": "commuting",
        "device": "phone",
        "company": "alone",
    },
    {"weekday": "wednesday", "part_of_day": "afternoon", "place": "work", "activity": "working"},
    {"weekday": "thursday", "part_of_day": "evening", "company": "alone", "mood": "tired", "place": "home"},
    {"weekday": "friday", "part_of_day": "evening", "company": "partner", "mood": "romantic"},
    {"weekday": "friday", "part_of_day": "night", "company": "friends", "activity": "party"},
    {"weekday": "saturday", "part_of_day": "morning", "company": "kids", "place": "home"},
    {"weekday": "saturday", "part_of_day": "night", "company": "friends", "mood": "energetic"},
    {"weekday": "sunday", "part_of_day": "afternoon", "weather": "rainy", "company": "family"},
    {"weekday": "sunday", "part_of_day": "night", "company": "alone", "mood": "sad"},
    {"day_type": "holiday", "season": "winter", "company": "family", "weather": "snowy"},
)
"""Ten situations from a Monday morning to a winter holiday."""

_ANYWHERE = ("weekday", "part_of_day", "day_type", "season")


def situations(domain: Domain, dataset: Dataset) -> list[dict[str, str]]:
    """``MOMENTS`` as far as the domain or a context column of the data has their fields."""
    known = {*_ANYWHERE, *domain.context, *dataset.context_columns}
    return [{name: value for name, value in moment.items() if name in known} for moment in MOMENTS]


def rank_biased_overlap(one: Sequence[str], two: Sequence[str], p: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap (Webber et al. 2010, equation 32 for equal lengths), 0 to 1.

    Lists are compared as far as the shorter one goes; two empty ones agree.
    """
    depth = min(len(one), len(two))
    if not depth:
        return 1.0 if len(one) == len(two) else 0.0
    left, right, common, total = set[str](), set[str](), 0, 0.0
    for place in range(1, depth + 1):
        left.add(one[place - 1])
        right.add(two[place - 1])
        common = len(left & right)
        total += common / place * p**place
    return common / depth * p**depth + (1 - p) / p * total


def several_moments(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each user who was asked about more than once: the lists side by side and how they overlap.

    ``overlap``: (requests, requests) rank-biased overlaps; ``mean_overlap``: of different requests.
    ``cites_situation``: share of the items whose explanation cites a field of the situation; citing takes a
    measured influence.
    """
    by_user: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["status"] == "ok" and record["user_id"]:
            by_user[record["user_id"]].append(record)
    return [_compared(user, own) for user, own in by_user.items() if len(own) > 1]


def _compared(user: str, records: Sequence[Record]) -> dict[str, Any]:
    lists = [[item["id"] for item in record["items"]] for record in records]
    overlap = [[round(rank_biased_overlap(one, two), 4) for two in lists] for one in lists]
    apart = [overlap[i][j] for i in range(len(lists)) for j in range(i)]
    items = [item for record in records for item in record["items"]]
    cites = [
        any(piece["kind"] == "context" for piece in item["explanation"]["evidence"])
        for item in items
        if item["explanation"]
    ]
    return {
        "user_id": user,
        "situations": [record["situation"] for record in records],
        "titles": [[item["title"] for item in record["items"]] for record in records],
        "overlap": overlap,
        "mean_overlap": round(sum(apart) / len(apart), 4),
        "cites_situation": round(sum(cites) / len(cites), 4) if cites else None,
    }
