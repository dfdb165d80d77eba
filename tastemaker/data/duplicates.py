"""Finding one item under several ids."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.texts import title_key


def same_items(table: pa.Table) -> tuple[dict[str, str], str]:
    """Return {id: id of the first that is the same item}, and an example in words.

    Two items are the same when titles (by ``texts.title_key``) and years agree and no other fact tells them
    apart: no number or text attribute (price, brand, colour) differs. Columns whose values are all different
    (links, codes), lists and descriptions are no such fact: two records of one film differ in them. Without
    a year everything must agree, description and lists too, since titles of goods repeat.
    """
    titles = table["title"].to_pylist()
    years = table["year"].to_pylist() if "year" in table.column_names else [None] * table.num_rows
    groups: dict[tuple[str, int | None], list[int]] = {}
    for row, (title, year) in enumerate(zip(titles, years, strict=True)):
        if title:
            groups.setdefault((title_key(title), year), []).append(row)
    scalar, everything = _telling_columns(table)
    merged: dict[str, str] = {}
    example = ""
    for (_, year), rows in groups.items():
        if len(rows) < 2:
            continue
        facts = table.take(pa.array(rows)).to_pylist()
        columns = everything if year is None else scalar
        for place, fact in enumerate(facts[1:], start=1):
            twin = next(
                (one for one in facts[:place] if one["id"] not in merged and _agree(one, fact, columns)), None
            )
            if twin is not None:
                merged[fact["id"]] = twin["id"]
                example = example or f"{fact['title']!r}: {fact['id']} into {twin['id']}"
    return merged, example


def _telling_columns(table: pa.Table) -> tuple[list[str], list[str]]:
    """(text and number columns that may tell items apart, those and lists and the description)."""
    scalar: list[str] = []
    lists: list[str] = []
    for name in table.column_names:
        column = table[name]
        if name in ("id", "title", "year", "description", "image"):
            continue
        if pa.types.is_list(column.type):
            lists.append(name)
        elif pc.count_distinct(column).as_py() < len(column) - column.null_count:
            scalar.append(name)
    return scalar, [*scalar, *lists, "description"]


def _agree(one: dict[str, Any], other: dict[str, Any], columns: list[str]) -> bool:
    return all(one[name] == other[name] or not one[name] or not other[name] for name in columns)
