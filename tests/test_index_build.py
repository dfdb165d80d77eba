"""Building in a workspace: only what is new is embedded, and a graph is changed in place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError, ModelError
from tastemaker.index.build import build_index, language_warning
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray
from tastemaker.testing.embedders import HashEmbedder


def dataset_of(**titles: str) -> Dataset:
    return Dataset.from_tables(pa.table({"id": list(titles), "title": list(titles.values())}))


@pytest.mark.parametrize("exact_limit", [100, 1])
def test_building_again_embeds_only_what_is_new(tmp_path: Path, exact_limit: int) -> None:
    folder = tmp_path / "index"
    embedder = HashEmbedder()
    stages: list[str] = []
    first = build_index(
        dataset_of(a="red", b="green", c="blue"),
        folder,
        embedder,
        exact_limit=exact_limit,
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert (first.embedded, first.reused) == (3, 0)
    assert set(stages) == {"embedding items", "indexing items"}
    changed = dataset_of(b="green", c="dark blue", d="black")
    second = build_index(changed, folder, embedder, exact_limit=exact_limit)
    assert (second.embedded, second.reused) == (2, 1)
    assert embedder.texts == 5
    loaded = ItemIndex.load(
        folder, embedder_fingerprint=embedder.fingerprint, dataset_fingerprint=changed.fingerprint
    )
    assert sorted(loaded.ids) == ["b", "c", "d"]
    ((rows, _),) = loaded.search(embedder.encode(["dark blue"]), 1)
    assert loaded.id_of(rows) == ["c"]


def test_a_graph_is_changed_and_not_rebuilt_until_much_of_it_is_dead(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    titles = {f"i{number}": f"title {number}" for number in range(12)}
    build_index(dataset_of(**titles), tmp_path / "index", embedder, exact_limit=2)

    def dead_rows_without(*gone: str) -> int:
        left = {id_: title for id_, title in titles.items() if id_ not in gone}
        report = build_index(dataset_of(**left), tmp_path / "index", embedder, exact_limit=2)
        assert set(report.index.ids) == set(left)
        return int(report.index.info()["dead_rows"])

    assert dead_rows_without("i0", "i1") == 2
    assert dead_rows_without("i0", "i1", "i2", "i3", "i4") == 0


def test_a_corrupt_index_is_rebuilt_from_kept_vectors(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    dataset = dataset_of(a="red", b="green")
    build_index(dataset, tmp_path / "index", embedder, exact_limit=1)
    (tmp_path / "index" / "index.faiss").write_bytes(b"")
    report = build_index(dataset, tmp_path / "index", embedder, exact_limit=1)
    assert (report.embedded, report.reused) == (0, 2)


def test_another_model_embeds_everything_again(tmp_path: Path) -> None:
    dataset = dataset_of(a="red", b="green")
    build_index(dataset, tmp_path / "index", HashEmbedder(), exact_limit=1)
    assert build_index(dataset, tmp_path / "index", HashEmbedder(seed=1), exact_limit=1).embedded == 2
    with pytest.raises(ArtifactError):
        ItemIndex.load(
            tmp_path / "index", embedder_fingerprint=HashEmbedder().fingerprint, dataset_fingerprint=None
        )


class Failing(HashEmbedder):
    def encode(self, texts: object) -> FloatArray:
        raise ModelError("out of memory")


def test_a_failing_model_leaves_the_old_index(tmp_path: Path) -> None:
    dataset = dataset_of(a="red")
    before = build_index(dataset, tmp_path / "index", HashEmbedder()).index
    with pytest.raises(ModelError):
        build_index(dataset_of(a="blue"), tmp_path / "index", Failing())
    after = ItemIndex.load(tmp_path / "index", embedder_fingerprint=None, dataset_fingerprint=None)
    assert after.fingerprint == before.fingerprint


def test_an_empty_catalogue_has_an_empty_index(tmp_path: Path) -> None:
    empty = Dataset.from_tables(
        pa.table({"id": pa.array([], pa.string()), "title": pa.array([], pa.string())})
    )
    assert len(build_index(empty, tmp_path / "index", HashEmbedder()).index) == 0


def test_an_english_model_warns_of_other_scripts() -> None:
    assert language_warning("all-minilm-l6-v2", ["Alien"]) is None
    assert "multilingual" in str(language_warning("all-minilm-l6-v2", ["重庆森林"]))
    assert language_warning("hf:intfloat/multilingual-e5-small", ["重庆森林"]) is None
