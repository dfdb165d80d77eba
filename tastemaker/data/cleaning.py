"""Raw columns to the layout of ``Dataset``. What is left out or changed is counted, never silent.

Left out: rows without an id, with an impossible time, or that repeat another row exactly; a second row of
an item or user id; interactions of unknown items. Merged: items that are the same under several ids.
Kept: several events of one user with one item, when anything tells them apart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data import values
from tastemaker.data.columns import CLOCK_NAMES, plain_name
from tastemaker.data.delimited import unique_names
from tastemaker.data.duplicates import same_items
from tastemaker.data.raw import RawTable
from tastemaker.data.report import CleaningLog
from tastemaker.data.tables import DEFAULT_EVENT, INTERACTION_FIELDS, situation_names
from tastemaker.data.texts import DESCRIPTION_CHARS, TITLE_CHARS, split_year

YEAR_SECONDS = 365.25 * 86_400
FEWEST_IDENTIFIERS = 100
"""Columns with fewer values are kept as a situation whatever they hold: of a few rows nobody can tell."""

_EVENTS_OWN = "requestid impressionid eventid orderid transactionid transaction traceid uuid guid"
_VISITORS_OWN = "sessionid session visitid visit ip ipaddress ipaddr cookieid cookie deviceid useragent"
IDENTIFIER_NAMES = frozenset(f"{_EVENTS_OWN} {_VISITORS_OWN}".split())
_ITEM_ROLES = ("genres", "tags", "year", "price", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A table in layout, which column played which role in it, and remarks on what was found."""

    table: pa.Table
    roles: Mapping[str, str]
    remarks: Mapping[str, str]


def clean_items(
    raw: RawTable, roles: Mapping[str, str], log: CleaningLog, *, merge: bool
) -> tuple[Cleaned, dict[str, str]]:
    """Return the items and, with ``merge``, for every item id that was merged away the id it went into."""
    name = "items"
    log.add(name, f"{raw.broken_what} left out", raw.broken, raw.broken_example, lost=True)
    columns = {"id": values.to_ids(raw.table[roles["item"]])}
    columns["title"] = _text(raw, roles.get("title"))
    columns["description"] = _text(raw, roles.get("description"))
    columns |= _item_roles(raw, roles)
    if "year" not in columns:
        years = values.map_distinct(columns["title"], lambda title: split_year(title)[1], pa.int64())
        if years.null_count < len(years):
            columns["year"] = years
    columns |= _others(raw, roles, columns, as_text=False)
    table = pa.table(columns)
    table = log.drop(name, "rows without an item id", table, pc.is_null(table["id"]))
    table = log.drop(name, "further rows of an item id", table, _is_repeated(table.select(["id"])))
    table = _count_text_changes(table, name, log)
    merged, example = same_items(table) if merge else ({}, "")
    log.add(name, "items merged into one with the same title", len(merged), example, lost=True)
    if merged:
        table = table.filter(pc.invert(pc.is_in(table["id"], value_set=pa.array(list(merged)))))
    log.rows.append((name, raw.table.num_rows + raw.broken, table.num_rows))
    return Cleaned(table=table, roles=roles, remarks={}), merged


def clean_interactions(
    raw: RawTable,
    roles: Mapping[str, str],
    log: CleaningLog,
    *,
    item_ids: pa.Array | None,
    merged: Mapping[str, str],
    now: float | None = None,
) -> Cleaned:
    """Return the interactions; ``item_ids`` None means that any item is known.

    A column that only sounds like a time or a rating but does not hold one becomes a context field.
    """
    name = "interactions"
    log.add(name, f"{raw.broken_what} left out", raw.broken, raw.broken_example, lost=True)
    times, values_, roles, remarks = _measures(raw, roles)
    items = values.to_ids(raw.table[roles["item"]])
    if merged:
        items = values.map_distinct(items, lambda item: merged.get(item, item), pa.string())
    columns = {"user_id": values.to_ids(raw.table[roles["user"]]), "item_id": items}
    columns["timestamp"] = times
    events = values.cleaned(_text(raw, roles.get("event")))[0]
    columns["event"] = pc.fill_null(events, DEFAULT_EVENT)
    columns["value"] = values_
    situation = _others(raw, roles, dict.fromkeys(INTERACTION_FIELDS), as_text=True)
    columns |= dict(zip(situation_names(list(situation)), situation.values(), strict=True))
    table = pa.table(columns)
    if "value" in roles:
        unread = pc.and_(pc.is_valid(raw.table[roles["value"]]), pc.is_null(values_))
        log.note(name, "values that are no number, kept without value", raw.table, unread)
    table = _drop_impossible_times(table, raw, roles, log, time.time() if now is None else now)
    table = log.drop(name, "rows without a user id", table, pc.is_null(table["user_id"]))
    table = log.drop(name, "rows without an item id", table, pc.is_null(table["item_id"]))
    if item_ids is not None:
        known = pc.is_in(table["item_id"], value_set=item_ids)
        table = log.drop(name, "interactions with unknown items", table, pc.invert(known))
    table = log.drop(name, "exact repetitions of another row", table, _is_repeated(table))
    log.rows.append((name, raw.table.num_rows + raw.broken, table.num_rows))
    return Cleaned(table=table, roles=roles, remarks=remarks)


def without_identifiers(table: pa.Table, log: CleaningLog) -> pa.Table:
    """Interactions without the columns that name each event or visit anew: they tell of no situation."""
    for name in [one for one in table.column_names if one not in INTERACTION_FIELDS]:
        column = table[name]
        distinct, filled = pc.count_distinct(column).as_py(), len(column) - column.null_count
        named = plain_name(name) in IDENTIFIER_NAMES
        if distinct < FEWEST_IDENTIFIERS or not (named or 2 * distinct > filled):
            continue
        why = "identifiers" if named else "nearly all different"
        example = str(column.drop_null()[0].as_py())
        what = f"values in column {name!r}, which is left out as no situation: {distinct:,} {why}"
        log.add("interactions", what, filled, example, lost=False)
        table = table.drop_columns([name])
    return table


def clean_users(raw: RawTable, roles: Mapping[str, str], log: CleaningLog) -> Cleaned:
    name = "users"
    log.add(name, f"{raw.broken_what} left out", raw.broken, raw.broken_example, lost=True)
    columns = {"user_id": values.to_ids(raw.table[roles["user"]])}
    columns |= _others(raw, roles, columns, as_text=False)
    table = pa.table(columns)
    table = log.drop(name, "rows without a user id", table, pc.is_null(table["user_id"]))
    table = log.drop(name, "further rows of a user id", table, _is_repeated(table.select(["user_id"])))
    log.rows.append((name, raw.table.num_rows + raw.broken, table.num_rows))
    return Cleaned(table=table, roles=roles, remarks={})


def _text(raw: RawTable, column: str | None) -> pa.ChunkedArray:
    if column is None:
        return pa.chunked_array([pa.nulls(raw.table.num_rows, pa.string())])
    return values.to_strings(raw.table[column])


def _item_roles(raw: RawTable, roles: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    found: dict[str, pa.ChunkedArray] = {}
    for role in _ITEM_ROLES:
        if role not in roles:
            continue
        column = raw.table[roles[role]]
        if role in ("genres", "tags"):
            blanks = raw.declared.get(roles[role]) == "token_seq"
            found[role] = values.to_lists(column, separator=" " if blanks else None)
        elif role == "year":
            found[role] = values.to_years(column)
        elif role == "price":
            found[role] = values.to_prices(column)
        else:
            found[role] = values.first_texts(column)
    return found


def _others(
    raw: RawTable, roles: Mapping[str, str], taken: Mapping[str, object], *, as_text: bool
) -> dict[str, pa.ChunkedArray]:
    """Columns without a role, by their own names (apart from ``taken``)."""
    rest = [column for column in raw.names if column not in roles.values()]
    names = unique_names([*taken, *rest])[len(taken) :]
    found: dict[str, pa.ChunkedArray] = {}
    for column, name in zip(rest, names, strict=True):
        data = raw.table[column]
        if data.null_count == len(data) and column.startswith("column_"):
            continue  # made by a trailing delimiter
        if as_text:
            texts = values.cleaned(values.to_strings(data, ", "))[0]
            found[name] = values.map_distinct(
                texts, lambda text: None if text in values.MISSING else text[:TITLE_CHARS], pa.string()
            )
        elif raw.declared.get(column, "").endswith("_seq"):
            found[name] = values.to_lists(data, separator=" ")
        else:
            found[name] = values.guess(data)
    return found


def _measures(
    raw: RawTable, roles: Mapping[str, str]
) -> tuple[pa.ChunkedArray, pa.ChunkedArray, dict[str, str], dict[str, str]]:
    """(times, values, the roles that hold, remarks)."""
    kept, remarks = dict(roles), {}
    empty = pa.chunked_array([pa.nulls(raw.table.num_rows, pa.float64())])
    times = numbers = empty
    if "timestamp" in roles:
        times, unit = values.to_times(raw.table[roles["timestamp"]])
        if plain_name(roles["timestamp"]) in CLOCK_NAMES or _is_clock(times):
            remarks["timestamp"] = unit
        else:
            times = empty
            del kept["timestamp"]
    if "value" in roles:
        column = raw.table[roles["value"]]
        numbers = values.to_floats(column)
        if 2 * numbers.null_count > len(column) + column.null_count:
            numbers = empty
            del kept["value"]
        else:
            bounds = pc.min_max(numbers).as_py()
            if bounds["min"] is not None:
                remarks["value"] = f"{bounds['min']:g}..{bounds['max']:g}"
    return times, numbers, kept, remarks


def _is_clock(times: pa.ChunkedArray) -> bool:
    middle = pc.quantile(times, 0.5)[0].as_py()
    return middle is not None and middle >= values.EARLIEST_CLOCK and 2 * times.null_count <= len(times)


def _drop_impossible_times(
    table: pa.Table, raw: RawTable, roles: Mapping[str, str], log: CleaningLog, now: float
) -> pa.Table:
    if "timestamp" not in roles:
        return table
    given = pc.is_valid(raw.table[roles["timestamp"]])
    unread = pc.and_(given, pc.is_null(table["timestamp"])).combine_chunks()
    # The example shows the row as it was found, since the parsed time is gone.
    shown = log.drop("interactions", "rows with an unreadable time", raw.table, unread)
    if shown.num_rows != table.num_rows:
        table = table.filter(pc.invert(unread))
    table = log.drop("interactions", "rows before 1970", table, pc.less(table["timestamp"], 0.0))
    late = pc.greater(table["timestamp"], now + YEAR_SECONDS)
    return log.drop("interactions", "rows more than a year in the future", table, late)


def _count_text_changes(table: pa.Table, name: str, log: CleaningLog) -> pa.Table:
    for column, limit in (("title", TITLE_CHARS), ("description", DESCRIPTION_CHARS)):
        texts, lost = values.cleaned(table[column])
        log.note(
            name, f"{column}s with control or invisible characters, stripped", table.select(["id"]), lost
        )
        long = pc.fill_null(pc.greater(pc.utf8_length(texts), limit), False)
        log.note(name, f"{column}s cut to {limit:,} characters", table.select(["id"]), long)
        cut = pc.utf8_slice_codeunits(texts, 0, limit)
        table = table.set_column(table.column_names.index(column), column, cut)
    return table


def _is_repeated(table: pa.Table) -> pa.Array:
    """Mask of rows that equal an earlier one in every column."""
    numbered = table.append_column("row number", pa.array(np.arange(table.num_rows)))
    firsts = pa.TableGroupBy(numbered, table.column_names, use_threads=False).aggregate(
        [("row number", "min")]
    )
    repeated = np.ones(table.num_rows, dtype=bool)
    repeated[firsts["row number_min"].to_numpy()] = False
    return pa.array(repeated)
