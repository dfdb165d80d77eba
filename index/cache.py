"""Vectors that were computed once, found again by content.

The key of a vector is the sha256 of the embedding model's fingerprint and the text: the same text under
another id costs nothing, and another model never gets a foreign vector. Shards are written as embedding
goes on, so an interrupted build of a large catalogue resumes where it stopped. The cache lies outside
the index folder: a damaged or deleted index is rebuilt without the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tastemaker.artifacts import atomic_file, sha256_of
from tastemaker.protocols import Embedder, FloatArray, ProgressCallback

SHARD_ROWS = 4_096
"""Texts embedded between two writes: half a minute of work at 150 texts/s."""

_KEY_BYTES = 32


def text_key(fingerprint: str, text: str) -> bytes:
    """sha256 of model fingerprint and text (32 bytes)."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()


class EmbeddingCache:
    """A folder of shards, each one ``.npy`` of (key, vector) records named by its checksum.

    Shards are memory-mapped: a million vectors of 384 floats cost 1.5 GB of disk and no memory until
    used. A shard that is damaged or belongs to another dimension is ignored, and its texts are embedded
    again.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._record = np.dtype([("key", "u1", (_KEY_BYTES,)), ("vector", "<f4", (dimension,))])
        self._shards: list[NDArray[np.void]] = []
        self._where: dict[bytes, tuple[int, int]] = {}
        for path in sorted(folder.glob("*.npy")):
            self._open(path)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: bytes) -> bool:
        return key in self._where

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Return float32 (len(keys), dimension); KeyError for a key that is not held."""
        out = np.empty((len(keys), self._record["vector"].shape[0]), np.float32)
        for row, key in enumerate(keys):
            shard, position = self._where[key]
            out[row] = self._shards[shard]["vector"][position]
        return out

    def add(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Write one shard; StorageError when the disk is full."""
        records = np.empty(len(keys), self._record)
        records["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _KEY_BYTES)
        records["vector"] = vectors
        staged = self._folder / "shard.npy"
        with atomic_file(staged) as path, path.open("wb") as file:
            np.save(file, records, allow_pickle=False)
        shard = self._folder / f"{sha256_of(staged)[:16]}.npy"
        staged.replace(shard)
        self._open(shard)

    def keep(self, keys: Iterable[bytes]) -> None:
        """Drop vectors of other keys once they are the larger part of the disk space."""
        wanted = [key for key in dict.fromkeys(keys) if key in self._where]
        if 2 * len(wanted) >= sum(map(len, self._shards)):
            return
        old = set(self._folder.glob("*.npy"))
        fresh = EmbeddingCache(self._folder / "fresh", self._record["vector"].shape[0])
        for start in range(0, len(wanted), SHARD_ROWS):
            part = wanted[start : start + SHARD_ROWS]
            fresh.add(part, self.get(part))
        self._shards, self._where = [], {}
        for path in sorted((self._folder / "fresh").glob("*.npy")):
            kept = path.replace(self._folder / path.name)
            old.discard(kept)
            self._open(kept)
        for path in old:
            path.unlink()
        if wanted:
            (self._folder / "fresh").rmdir()

    def _open(self, path: Path) -> None:
        if not sha256_of(path).startswith(path.stem):
            return
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError):
            return
        if shard.dtype != self._record or shard.ndim != 1:
            return
        number = len(self._shards)
        self._shards.append(shard)
        keys = np.ascontiguousarray(shard["key"]).tobytes()
        for row in range(len(shard)):
            self._where[keys[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]] = (number, row)


def embed_missing(
    texts: Sequence[str], embedder: Embedder, cache: EmbeddingCache, progress: ProgressCallback | None = None
) -> int:
    """Embed every text that ``cache`` lacks, each distinct text once; return how many were embedded."""
    fresh: dict[bytes, str] = {}
    for text in texts:
        key = text_key(embedder.fingerprint, text)
        if key not in cache:
            fresh[key] = text
    # By length over the whole catalogue: a batch of equal lengths has no padding.
    order = sorted(fresh, key=lambda key: len(fresh[key]))
    for start in range(0, len(order), SHARD_ROWS):
        keys = order[start : start + SHARD_ROWS]
        cache.add(keys, embedder.encode([fresh[key] for key in keys]))
        if progress is not None:
            progress("embedding items", start + len(keys), len(order))
    return len(order)
