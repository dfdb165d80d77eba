"""A deterministic embedder without a model: texts that share words are near."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from tastemaker.protocols import FloatArray

_WORD = re.compile(r"\w+")


class HashEmbedder:
    """Bag of hashed words: each word adds one fixed random direction, the sum is scaled to length 1.

    ``calls`` and ``texts`` count what was asked, for tests of caches and batching.
    """

    def __init__(self, dimension: int = 32, *, seed: int = 0) -> None:
        self.name = f"hash-{dimension}"
        self.fingerprint = f"hash-{dimension}-{seed}"
        self.dimension = dimension
        self.calls = 0
        self.texts = 0
        self._seed = seed
        self._words: dict[str, FloatArray] = {}

    def encode(self, texts: Sequence[str]) -> FloatArray:
        self.calls += 1
        self.texts += len(texts)
        rows = [self._embed(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    def _embed(self, text: str) -> FloatArray:
        # A text without words still needs a direction.
        words = _WORD.findall(text.casefold()) or ["", text]
        total = sum((self._direction(word) for word in words), np.zeros(self.dimension, np.float32))
        norm = float(np.linalg.norm(total))
        return (total / norm).astype(np.float32) if norm else self._direction("")

    def _direction(self, word: str) -> FloatArray:
        if word not in self._words:
            digest = hashlib.sha256(f"{self._seed}\0{word}".encode("utf-8", "surrogatepass")).digest()
            random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            vector = random.standard_normal(self.dimension)
            self._words[word] = (vector / np.linalg.norm(vector)).astype(np.float32)
        return self._words[word]
