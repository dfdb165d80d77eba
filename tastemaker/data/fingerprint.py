"""A hash of tables' content that does not depend on chunks, buffers' padding or the Arrow version."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.tables import type_name

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 100_000


def fingerprint_of(*tables: pa.Table | None) -> str:
    """Hex digest (32 digits) of the tables' columns, in order, with names and types."""
    digest = hashlib.sha256()
    for table in tables:
        if table is None:
            digest.update(b"no table\n")
            continue
        digest.update(f"table of {table.num_rows} rows\n".encode())
        for name in table.column_names:
            column = table[name]
            digest.update(f"{name}: {type_name(column.type)}\n".encode())
            for start in range(0, table.num_rows, _BLOCK):
                block = column.slice(start, _BLOCK).combine_chunks()
                _update(digest, block)
    return digest.hexdigest()[:32]


def _update(digest: _Hash, array: pa.Array) -> None:
    digest.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        digest.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        _update(digest, pc.list_flatten(array))
    elif pa.types.is_string(array.type):
        filled = pc.fill_null(array, "")
        digest.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        digest.update("".join(filled.to_pylist()).encode("utf-8", "surrogatepass"))
    else:
        filled = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(filled, filled.dtype.newbyteorder("<")).tobytes())
