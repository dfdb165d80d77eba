"""Item attributes by column, so that a filter costs array operations and not a walk over all items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.index.filters import ANYTHING, as_number, field_kinds, value_holds
from tastemaker.types import AttributeValue, Filter

BoolArray = NDArray[np.bool_]

_ORDER = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Column:
    """One field over all items: its distinct values and, per item, which of them it has (-1: none)."""

    def __init__(self, values: Sequence[AttributeValue], codes: NDArray[np.int32]) -> None:
        self._values = tuple(values)
        self._codes = codes  # (n_items,)
        numbers = [None if isinstance(value, tuple) else as_number(value) for value in values]
        self._numbers = np.array([np.nan if one is None else one for one in numbers])  # (distinct,)

    @classmethod
    def from_arrow(cls, column: pa.ChunkedArray) -> Column:
        """Read an items column; null, NaN, empty text and empty list are missing."""
        if pa.types.is_list(column.type):
            found: dict[AttributeValue, int] = {}
            listed = [tuple(one) if one else None for one in column.to_pylist()]
            codes = [-1 if one is None else found.setdefault(one, len(found)) for one in listed]
            return cls(tuple(found), np.array(codes, np.int32))
        encoded = column.combine_chunks().dictionary_encode()
        values = encoded.dictionary.to_pylist()
        known = np.array([value == value and value != "" for value in values], bool)  # NaN is not itself
        code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        code[~np.append(known, False)[code]] = -1
        return cls(values, code)

    def mask(self, condition: Filter) -> BoolArray:
        """Return bool (n_items,): where the condition holds."""
        if condition.op in _ORDER and not isinstance(condition.value, tuple):
            bound = as_number(condition.value)
            held = _ORDER[condition.op](self._numbers, np.nan if bound is None else bound)
        else:
            # Once per distinct value: a catalogue has few genre lists and years.
            held = np.array([value_holds(value, condition) for value in self._values], bool)
        # Code -1, an item without the attribute, reads what is appended.
        return np.append(held, condition.op == "lacks")[self._codes]


class ItemColumns:
    """The filterable fields of ``Dataset.items``; each is made on the first filter that asks for it."""

    def __init__(self, items: pa.Table) -> None:
        self._items = items
        self.kinds = field_kinds(items.schema)
        self._column = lru_cache(maxsize=None)(self._make)

    def _make(self, name: str) -> Column:
        return self._texts() if name == ANYTHING else Column.from_arrow(self._items[name])

    def _texts(self) -> Column:
        """All texts of each item in one, as ``filters.all_texts`` puts them."""
        names = [name for name, kind in self.kinds.items() if kind != "number" and name != "id"]
        rows = self._items.select(names).to_pylist()
        texts = [
            "\n".join(
                text
                for value in row.values()
                for text in (value if isinstance(value, list) else [value or ""])
            )
            for row in rows
        ]
        return Column(texts, np.arange(len(texts), dtype=np.int32))

    def mask(self, filters: Iterable[Filter]) -> BoolArray:
        """Return bool (n_items,): where all of ``filters`` hold. An unknown field holds nowhere."""
        kept = np.ones(self._items.num_rows, bool)
        for condition in filters:
            if condition.field in self.kinds or condition.field == ANYTHING:
                kept &= self._column(condition.field).mask(condition)
            elif condition.op != "lacks":
                kept[:] = False
        return kept
