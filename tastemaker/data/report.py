"""What cleaning found, counted, with an example of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

EXAMPLE_CHARS = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``count`` rows of ``table`` had the fault ``what``; ``lost`` says whether they were left out."""

    table: str
    what: str
    count: int
    example: str
    lost: bool

    def __str__(self) -> str:
        return f"{self.table}: {self.count:,} {self.what}, e.g. {self.example}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningReport:
    """All findings, and per table the rows read and kept."""

    findings: tuple[Finding, ...] = ()
    rows: tuple[tuple[str, int, int], ...] = ()

    @property
    def lost(self) -> int:
        """Rows of all tables that were left out."""
        return sum(finding.count for finding in self.findings if finding.lost)

    def lines(self) -> tuple[str, ...]:
        """For people: one line per table, then one per finding."""
        totals = (f"{name}: {kept:,} of {read:,} rows kept" for name, read, kept in self.rows)
        return (*totals, *map(str, self.findings))

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": {name: {"read": read, "kept": kept} for name, read, kept in self.rows},
            "findings": [
                {
                    "table": finding.table,
                    "what": finding.what,
                    "count": finding.count,
                    "lost": finding.lost,
                    "example": finding.example,
                }
                for finding in self.findings
            ],
        }


@dataclass(slots=True)
class CleaningLog:
    """Collects findings while tables are cleaned."""

    findings: list[Finding] = field(default_factory=list)
    rows: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, table: str, what: str, count: int, example: str, *, lost: bool) -> None:
        if count:
            short = example if len(example) <= EXAMPLE_CHARS else f"{example[: EXAMPLE_CHARS - 1]}…"
            self.findings.append(Finding(table=table, what=what, count=count, example=short, lost=lost))

    def note(self, name: str, what: str, rows: pa.Table, mask: pa.ChunkedArray) -> None:
        """Count the rows under ``mask`` as changed."""
        self._count(name, what, rows, mask, lost=False)

    def drop(self, name: str, what: str, rows: pa.Table, bad: pa.ChunkedArray) -> pa.Table:
        """Return ``rows`` without those under ``bad`` (null counts as not bad), which are counted."""
        mask = pc.fill_null(bad, False)
        if not self._count(name, f"{what} left out", rows, mask, lost=True):
            return rows
        return rows.filter(pc.invert(mask))

    def _count(self, name: str, what: str, rows: pa.Table, mask: pa.ChunkedArray, *, lost: bool) -> int:
        count = int(pc.sum(mask).as_py() or 0)
        if count:
            first = pc.index(mask, True).as_py()
            self.add(name, what, count, _row_text(rows.slice(first, 1).to_pylist()[0]), lost=lost)
        return count

    def report(self) -> CleaningReport:
        return CleaningReport(findings=tuple(self.findings), rows=tuple(self.rows))


def _row_text(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
