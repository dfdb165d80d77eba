"""Vectors are found again by content, survive an interruption, and damage costs only time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tastemaker.index.cache import SHARD_ROWS, EmbeddingCache, embed_missing, text_key
from tastemaker.protocols import FloatArray
from tastemaker.testing.embedders import HashEmbedder


def keys_of(texts: Sequence[str], embedder: HashEmbedder) -> list[bytes]:
    return [text_key(embedder.fingerprint, text) for text in texts]


def test_each_distinct_text_is_embedded_once_and_kept(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    texts = ["red lamp", "blue lamp", "red lamp"]
    assert embed_missing(texts, embedder, EmbeddingCache(tmp_path, 32)) == 2
    again = EmbeddingCache(tmp_path, 32)
    assert embed_missing([*texts, "green lamp"], embedder, again) == 1
    assert embedder.texts == 3
    np.testing.assert_array_equal(again.get(keys_of(texts, embedder)), HashEmbedder().encode(texts))


def test_another_model_or_text_never_gets_a_foreign_vector(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, 32)
    embed_missing(["lamp"], HashEmbedder(), cache)
    assert text_key(HashEmbedder(seed=1).fingerprint, "lamp") not in cache
    assert text_key(HashEmbedder().fingerprint, "Lamp") not in cache
    with pytest.raises(KeyError):
        cache.get([b"x" * 32])
    assert len(EmbeddingCache(tmp_path, 16)) == 0


class Interrupted(HashEmbedder):
    """Stops in the middle of the third batch."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        if self.calls == 2:
            raise KeyboardInterrupt
        return super().encode(texts)


def test_an_interrupted_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    texts = [f"item {number}" for number in range(2 * SHARD_ROWS + 10)]
    with pytest.raises(KeyboardInterrupt):
        embed_missing(texts, Interrupted(4), EmbeddingCache(tmp_path, 4))
    embedder = HashEmbedder(4)
    assert embed_missing(texts, embedder, EmbeddingCache(tmp_path, 4)) == 10


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "garbage"])
def test_a_damaged_shard_is_embedded_again(tmp_path: Path, damage: str) -> None:
    embedder = HashEmbedder()
    embed_missing(["red", "blue"], embedder, EmbeddingCache(tmp_path, 32))
    (shard,) = tmp_path.glob("*.npy")
    content = shard.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    shard.write_bytes({"cut": content[:-40], "flip": flipped, "empty": b"", "garbage": b"\0" * 500}[damage])
    cache = EmbeddingCache(tmp_path, 32)
    assert embed_missing(["red", "blue"], embedder, cache) == 2
    np.testing.assert_array_equal(cache.get(keys_of(["blue"], embedder)), HashEmbedder().encode(["blue"]))


def test_what_is_no_longer_wanted_is_dropped_once_it_is_the_larger_part(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    texts = [f"item {number}" for number in range(10)]
    cache = EmbeddingCache(tmp_path, 32)
    embed_missing(texts, embedder, cache)
    cache.keep(keys_of(texts[:6], embedder))
    assert len(EmbeddingCache(tmp_path, 32)) == 10
    cache.keep(keys_of(texts[:3], embedder))
    for one in (cache, EmbeddingCache(tmp_path, 32)):
        assert len(one) == 3
        np.testing.assert_array_equal(one.get(keys_of(texts[:3], embedder)), embedder.encode(texts[:3]))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_lone_surrogates_have_a_key() -> None:
    assert text_key("m", "\ud800") != text_key("m", "\ud801")
