"""The layout of the three tables and the checks that make a table fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import DataError

INTERACTION_FIELDS: Mapping[str, pa.DataType] = {
    "user_id": pa.string(),
    "item_id": pa.string(),
    "timestamp": pa.float64(),
    "event": pa.string(),
    "value": pa.float64(),
}
ITEM_FIELDS: Mapping[str, pa.DataType] = {"id": pa.string(), "title": pa.string(), "description": pa.string()}
DEFAULT_EVENT = "interaction"

_ATTRIBUTE_TYPES = (pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string()))


def type_name(kind: pa.DataType) -> str:
    """``string``, ``int64``, ``double`` or ``list`` (whose inner field Parquet renames)."""
    return "list" if pa.types.is_list(kind) else str(kind)


def as_items(table: pa.Table) -> pa.Table:
    """Items in the layout of ``Dataset``: an empty title becomes the id, a missing description is empty."""
    ids = _ids(table, "id", "item")
    if len(pc.unique(ids)) != len(ids):
        counted = pc.value_counts(ids).to_pylist()
        twice = next(entry["values"] for entry in counted if entry["counts"] > 1)
        raise DataError(f"item id {twice!r} stands in more than one row; each item is wanted once")
    titles = _column(table, "title", pa.string())
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(titles), ""), True)
    columns = {
        "id": ids,
        "title": pc.if_else(blank, ids, titles),
        "description": pc.fill_null(_column(table, "description", pa.string()), ""),
    }
    for name in table.column_names:
        if name not in ITEM_FIELDS:
            columns[name] = _attribute(table[name], name)
    return pa.table(columns).combine_chunks()


def as_interactions(table: pa.Table | None, items: pa.Table) -> pa.Table:
    """Interactions in the layout of ``Dataset``; every item they name must be in ``items``."""
    if table is None:
        return pa.schema(list(INTERACTION_FIELDS.items())).empty_table()
    columns = {
        "user_id": _ids(table, "user_id", "user"),
        "item_id": _ids(table, "item_id", "item"),
        "timestamp": _column(table, "timestamp", pa.float64()),
        "event": pc.fill_null(_column(table, "event", pa.string()), DEFAULT_EVENT),
        "value": _column(table, "value", pa.float64()),
    }
    known = pc.is_in(columns["item_id"], value_set=items["id"].combine_chunks())
    if not pc.all(known).as_py() and table.num_rows:
        missing = columns["item_id"].filter(pc.invert(known))[0].as_py()
        raise DataError(f"an interaction names item {missing!r}, which the items lack")
    others = [name for name in table.column_names if name not in INTERACTION_FIELDS]
    for name, free in zip(others, situation_names(others), strict=True):
        columns[free] = _cast(table[name], name, pa.string())
    return pa.table(columns).combine_chunks()


def situation_names(names: Sequence[str]) -> list[str]:
    """Names of context columns that stay apart as fields of a ``Context``.

    There case does not count, and "time" is the clock: a column of that name holds something else.
    """
    found: dict[str, str] = {}
    for name in names:
        own = {"": "column", "time": "time_of_day"}.get(_folded(name), name)
        free, number = own, 2
        while _folded(free) in found:
            free, number = f"{own}_{number}", number + 1
        found[_folded(free)] = free
    return list(found.values())


def _folded(name: str) -> str:
    """As ``types.field_name`` has it."""
    return " ".join(name.lower().split())


def as_users(table: pa.Table) -> pa.Table:
    columns = {"user_id": _ids(table, "user_id", "user")}
    for name in table.column_names:
        if name != "user_id":
            columns[name] = _attribute(table[name], name)
    return pa.table(columns).combine_chunks()


def _ids(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        found = ", ".join(table.column_names) or "none"
        raise DataError(f"the table has no column {name!r}; its columns are {found}")
    column = _cast(table[name], name, pa.string())
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
    if pc.any(empty).as_py():
        raise DataError(f"a row has no {what} id (column {name!r})")
    return column


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    return _cast(table[name], name, kind)


def _attribute(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_integer(kind):
        return _cast(column, name, pa.int64())
    if pa.types.is_floating(kind):
        return _cast(column, name, pa.float64())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _cast(column, name, pa.list_(pa.string()))
    return column if kind in _ATTRIBUTE_TYPES else _cast(column, name, pa.string())


def _cast(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"column {name!r} holds {column.type}; {kind} is wanted") from error
