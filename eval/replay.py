"""Did feedback help? Later events asked of the recommender before and after it learned from earlier ones.

A fixed policy answers: nothing is learned or explored while the later events are replayed, so both models
meet the same questions. Each later event is sought in the whole catalogue, with everything before it as
the user's history; it counts only if its item is new to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastemaker.agent.feedback import with_events, without_events
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.store import StoredEvent
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.metrics import Ranks, ndcg_at_k, recall_at_k
from tastemaker.eval.significance import bootstrap_interval, paired_randomisation_p
from tastemaker.prompts.domains import Domain
from tastemaker.types import HistoryEntry, Request, UserHistory

MIN_EVENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A later event: who asks with what history, and the item that was taken."""

    request: Request
    item: str
    user: str


def replay(
    dataset: Dataset,
    events: Sequence[StoredEvent],
    domain: Domain,
    pipeline_of: Callable[[Dataset], Pipeline],
    *,
    later: float = 0.3,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare a pipeline over the data with one over the data and the earlier events, on the later ones.

    Args:
        later: share of the events, by time, that are replayed.

    Raises:
        DataError: fewer than 20 events of users can be replayed.
    """
    # Events that have entered the data already are learned from here as if they had not.
    dataset = without_events(dataset, events)
    usable = (one for one in events if one.user_id is not None and dataset.has_item(one.item_id))
    told = sorted(usable, key=lambda one: one.time)
    cut = round(len(told) * (1 - later))
    grown = with_events(dataset, told[:cut])
    questions = list(_questions(with_events(dataset, told), told[cut:], domain))
    if len(questions) < MIN_EVENTS:
        raise DataError(
            f"{len(questions)} later events can be replayed; at least {MIN_EVENTS} are wanted",
            hint="collect more feedback, or replay a larger share",
        )
    before, after = (_ranks(pipeline_of(data), questions) for data in (dataset, grown))
    users, place = np.unique([one.user for one in questions], return_inverse=True)
    found: dict[str, Any] = {"learned_from": cut, "replayed": len(questions), "users": len(users)}
    for name, metric in (("recall@10", recall_at_k), ("ndcg@10", ndcg_at_k)):
        # Means of users: one with many events is one person still.
        size = np.bincount(place)
        old, new = (np.bincount(place, metric(ranks, 10)) / size for ranks in (before, after))
        low, high = bootstrap_interval(new - old, seed=seed)
        found[name] = {
            "before": round(float(old.mean()), 4),
            "after": round(float(new.mean()), 4),
            "difference_ci95": [round(low, 4), round(high, 4)],
            "p_value": round(paired_randomisation_p(new, old, seed=seed), 4),
        }
    return found


def _questions(whole: Dataset, later: Sequence[StoredEvent], domain: Domain) -> Iterator[Question]:
    for one in later:
        if one.user_id is None or (domain.said(one.event) or 0.0) <= 0:
            continue
        history = whole.history(one.user_id)
        known = tuple(entry for entry in history if _came_before(entry, one.time))
        if one.item_id in {entry.item_id for entry in known}:
            continue
        request = Request(
            history=UserHistory(user_id=one.user_id, entries=known, value_range=history.value_range), k=50
        )
        yield Question(request=request, item=one.item_id, user=one.user_id)


def _came_before(entry: HistoryEntry, moment: float) -> bool:
    return entry.timestamp is None or entry.timestamp < moment


def _ranks(pipeline: Pipeline, questions: Sequence[Question]) -> Ranks:
    """Rank of each question's item, 0 where it is no candidate."""
    ranks = np.zeros(len(questions), np.int64)
    for first in range(0, len(questions), 64):
        batch = questions[first : first + 64]
        for row, ranking in enumerate(pipeline.rank_batch([one.request for one in batch])):
            for ranked in ranking.items:
                if ranked.item.id == batch[row].item:
                    ranks[first + row] = ranked.rank
    return ranks
