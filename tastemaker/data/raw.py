"""A file as a table of raw columns, with what was found out about its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.columns import (
    GENRE_FLAGS,
    TableKind,
    headerless_names,
    is_usual_name,
    recbole_types,
)
from tastemaker.data.delimited import Delimited, parse_delimited, unique_names
from tastemaker.data.records import parse_json
from tastemaker.data.sources import decode, read_bytes
from tastemaker.errors import DataError

_JSON_NAMES = (".json", ".jsonl", ".ndjson")
_TEXT_NAMES = (".csv", ".tsv", ".dat", ".data", ".txt", ".item", ".inter", ".user")
_FORMATS = {"\t": "tsv", ",": "csv", ";": "csv with semicolons", "|": "text with bars", "::": "text with ::"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """Columns as found. ``declared`` holds RecBole's column types; ``broken`` counts unreadable rows."""

    table: pa.Table
    source: str
    format: str
    encoding: str | None = None
    declared: Mapping[str, str] = field(default_factory=dict)
    broken: int = 0
    broken_what: str = ""
    broken_example: str = ""

    @property
    def names(self) -> Sequence[str]:
        names: list[str] = self.table.column_names
        return names


def read_raw(path: Path, kind: TableKind, encoding: str | None = None) -> RawTable:
    """Read any supported file; see ``tastemaker.data.readers.read``.

    Raises:
        DataError: the file is missing, damaged, empty or of a format that is not read.
    """
    content = read_bytes(path)
    if content.startswith(b"PAR1"):
        return RawTable(table=_read_parquet(content, path), source=path.name, format="parquet")
    text, found = decode(content, path, encoding)
    text = text.replace("\0", "")
    if not text.strip():
        raise DataError(f"{path} is empty")
    suffix = next((part for part in reversed(path.suffixes) if part != ".gz"), "").lower()
    if suffix in _JSON_NAMES or (suffix not in _TEXT_NAMES and text.lstrip()[:1] in ("{", "[")):
        table, form, broken, example = parse_json(text, path)
        raw = RawTable(
            table=table,
            source=path.name,
            format=form,
            encoding=found,
            broken=broken,
            broken_what="lines of broken JSON",
            broken_example=example,
        )
    else:
        parsed = parse_delimited(
            text, is_known=partial(is_usual_name, kind=kind), prefer="\t" if suffix == ".tsv" else None
        )
        raw = _named(parsed, path.name, found, kind)
    if not raw.table.num_rows:
        what = (
            f"{raw.broken:,} rows that cannot be read, e.g. {raw.broken_example}" if raw.broken else "no rows"
        )
        raise DataError(f"{path} has {what}")
    return raw


def _read_parquet(content: bytes, path: Path) -> pa.Table:
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is a damaged Parquet file: {' '.join(str(error).split())}") from error
    return table.rename_columns(unique_names(table.column_names))


def _named(parsed: Delimited, source: str, encoding: str, kind: TableKind) -> RawTable:
    table, form = parsed.table, _FORMATS[parsed.delimiter]
    declared: dict[str, str] = {}
    if parsed.header:
        types = recbole_types(table.column_names)
        if types is not None:
            declared, form = types, "RecBole atomic file"
            table = table.rename_columns(list(types))
    else:
        sample: Mapping[str, list[Any]] = table.slice(0, 50).to_pydict()
        layout, names = headerless_names(kind, parsed.delimiter, sample)
        table, form = _join_genre_flags(table.rename_columns(names)), f"{form}, {layout}"
    return RawTable(
        table=table,
        source=source,
        format=form,
        encoding=encoding,
        declared=declared,
        broken=parsed.ragged,
        broken_what="ragged rows (another number of fields)",
        broken_example=parsed.ragged_example,
    )


def _join_genre_flags(table: pa.Table) -> pa.Table:
    """The 19 columns of 0 and 1 in MovieLens' u.item as one list column ``genres``."""
    if not set(GENRE_FLAGS) <= set(table.column_names):
        return table
    flags = zip(*(table[name].to_pylist() for name in GENRE_FLAGS), strict=True)
    genres = [
        [genre for genre, flag in zip(GENRE_FLAGS, row, strict=True) if flag == "1" and genre != "unknown"]
        for row in flags
    ]
    return table.drop_columns(list(GENRE_FLAGS)).append_column(
        "genres", pa.array(genres, pa.list_(pa.string()))
    )
