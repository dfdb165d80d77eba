"""Ask a system a protocol's questions, keep every user's rank, and sum up.

Lists are judged by their scores: an item with the same score as the target counts as ahead of it, and a
target that is not in the list scores 0. Nothing is ever added to a system's candidates.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tastemaker.artifacts import atomic_file, digest_of
from tastemaker.errors import DataError
from tastemaker.eval.metrics import per_user, pessimistic_rank
from tastemaker.eval.protocols import Protocol as EvalProtocol
from tastemaker.eval.protocols import Question
from tastemaker.eval.significance import bootstrap_interval
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Request

ScoredList = Sequence[tuple[str, float]]
BATCH = 16


class System(Protocol):
    """Anything that answers requests with (item id, score) lists, best first.

    One that can fall back on something else counts those answers in an attribute ``degraded``.
    """

    def __call__(self, requests: Sequence[Request]) -> list[ScoredList]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Ranks per user and how long they took. ``ranks[i]`` is 0 when the target was not listed.

    ``questions`` is a hash of every question's user, history, context and target: only runs with the same one
    can be compared. ``degraded`` counts answers that came from a fallback.
    """

    system: str
    protocol: str
    description: str
    questions: str
    seed: int
    users: tuple[str, ...]
    ranks: tuple[int, ...]
    seconds: float
    peak_memory_mib: float
    degraded: int
    facts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """The contract of ``eval run --json``: metrics, 95 % intervals, users, seconds, memory."""
        values = per_user(self.ranks)
        return {
            "system": self.system,
            "protocol": self.protocol,
            "description": self.description,
            "questions": self.questions,
            "users": len(self.ranks),
            "degraded": self.degraded,
            "seed": self.seed,
            "metrics": {name: round(float(column.mean()), 5) for name, column in values.items()},
            "ci95": {
                name: [round(end, 5) for end in bootstrap_interval(column, seed=self.seed)]
                for name, column in values.items()
            },
            "seconds": round(self.seconds, 2),
            "seconds_per_user": round(self.seconds / max(len(self.ranks), 1), 4),
            "peak_memory_mib": round(self.peak_memory_mib),
            **self.facts,
        }


def run_system(
    name: str,
    system: System,
    protocol: EvalProtocol,
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    facts: Callable[[], dict[str, Any]] = dict,
) -> Run:
    """Ask all questions in batches and rank their targets."""
    if not protocol.questions:
        raise DataError("no user has three events or more; there is nothing to evaluate")
    started, fallbacks = time.perf_counter(), _fallbacks(system)
    ranks: list[int] = []
    for first in range(0, len(protocol.questions), BATCH):
        asked = protocol.questions[first : first + BATCH]
        lists = system([question.request for question in asked])
        ranks += [_rank(question, found) for question, found in zip(asked, lists, strict=True)]
        if progress is not None:
            progress(f"evaluating {name}", len(ranks), len(protocol.questions))
    return Run(
        system=name,
        protocol=protocol.name,
        description=protocol.description,
        questions=digest_of([_facts_of(question) for question in protocol.questions]),
        seed=seed,
        users=tuple(question.request.request_id for question in protocol.questions),
        ranks=tuple(ranks),
        seconds=time.perf_counter() - started,
        peak_memory_mib=peak_memory_mib(),
        degraded=_fallbacks(system) - fallbacks,
        facts=facts(),
    )


def _fallbacks(system: System) -> int:
    return int(getattr(system, "degraded", 0))


def _facts_of(question: Question) -> list[Any]:
    request = question.request
    past = [entry.item_id or entry.title for entry in request.history]
    return [request.request_id, past, request.context.as_mapping(), request.wish, question.target]


def _rank(question: Question, found: ScoredList) -> int:
    ids = [item_id for item_id, _ in found]
    position = ids.index(question.target) if question.target in ids else None
    return pessimistic_rank([score for _, score in found], position)


def peak_memory_mib() -> float:
    """Largest resident size of this process so far (Linux counts KiB, macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def save_run(run: Run, path: Path) -> None:
    """One JSON object per line: the summary first, then every user's rank."""
    with atomic_file(path) as staged, staged.open("w", encoding="utf-8") as file:
        file.write(json.dumps(run.summary()) + "\n")
        for user, rank in zip(run.users, run.ranks, strict=True):
            file.write(json.dumps({"user": user, "rank": rank}) + "\n")


def load_ranks(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The summary and ``{user: rank}`` of a run file.

    Raises:
        DataError: the file is missing or is no run file.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        summary, ranks = dict(lines[0]), {str(row["user"]): int(row["rank"]) for row in lines[1:]}
        if not {"system", "protocol", "questions", "users", "metrics"} <= summary.keys():
            raise KeyError("summary")
        if len(ranks) != summary["users"]:
            raise DataError(
                f"{path} holds {len(ranks)} users; {summary['users']} are wanted: it was cut short"
            )
        return summary, ranks
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path} is no run file of 'tastemaker eval run --out'") from error
