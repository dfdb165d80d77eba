"""A data set in numbers, for ``data describe`` and reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.tables import ITEM_FIELDS, type_name

if TYPE_CHECKING:
    from tastemaker.data.dataset import Dataset


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts, time span, rating scale, history lengths, attributes and context, as JSON values."""
    lengths = [len(sequence) for sequence in dataset.sequences().values()]
    items = len(dataset.item_ids)
    filled = len(set(zip(dataset.codes().user.tolist(), dataset.codes().item.tolist(), strict=True)))
    return {
        **dataset.counts,
        "users_with_interactions": len(lengths),
        "items_with_interactions": int(np.count_nonzero(dataset.item_counts)),
        "density": round(filled / (len(lengths) * items), 6) if lengths and items else None,
        "history_length": _history_length(lengths),
        "time": _time_span(dataset.interactions["timestamp"]),
        "events": _counts(dataset.interactions["event"]),
        "value_range": None if dataset.value_range is None else list(dataset.value_range),
        "context": {name: _values(dataset.interactions[name]) for name in dataset.context_columns},
        "attributes": {
            name: {
                "type": type_name(dataset.items.schema.field(name).type),
                "filled": _share(dataset.items[name]),
            }
            for name in dataset.items.column_names
            if name not in ITEM_FIELDS
        },
        "descriptions": _share(dataset.items["description"]),
        "fingerprint": dataset.fingerprint,
    }


def _history_length(lengths: list[int]) -> dict[str, float] | None:
    if not lengths:
        return None
    return {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)}


def _time_span(column: pa.ChunkedArray) -> dict[str, Any] | None:
    bounds = pc.min_max(column).as_py()
    if bounds["min"] is None:
        return None
    return {
        "from": datetime.fromtimestamp(bounds["min"], UTC).isoformat(),
        "to": datetime.fromtimestamp(bounds["max"], UTC).isoformat(),
        "missing": column.null_count,
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    pairs = [(entry["values"], entry["counts"]) for entry in pc.value_counts(column).to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _values(column: pa.ChunkedArray) -> dict[str, Any]:
    return {"distinct": pc.count_distinct(column).as_py(), "filled": _share(column)}


def _share(column: pa.ChunkedArray) -> float:
    """Share of rows (0..1) that hold something: not null, no empty text, no empty list."""
    if not len(column):
        return 0.0
    if pa.types.is_list(column.type):
        held = pc.greater(pc.list_value_length(column), 0)
    elif pa.types.is_string(column.type):
        held = pc.greater(pc.binary_length(column), 0)
    else:
        held = pc.is_valid(column)
    return round(float(pc.sum(pc.fill_null(held, False)).as_py()) / len(column), 4)
