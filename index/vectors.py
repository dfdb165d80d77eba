"""FAISS behind one small class: vectors in rows, searched under a bitmap. Nothing here knows of ids."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tastemaker.artifacts import storage_errors
from tastemaker.errors import ArtifactError
from tastemaker.protocols import FloatArray

IndexKind = Literal["exact", "hnsw"]
IntArray = NDArray[np.int64]
BitArray = NDArray[np.uint8]

HNSW_NEIGHBOURS = 32
HNSW_BUILD_BREADTH = 80
HNSW_SEARCH_BREADTH = 128


class VectorRows:
    """Rows of ``dimension`` floats; only ever appended. Scores are inner products, higher is better."""

    def __init__(self, dimension: int, kind: IndexKind) -> None:
        faiss = _faiss()
        self.kind = kind
        self.dimension = dimension
        self._index: Any = faiss.IndexFlatIP(dimension)
        if kind == "hnsw":
            self._index = faiss.IndexHNSWFlat(dimension, HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
            self._index.hnsw.efConstruction = HNSW_BUILD_BREADTH

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: FloatArray) -> None:
        """Append float32 (n, dimension)."""
        self._index.add(np.ascontiguousarray(vectors, np.float32))

    def get(self, rows: IntArray) -> FloatArray:
        """Return float32 (len(rows), dimension)."""
        if not len(rows):
            return np.zeros((0, self.dimension), np.float32)
        return np.asarray(self._flat().reconstruct_batch(np.ascontiguousarray(rows)), np.float32)

    def scan(self, query: FloatArray, k: int, bits: BitArray) -> tuple[FloatArray, IntArray]:
        """Compare every row whose bit is set; ``k`` must not exceed their number.

        The selector keeps FAISS on its one-pair-at-a-time kernel, whose sums do not depend on how many
        queries come together: a batch equals its singles to the last bit.
        """
        faiss = _faiss()
        params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, rows = self._flat().search(query[None], k, params=params)
        return scores[0], rows[0]

    def walk(
        self, query: FloatArray, k: int, bits: BitArray, share: float
    ) -> tuple[FloatArray, IntArray] | None:
        """Search the graph; ``share`` (0..1] of the rows have their bit set.

        Returns:
            The nearest found, or None when the graph led to fewer than ``k`` rows that may be returned.
        """
        faiss = _faiss()
        breadth = int(max(HNSW_SEARCH_BREADTH, 2 * k) / share)
        params = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBitmap(bits), efSearch=breadth)
        scores, rows = self._index.search(query[None], k, params=params)
        return None if (rows < 0).any() else (scores[0], rows[0])

    def write(self, path: Path) -> None:
        """Write the raw FAISS file; StorageError when the disk is full."""
        # Through Python's file, so that a full disk is an OSError and not a text from C++.
        with storage_errors(path), path.open("wb") as file:
            _faiss().write_index(self._index, _faiss().PyCallbackIOWriter(file.write))

    @classmethod
    def read(cls, path: Path, dimension: int, kind: IndexKind) -> VectorRows:
        """Read what ``write`` wrote; ArtifactError when it is damaged or something else."""
        rows = cls(dimension, kind)
        try:
            index = _faiss().read_index(str(path))
        except RuntimeError as error:
            raise ArtifactError(f"{path} is no FAISS index: {' '.join(str(error).split())[-120:]}") from error
        if type(index) is not type(rows._index) or index.d != dimension:
            raise ArtifactError(
                f"{path} holds a {type(index).__name__} of {index.d} dimensions; "
                f"a {type(rows._index).__name__} of {dimension} is wanted"
            )
        rows._index = index
        return rows

    def _flat(self) -> Any:
        """The plain vectors: the index itself when exact, what the graph points into when hnsw."""
        return self._index if self.kind == "exact" else _faiss().downcast_index(self._index.storage)


def _faiss() -> Any:
    """The module, untyped: its stubs describe the C++ constructors and not what its Python layer accepts."""
    return import_module("faiss")
