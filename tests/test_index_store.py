"""The FAISS index against brute force, under filters, through changes, and on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError, StorageError
from tastemaker.index.cache import EmbeddingCache
from tastemaker.index.store import ItemIndex
from tastemaker.index.vectors import IndexKind, VectorRows
from tastemaker.protocols import FloatArray
from tastemaker.testing.embedders import HashEmbedder

D = 4
KINDS: tuple[IndexKind, ...] = ("exact", "hnsw")
# Eighths: inner products are exact in float32, so that ties are real ties.
grid = st.integers(-8, 8).map(lambda number: number / 8)


def vectors_index(vectors: FloatArray, kind: IndexKind = "exact", exact_limit: int = 100_000) -> ItemIndex:
    index = ItemIndex(vectors.shape[1], kind=kind, exact_limit=exact_limit)
    index.add_vectors([f"i{row}" for row in range(len(vectors))], vectors)
    return index


def brute_force(
    ids: list[str], vectors: FloatArray, query: FloatArray, allowed: list[bool], k: int
) -> list[tuple[str, float]]:
    scored = [(id_, float(v @ query)) for id_, v, ok in zip(ids, vectors, allowed, strict=True) if ok]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


@st.composite
def questions(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, list[bool], int]:
    n = draw(st.integers(1, 40))
    cells = st.lists(grid, min_size=D, max_size=D)
    vectors = np.array(draw(st.lists(cells, min_size=n, max_size=n)), np.float32)
    query = np.array([draw(cells)], np.float32)
    return vectors, query, draw(st.lists(st.booleans(), min_size=n, max_size=n)), draw(st.integers(0, 50))


@given(questions(), st.sampled_from(KINDS))
def test_search_equals_brute_force_over_the_allowed(
    question: tuple[FloatArray, FloatArray, list[bool], int], kind: IndexKind
) -> None:
    vectors, query, allowed, k = question
    index = vectors_index(vectors, kind)
    ((rows, scores),) = index.search(query, k, allowed=np.array(allowed))
    found = list(zip(index.id_of(rows), scores.tolist(), strict=True))
    assert found == brute_force(list(index.ids), vectors, query[0], allowed, k)


@settings(max_examples=50)
@given(questions())
def test_a_graph_returns_k_allowed_rows_whenever_they_exist(
    question: tuple[FloatArray, FloatArray, list[bool], int],
) -> None:
    vectors, query, allowed, k = question
    index = vectors_index(vectors, "hnsw", exact_limit=0)  # never compares one by one by choice
    ((rows, scores),) = index.search(query, k, allowed=np.array(allowed))
    assert len(rows) == min(k, sum(allowed))
    assert len(set(rows.tolist())) == len(rows)
    assert all(allowed[row] for row in rows)
    np.testing.assert_allclose(scores, vectors[rows] @ query[0])


def test_many_equal_vectors_are_cut_by_id() -> None:
    vectors = np.ones((200, D), np.float32)
    index = ItemIndex(D)
    index.add_vectors([f"i{row}" for row in reversed(range(200))], vectors)
    ((rows, _),) = index.search(vectors[:1], 3)
    assert index.id_of(rows) == ["i0", "i1", "i10"]


def test_a_walk_that_meets_too_few_allowed_rows_says_so() -> None:
    """With a breadth made for a full graph the walk ends far from the few rows that count."""
    angles = np.linspace(0, 3, 4_000)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rows = VectorRows(2, "hnsw")
    rows.add(circle)
    far = np.zeros(4_000, bool)
    far[-5:] = True
    bits = np.packbits(far, bitorder="little")
    assert rows.walk(circle[0], 5, bits, 1.0) is None
    index = vectors_index(circle, "hnsw", exact_limit=0)
    ((found, _),) = index.search(circle[:1], 5, allowed=far)
    assert sorted(found.tolist()) == list(range(3_995, 4_000))


def test_a_batch_equals_its_singles_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    vectors, queries = random.standard_normal((2, 300, 96)).astype(np.float32)
    index = vectors_index(vectors)
    together = index.search(queries[:40], 10)
    for query, (rows, scores) in zip(queries, together, strict=False):
        ((alone_rows, alone_scores),) = index.search(query[None], 10)
        assert rows.tolist() == alone_rows.tolist()
        assert scores.tolist() == alone_scores.tolist()


def test_the_kind_follows_the_size_and_is_explained() -> None:
    texts = [f"text {number}" for number in range(12)]
    ids = [str(number) for number in range(12)]
    small = ItemIndex.build(ids, texts, HashEmbedder(), exact_limit=12)
    large = ItemIndex.build(ids, texts, HashEmbedder(), exact_limit=11)
    assert (small.kind, large.kind) == ("exact", "hnsw")
    assert "12" in small.info()["why"]
    assert "graph" in large.info()["why"]


@pytest.mark.parametrize("kind", KINDS)
def test_items_change_without_a_rebuild(kind: IndexKind) -> None:
    embedder = HashEmbedder()
    limit = 0 if kind == "hnsw" else 100
    index = ItemIndex.build(["a", "b", "c"], ["red", "green", "blue"], embedder, exact_limit=limit)

    def best(text: str, k: int = 1) -> list[str]:
        ((rows, _),) = index.search(embedder.encode([text]), k)
        return index.id_of(rows)

    assert index.add(["a", "b", "d"], ["red", "yellow", "black"], embedder) == 2  # a is as it was
    assert best("yellow") == ["b"]
    assert best("black") == ["d"]
    assert index.remove(["a", "nobody"]) == 1
    assert sorted(best("red", k=10)) == ["b", "c", "d"]
    assert (len(index), index.rows, "a" in index) == (3, 5, False)
    assert index.info()["dead_rows"] == 2
    np.testing.assert_array_equal(index.vector("b"), embedder.encode(["yellow"])[0])
    assert index.row_of(["d", "a"]).tolist() == [4, -1]
    index.add(["a"], ["red"], embedder)
    assert best("red") == ["a"]


def test_changing_items_with_another_model_is_refused() -> None:
    index = ItemIndex.build(["a"], ["red"], HashEmbedder())
    with pytest.raises(ArtifactError, match="hash-16 makes other vectors"):
        index.add(["b"], ["blue"], HashEmbedder(16))


def test_the_cache_is_used(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    plain = ItemIndex.build(["a", "b"], ["red", "blue"], embedder)
    cached = ItemIndex.build(["a", "b"], ["red", "blue"], embedder, cache=EmbeddingCache(tmp_path, 32))
    assert plain.fingerprint == cached.fingerprint
    np.testing.assert_array_equal(plain.vector("b"), cached.vector("b"))


def test_the_fingerprint_follows_ids_texts_and_model() -> None:
    def print_of(ids: str, texts: str, seed: int = 0) -> str:
        return ItemIndex.build(list(ids), list(texts), HashEmbedder(seed=seed)).fingerprint

    prints = [print_of("ab", "xy"), print_of("ab", "xz"), print_of("ac", "xy"), print_of("ab", "xy", 1)]
    assert len(set(prints)) == 4
    assert print_of("ab", "xy") == prints[0]


def test_nothing_indexed_nothing_found() -> None:
    index = ItemIndex.build([], [], HashEmbedder())
    ((rows, scores),) = index.search(HashEmbedder().encode(["red"]), 5)
    assert (len(rows), len(scores)) == (0, 0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    embedder = HashEmbedder()
    index = ItemIndex.build(["a", "b", "č"], ["red", "green", "blue"], embedder)
    index.dataset_fingerprint = "data-1"
    index.remove(["b"])
    index.save(tmp_path / "index")
    return tmp_path / "index"


def load(folder: Path, **facts: Any) -> ItemIndex:
    return ItemIndex.load(
        folder,
        **{"embedder_fingerprint": HashEmbedder().fingerprint, "dataset_fingerprint": "data-1", **facts},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_loaded(tmp_path: Path, kind: IndexKind) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((50, 8)).astype(np.float32)
    index = vectors_index(vectors, kind, exact_limit=10)
    index.remove(["i3"])
    index.save(tmp_path / "index")
    again = ItemIndex.load(tmp_path / "index", embedder_fingerprint=None, dataset_fingerprint=None)
    assert again.info() == index.info()
    assert again.ids == index.ids
    for (rows, scores), (rows2, scores2) in zip(
        index.search(vectors, 7), again.search(vectors, 7), strict=True
    ):
        assert rows.tolist() == rows2.tolist()
        assert scores.tolist() == scores2.tolist()


def test_a_removed_item_stays_removed(saved: Path) -> None:
    assert load(saved).ids == ("a", "č")


def test_another_model_is_refused_by_name(saved: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"built with embedding model hash-32 .* in use is other"
    ) as caught:
        load(saved, embedder_fingerprint="other")
    assert caught.value.hint == "tastemaker index build"


def test_other_data_are_refused_by_name(saved: Path) -> None:
    with pytest.raises(ArtifactError, match=r"other data \(data-1\); the workspace holds data-2"):
        load(saved, dataset_fingerprint="data-2")


@pytest.mark.parametrize("name", ["index.faiss", "rows.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_a_damaged_file_says_what_to_do(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if damage == "cut" else b"garbage")
    with pytest.raises(ArtifactError) as caught:
        load(saved)
    assert caught.value.hint == "tastemaker index build"


@pytest.mark.parametrize("name", ["index.faiss", "rows.parquet"])
def test_a_file_that_fits_its_checksum_but_no_format_is_refused(saved: Path, name: str) -> None:
    from tastemaker.artifacts import write_manifest

    facts = json.loads((saved / "manifest.json").read_text())
    (saved / name).write_bytes(b"garbage")
    write_manifest(saved, "item-index", {k: v for k, v in facts.items() if k not in ("kind", "files")})
    with pytest.raises(ArtifactError):
        load(saved)


def test_vectors_of_another_kind_or_length_are_refused(saved: Path, tmp_path: Path) -> None:
    from tastemaker.artifacts import write_manifest

    vectors_index(np.ones((3, 8), np.float32)).save(tmp_path / "other")
    facts = json.loads((saved / "manifest.json").read_text())
    shutil.copy(tmp_path / "other" / "index.faiss", saved / "index.faiss")
    write_manifest(saved, "item-index", {k: v for k, v in facts.items() if k not in ("kind", "files")})
    with pytest.raises(ArtifactError, match="of 8 dimensions"):
        load(saved)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_leaves_the_old_index(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = load(saved)
    index.remove(["a"])
    monkeypatch.setattr("tastemaker.index.store._FAISS_FILE", "/dev/full")
    with pytest.raises(StorageError, match="disk is full"):
        index.save(saved)
    monkeypatch.undo()
    assert load(saved).ids == ("a", "č")
    assert [path.name for path in saved.parent.iterdir()] == ["index"]


def real_texts() -> list[str]:
    """One line on each package of the system's package list."""
    if shutil.which("apt-cache") is None:
        pytest.skip("apt-cache is not here: the real texts of this test are package descriptions")
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    lines = listed.splitlines()
    texts = [line.partition(": ")[2] for line in lines if line.startswith(("Description: ", "Package: "))]
    if len(texts) < 110_000:
        pytest.skip(f"the package list has {len(texts):,} short texts; 110,000 are wanted")
    return texts


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_graph_over_100_000_real_texts_finds_nearly_all_and_filters_exactly() -> None:
    embedder = HashEmbedder(64)
    texts = real_texts()[:110_000]
    index = ItemIndex.build([str(row) for row in range(len(texts))], texts, embedder)
    assert index.kind == "hnsw"
    vectors = index.vectors(np.arange(len(texts)))
    queries = embedder.encode(["web server", "games for children", "python library for dates", "音乐 player"])
    for query, (rows, scores) in zip(queries, index.search(queries, 20), strict=True):
        best = np.sort(vectors @ query)[::-1][:20]
        assert np.mean(scores >= best[-1] - 1e-6) >= 0.9
        assert len(rows) == 20
    few = np.zeros(len(texts), bool)
    few[::50] = True
    for query, (rows, scores) in zip(queries, index.search(queries, 20, allowed=few), strict=True):
        assert few[rows].all()
        np.testing.assert_allclose(scores, np.sort((vectors @ query)[few])[::-1][:20], atol=1e-6)
