"""Files of many dialects to a ``Dataset``: what was guessed is said, and can be overridden.

Read are RecBole atomic files, MovieLens (``::``, bars, CSV), CSV, TSV and semicolon files with or without a
header, JSON, JSON lines and Parquet, each also under gzip.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.cleaning import (
    Cleaned,
    clean_interactions,
    clean_items,
    clean_users,
    without_identifiers,
)
from tastemaker.data.columns import (
    ROLES,
    TableKind,
    assign,
    check_overrides,
    find_title_column,
)
from tastemaker.data.dataset import Dataset
from tastemaker.data.delimited import unique_names
from tastemaker.data.raw import RawTable, read_raw
from tastemaker.data.records import frame_table
from tastemaker.data.report import CleaningLog, CleaningReport
from tastemaker.data.tables import INTERACTION_FIELDS, ITEM_FIELDS
from tastemaker.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """``guesses``: one line per file, how it was understood; ``report``: what cleaning left out and why."""

    dataset: Dataset
    guesses: tuple[str, ...]
    report: CleaningReport


def read(
    interactions: Path | None,
    items: Path | None,
    users: Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    merge_items: bool = True,
) -> ReadResult:
    """Read a data set from files; either of ``interactions`` and ``items`` may be missing.

    ``overrides`` maps a role (``columns.ROLES``: user, item, timestamp, value, event, title, ...) to the
    column that plays it, or ``encoding`` to an encoding. Without an items file, titles come from a title
    column of the interactions, else they are the ids. ``merge_items`` False keeps items apart that
    nothing but their id tells apart (``duplicates.same_items``).

    Raises:
        DataError: nothing is given, a file is missing, damaged or of an unknown format, a needed column is
            not found, or an override names an unknown role or column.
    """
    given = dict(overrides or {})
    encoding = given.pop("encoding", None)
    paths: dict[TableKind, Path | None] = {"interactions": interactions, "items": items, "users": users}
    raws = {kind: read_raw(path, kind, encoding) for kind, path in paths.items() if path is not None}
    return _assemble(raws, given, merge=merge_items)


def read_records(interactions: Any, items: Any, users: Any = None) -> ReadResult:
    """The same for lists of dicts, data frames (pandas, polars, Arrow) or mappings of columns.

    Raises:
        DataError: a value is no table, or lacks a needed column.
    """
    tables: dict[TableKind, Any] = {"interactions": interactions, "items": items, "users": users}
    raws = {}
    for kind, value in tables.items():
        if value is not None:
            table = frame_table(value, kind)
            if table.num_rows:
                table = table.rename_columns(unique_names(table.column_names))
                raws[kind] = RawTable(table=table, source=kind, format="records")
    return _assemble(raws, {}, merge=True)


def warn_of_losses(report: CleaningReport) -> None:
    """One UserWarning that counts what was left out; nothing when all rows were kept."""
    lost = [str(finding) for finding in report.findings if finding.lost]
    if lost:
        warnings.warn(f"{report.lost:,} rows were left out: {'; '.join(lost)}", UserWarning, stacklevel=3)


def _assemble(raws: Mapping[TableKind, RawTable], overrides: Mapping[str, str], *, merge: bool) -> ReadResult:
    if "interactions" not in raws and "items" not in raws:
        raise DataError("there are neither interactions nor items; at least one of them is wanted")
    check_overrides(overrides, {kind: raw.names for kind, raw in raws.items()})
    roles = {kind: assign(kind, raw.names, overrides, raw.source) for kind, raw in raws.items()}
    log = CleaningLog()
    try:
        cleaned = _clean(raws, roles, log, merge=merge)
    except pa.ArrowException as error:
        raise DataError(f"a column cannot be read: {' '.join(str(error).split())}") from error
    _refuse_empty(cleaned, log)
    tables = {kind: done.table for kind, done in cleaned.items()}
    if "items" not in tables:
        tables["items"], tables["interactions"] = _items_of(tables["interactions"])
    if "interactions" in tables:
        tables["interactions"] = without_identifiers(tables["interactions"], log)
        cleaned["interactions"] = replace(cleaned["interactions"], table=tables["interactions"])
    dataset = Dataset.from_tables(tables["items"], tables.get("interactions"), tables.get("users"))
    guesses = tuple(_guess_line(kind, raws[kind], done) for kind, done in cleaned.items())
    return ReadResult(dataset=dataset, guesses=guesses, report=log.report())


def _clean(
    raws: Mapping[TableKind, RawTable],
    roles: Mapping[TableKind, Mapping[str, str]],
    log: CleaningLog,
    *,
    merge: bool,
) -> dict[TableKind, Cleaned]:
    cleaned: dict[TableKind, Cleaned] = {}
    merged: dict[str, str] = {}
    known = None
    if "items" in raws:
        cleaned["items"], merged = clean_items(raws["items"], roles["items"], log, merge=merge)
        known = cleaned["items"].table["id"].combine_chunks()
    if "interactions" in raws:
        cleaned["interactions"] = clean_interactions(
            raws["interactions"], roles["interactions"], log, item_ids=known, merged=merged
        )
    if "users" in raws:
        cleaned["users"] = clean_users(raws["users"], roles["users"], log)
    return cleaned


def _refuse_empty(cleaned: Mapping[TableKind, Cleaned], log: CleaningLog) -> None:
    for kind, done in cleaned.items():
        if kind != "users" and not done.table.num_rows:
            reasons = "; ".join(str(one) for one in log.findings if one.lost and one.table == kind)
            raise DataError(f"no {kind} are left after cleaning: {reasons}")


def _items_of(interactions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Items that only interactions tell of, and the interactions without the column of their titles."""
    names = [name for name in interactions.column_names if name not in INTERACTION_FIELDS]
    column = find_title_column(names)
    if column is None:
        ids = pc.unique(interactions["item_id"])
        return pa.table({"id": ids, "title": ids}), interactions
    firsts = pa.TableGroupBy(interactions, ["item_id"], use_threads=False).aggregate([(column, "first")])
    items = pa.table({"id": firsts["item_id"], "title": firsts[f"{column}_first"]})
    return items, interactions.drop_columns([column])


def _guess_line(kind: TableKind, raw: RawTable, done: Cleaned) -> str:
    parts = [raw.format, *([raw.encoding] if raw.encoding else [])]
    for role in ROLES[kind]:
        if role in done.roles:
            remark = f" ({done.remarks[role]})" if role in done.remarks else ""
            parts.append(f"{role}={done.roles[role]}{remark}")
    fixed = {"id", *ITEM_FIELDS, *INTERACTION_FIELDS, *ROLES[kind]}
    others = [name for name in done.table.column_names if name not in fixed]
    if others:
        parts.append(f"{'context' if kind == 'interactions' else 'attributes'}: {' '.join(others)}")
    return f"{kind}: {', '.join(parts)}"
