"""Ask a system a protocol's questions, keep what became of every one, and sum up.

Lists are judged by their scores: an item with the same score as the target counts as ahead of it, and a
target that is not in the list scores 0. Nothing is ever added to a system's candidates.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from tastemaker.artifacts import digest_of
from tastemaker.errors import DataError
from tastemaker.eval.buckets import buckets_of, ceiling_of
from tastemaker.eval.lists import ListStatistics
from tastemaker.eval.metrics import PerUser, per_user, pessimistic_rank
from tastemaker.eval.outcomes import Outcome, column
from tastemaker.eval.protocols import Protocol as EvalProtocol
from tastemaker.eval.protocols import Question
from tastemaker.eval.significance import bootstrap_intervals
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Request

ScoredList = Sequence[tuple[str, float]]
"""(item id, score) pairs, best first."""

BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranked:
    """A reranker's list, and the ids of its candidates in the order in which the retriever gave them."""

    items: ScoredList
    candidates: tuple[str, ...]


class System(Protocol):
    """Anything that answers requests with lists, one per request.

    One that can fall back on something else counts those answers in an attribute ``degraded``.
    """

    def __call__(self, requests: Sequence[Request]) -> Sequence[ScoredList | Reranked]: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of every question, in every draw, and what it cost.

    ``outcomes[draw][i]`` belongs to the same user for every draw. ``questions`` is a hash of every
    question's user, history, context and target: only runs with the same one can be compared. ``lists`` are
    the figures of ``tastemaker.eval.lists``; ``degraded`` counts answers that came from a fallback.
    """

    system: str
    protocol: str
    description: str
    questions: str
    seed: int
    outcomes: tuple[tuple[Outcome, ...], ...]
    lists: dict[str, float]
    seconds: float
    build_seconds: float
    peak_memory_mib: float
    degraded: int
    facts: dict[str, Any]

    @property
    def users(self) -> tuple[str, ...]:
        return tuple(outcome.user for outcome in self.outcomes[0])

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of every target, one draw after the other; 0 where it was not listed."""
        return tuple(outcome.rank for outcomes in self.outcomes for outcome in outcomes)

    def values(self) -> dict[str, PerUser]:
        """Every metric per user (n,), averaged over the draws."""
        return {name: draws.mean(axis=0) for name, draws in self._per_draw().items()}

    def _per_draw(self) -> dict[str, PerUser]:
        """(draws, users) per metric."""
        return per_user([column(outcomes, "rank") for outcomes in self.outcomes])

    def summary(self) -> dict[str, Any]:
        """The contract of ``eval run --json``: metrics, 95 % intervals, users, seconds, memory, buckets.

        With several draws ``sd`` is the standard deviation of each metric over them; the interval is over
        users, each with the mean of the draws.
        """
        return dict(self._summary)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        values = self.values()
        answers = sum(map(len, self.outcomes))
        spread = {}
        if len(self.outcomes) > 1:
            draws = self._per_draw()
            spread["sd"] = {name: _rounded(v.mean(axis=1).std(ddof=1)) for name, v in draws.items()}
        return {
            "system": self.system,
            "protocol": self.protocol,
            "description": self.description,
            "questions": self.questions,
            "users": len(self.users),
            "draws": len(self.outcomes),
            "degraded": self.degraded,
            "seed": self.seed,
            "metrics": {name: _rounded(per_one.mean()) for name, per_one in values.items()},
            "ci95": {
                name: [_rounded(low), _rounded(high)]
                for name, (low, high) in bootstrap_intervals(values, seed=self.seed).items()
            },
            **spread,
            "lists": self.lists,
            "ceiling": ceiling_of(self.outcomes),
            "buckets": buckets_of(self.outcomes, seed=self.seed),
            "build_seconds": round(self.build_seconds, 2),
            "seconds": round(self.seconds, 2),
            "seconds_per_user": round(self.seconds / max(answers, 1), 4),
            "peak_memory_mib": round(self.peak_memory_mib),
            **self.facts,
        }


def _rounded(value: float) -> float:
    return round(float(value), 5)


def run_system(
    name: str,
    system: System,
    protocol: EvalProtocol,
    *,
    seed: int = 0,
    build_seconds: float = 0.0,
    progress: ProgressCallback | None = None,
    facts: Callable[[], dict[str, Any]] = dict,
) -> Run:
    """Ask all questions in batches and rank their targets.

    Raises:
        DataError: the protocol has no question.
        ValueError: the system does not give one list per request.
    """
    if not protocol.questions:
        raise DataError("no user has events enough to be asked; there is nothing to evaluate")
    started, fallbacks = time.perf_counter(), _fallbacks(system)
    answers: list[ScoredList | Reranked] = []
    for first in range(0, len(protocol.questions), BATCH):
        asked = protocol.questions[first : first + BATCH]
        found = system([question.request for question in asked])
        if len(found) != len(asked):
            raise ValueError(f"{name} gave {len(found)} lists for {len(asked)} requests")
        answers += found
        if progress is not None:
            progress(f"evaluating {name}", len(answers), len(protocol.questions))
    seconds = time.perf_counter() - started
    statistics = ListStatistics(protocol.train)
    outcomes = [
        _outcome(question, answer, statistics)
        for question, answer in zip(protocol.questions, answers, strict=True)
    ]
    return Run(
        system=name,
        protocol=protocol.name,
        description=protocol.description,
        questions=digest_of([_facts_of(question) for question in protocol.questions]),
        seed=seed,
        outcomes=(tuple(outcomes),),
        lists=statistics.summary(),
        seconds=seconds,
        build_seconds=build_seconds,
        peak_memory_mib=peak_memory_mib(),
        degraded=_fallbacks(system) - fallbacks,
        facts=facts(),
    )


def pool_draws(runs: Sequence[Run]) -> Run:
    """The runs of one system on all draws of a protocol as one; a single run is returned as it is.

    Raises:
        ValueError: there is no run, or they asked different users.
    """
    first = runs[0]
    if any(run.users != first.users for run in runs):
        raise ValueError("the draws asked different users")
    if len(runs) == 1:
        return first
    return replace(
        first,
        questions=digest_of([run.questions for run in runs]),
        outcomes=tuple(outcomes for run in runs for outcomes in run.outcomes),
        lists={name: _rounded(sum(run.lists[name] for run in runs) / len(runs)) for name in first.lists},
        seconds=sum(run.seconds for run in runs),
        build_seconds=sum(run.build_seconds for run in runs),
        peak_memory_mib=max(run.peak_memory_mib for run in runs),
        degraded=sum(run.degraded for run in runs),
    )


def _outcome(question: Question, answer: ScoredList | Reranked, statistics: ListStatistics) -> Outcome:
    target, request = question.target, question.request
    position: int | None = None
    if isinstance(answer, Reranked):
        position = answer.candidates.index(target) + 1 if target in answer.candidates else 0
    items = answer.items if isinstance(answer, Reranked) else answer
    statistics.add(request, [item_id for item_id, _ in items])
    return Outcome(
        user=request.request_id,
        rank=_rank(target, items),
        position=position,
        history=len(request.history),
        popularity=statistics.popularity(target),
        new_user=not statistics.knows_user(request.user_id),
    )


def _rank(target: str, found: ScoredList) -> int:
    ids = [item_id for item_id, _ in found]
    position = ids.index(target) if target in ids else None
    return pessimistic_rank([score for _, score in found], position)


def _fallbacks(system: System) -> int:
    return int(getattr(system, "degraded", 0))


def _facts_of(question: Question) -> list[Any]:
    request = question.request
    past = [entry.item_id or entry.title for entry in request.history]
    return [request.request_id, past, request.context.as_mapping(), request.wish, question.target]


def peak_memory_mib() -> float:
    """Largest resident size of this process so far.

    Read from ``/proc`` where there is one: ``getrusage`` on Linux counts what the parent held when it started
    this process, too. It counts KiB there and bytes on macOS.
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="ascii", errors="replace") if status.exists() else ""
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE):
        return int(found[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
