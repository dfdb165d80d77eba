"""JSON documents, lists of dicts and data frames to Arrow tables; nothing handed in is changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.interchange

from tastemaker.errors import DataError

_MAX_BROKEN_SHARE = 0.01


def parse_json(text: str, path: Path) -> tuple[pa.Table, str, int, str]:
    """Return (table, "json" or "json lines", number of broken lines left out, an example of one).

    A document may be an array of objects, an object of objects (its keys become column ``id`` unless the
    objects have one), or one object per line.

    Raises:
        DataError: the document or more than one line in a hundred does not parse, or a row is no object.
    """
    rows, broken, example = _json_lines(text, path)
    if rows:
        return records_table(rows, path.name), "json lines", broken, example
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is broken JSON: {error}") from error
    if isinstance(document, dict):
        if document and all(isinstance(row, dict) for row in document.values()):
            document = [{"id": key, **row} for key, row in document.items()]
        else:
            document = [document]
    if not isinstance(document, list):
        raise DataError(f"{path} holds a JSON {type(document).__name__}; a list of objects is wanted")
    return records_table(document, path.name), "json", 0, ""


def _json_lines(text: str, path: Path) -> tuple[list[dict[str, Any]], int, str]:
    """Rows of a file with one object per line; no rows when its first line says that it is no such file."""
    rows: list[dict[str, Any]] = []
    broken, example = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif rows:
            broken, example = broken + 1, example or f"line {number}: {line[:120]}"
        else:
            return [], 0, ""
    if broken > len(rows) * _MAX_BROKEN_SHARE:
        raise DataError(f"{path} is broken JSON in {broken} of {len(rows) + broken} lines, e.g. {example}")
    if len(rows) == 1 and all(isinstance(value, dict) for value in rows[0].values()):
        return [], 0, ""
    return rows, broken, example


def records_table(rows: Iterable[Any], what: str) -> pa.Table:
    """Rows (mappings) to a table; a key that a row lacks is null. DataError for a row that is no mapping."""
    columns: dict[str, list[Any]] = {}
    count = 0
    for row in rows:
        if not isinstance(row, Mapping):
            raise DataError(f"{what}: row {count + 1} is a {type(row).__name__}; an object is wanted")
        for key, value in row.items():
            name = str(key).strip() or "column"
            column = columns.setdefault(name, [])
            column.extend([None] * (count - len(column)))
            if len(column) == count:
                column.append(value)
        count += 1
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    return pa.table({name: _array(column) for name, column in columns.items()})


def frame_table(frame: Any, what: str) -> pa.Table:
    """A pandas, polars or Arrow table, a mapping of columns, or a list of dicts, as an Arrow table.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, Mapping):
        return pa.table({str(name): _array(list(column)) for name, column in frame.items()})
    try:
        if hasattr(frame, "__arrow_c_stream__"):
            return _without_index(pa.table(frame))
        if hasattr(frame, "to_dict"):
            return records_table(frame.to_dict("records"), what)
        if hasattr(frame, "__dataframe__"):
            return _without_index(pyarrow.interchange.from_dataframe(frame))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{what}: this {type(frame).__name__} cannot be read as a table: {error}") from error
    if isinstance(frame, Iterable) and not isinstance(frame, (str, bytes)):
        return records_table(frame, what)
    raise DataError(f"{what} is a {type(frame).__name__}; a list of dicts or a data frame is wanted")


def _without_index(table: pa.Table) -> pa.Table:
    kept = [name for name in table.column_names if not name.startswith("__index_level_")]
    return table.select(kept)


def _array(values: list[Any]) -> pa.Array:
    plain = [_plain(value) for value in values]
    kinds = {type(value) for value in plain if value is not None}
    if not kinds:
        return pa.nulls(len(plain), pa.string())
    if kinds <= {int}:
        try:
            return pa.array(plain, pa.int64())
        except OverflowError:
            pass
    elif kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in plain], pa.float64())
    elif list in kinds:
        return pa.array([_listed(value) for value in plain], pa.list_(pa.string()))
    return pa.array([None if value is None else text_of(value) for value in plain], pa.string())


def _plain(value: Any) -> Any:
    """A JSON value, or list of texts, for any value that a row may hold; NaN is None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (float, Decimal)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [text_of(part) for part in value if part is not None and part != ""]
    return value


def _listed(value: Any) -> list[str] | None:
    if value is None or isinstance(value, list):
        return value
    return [text_of(value)] if value != "" else []


def text_of(value: Any) -> str:
    """A value of a record in words: ``{"Size": " XL"}`` is ``Size: XL``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "; ".join(
            f"{text_of(key).strip().rstrip(':')}: {text_of(part).strip()}" for key, part in value.items()
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(part) for part in value)
    return str(value).encode("utf-8", "replace").decode()
