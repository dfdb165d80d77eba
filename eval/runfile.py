"""Run files: JSON lines with a run's summary first, then the outcome of every question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tastemaker.artifacts import atomic_file
from tastemaker.errors import DataError
from tastemaker.eval.metrics import PerUser, per_user
from tastemaker.eval.outcomes import Outcome, column
from tastemaker.eval.run import Run

_NEEDED = {"system", "protocol", "questions", "users", "draws", "metrics", "ci95"}
_FIELDS = {field.name for field in fields(Outcome)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run file's content: ``Run.summary()`` and ``Run.outcomes``."""

    path: Path
    summary: dict[str, Any]
    outcomes: tuple[tuple[Outcome, ...], ...]

    def values(self) -> dict[str, PerUser]:
        """Every metric per user (n,), averaged over the draws."""
        ranks = [column(outcomes, "rank") for outcomes in self.outcomes]
        return {name: draws.mean(axis=0) for name, draws in per_user(ranks).items()}


def save_run(run: Run, path: Path, *, made: Mapping[str, Any] | None = None) -> None:
    """Write the file in one step, with ``made`` (``provenance``) beside the summary.

    Raises:
        StorageError: the place is forbidden or the disk full.
    """
    with atomic_file(path) as staged, staged.open("w", encoding="utf-8") as file:
        file.write(json.dumps({**(made or {}), **run.summary()}) + "\n")
        for draw, outcomes in enumerate(run.outcomes):
            for outcome in outcomes:
                file.write(json.dumps({"draw": draw, **asdict(outcome)}) + "\n")


def load_run(path: Path) -> StoredRun:
    """Read what ``save_run`` wrote.

    Raises:
        DataError: the file is missing, cut short or no run file.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        summary = dict(lines[0])
        if not summary.keys() >= _NEEDED:
            raise KeyError("summary")
        draws: list[list[Outcome]] = [[] for _ in range(summary["draws"])]
        for row in lines[1:]:
            draws[row["draw"]].append(Outcome(**{name: row[name] for name in _FIELDS}))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path} is no run file of 'tastemaker eval run --out'") from error
    for outcomes in draws:
        if len(outcomes) != summary["users"]:
            raise DataError(
                f"{path} holds {len(outcomes)} users; {summary['users']} are wanted: it was cut short"
            )
    return StoredRun(path=path, summary=summary, outcomes=tuple(map(tuple, draws)))
