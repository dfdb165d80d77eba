"""What became of one question: the row of a run file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Column = Literal["rank", "position", "history", "popularity", "new_user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``rank`` of the target in the system's list, 0 when it was not listed.

    ``position`` is its place among a reranker's candidates in the retriever's order: 1 for the first, 0
    when the retriever did not find it, None for a system without candidates. ``history`` counts the entries
    asked with, ``popularity`` the target's events in the training part; ``new_user`` has no event there.
    """

    user: str
    rank: int
    position: int | None
    history: int
    popularity: int
    new_user: bool


def column(outcomes: Sequence[Outcome], name: Column) -> NDArray[np.int64]:
    """One field of every outcome, int64 (n,); a position of None is -1."""
    values = [getattr(outcome, name) for outcome in outcomes]
    return np.array([-1 if value is None else value for value in values], dtype=np.int64)
