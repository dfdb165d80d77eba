"""The embedding model: errors, fingerprints, scripts; with real weights: meaning and batching."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tastemaker.errors import ModelError
from tastemaker.index.embeddings import (
    SentenceTransformerEmbedder,
    folder_fingerprint,
    has_non_latin,
    load_embedder,
    unit_rows,
)
from tastemaker.protocols import Embedder
from tastemaker.testing.embedders import HashEmbedder


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Amélie (2001)", "Så som i himmelen", "Łódź"], False),
        (["重庆森林", "花样年华"], True),
        (["Сталкер"], True),
        (["A long English title with one 字 in it"], False),
        (["12345 !?", ""], False),
        ([], False),
    ],
)
def test_other_scripts_are_noticed(texts: list[str], expected: bool) -> None:
    assert has_non_latin(texts) is expected


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no \.safetensors file"):
        SentenceTransformerEmbedder(tmp_path, "empty")


def test_broken_weights_are_a_model_error_that_names_the_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    embedder = SentenceTransformerEmbedder(tmp_path, "my-model")
    with pytest.raises(ModelError, match="cannot be loaded as embedding model my-model"):
        embedder.encode(["x"])


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "model.safetensors").write_bytes(b"1")
    shutil.copytree(first, tmp_path / "second")
    assert folder_fingerprint(first) == folder_fingerprint(tmp_path / "second")
    (first / "model.safetensors").write_bytes(b"2")
    assert folder_fingerprint(first) != folder_fingerprint(tmp_path / "second")


def test_vectors_without_direction_are_refused() -> None:
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(ModelError, match="zero or not finite"):
            unit_rows(np.full((2, 3), bad, np.float32), "m")


def test_the_fake_is_an_embedder_in_which_shared_words_are_near() -> None:
    embedder = HashEmbedder()
    assert isinstance(embedder, Embedder)
    cat, cats, car = embedder.encode(["the black cat", "a black cat", "red car race"])
    assert cat @ cats > cat @ car
    assert embedder.encode([]).shape == (0, 32)
    np.testing.assert_allclose(np.linalg.norm(embedder.encode(["", "...", "a b", "\ud800"]), axis=1), 1, 1e-6)


def test_importing_and_asking_for_the_dimension_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"1")
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    code = (
        "import sys; from pathlib import Path\n"
        "from tastemaker.index.embeddings import SentenceTransformerEmbedder\n"
        "import tastemaker.index.build, tastemaker.index.hybrid\n"
        f"print(SentenceTransformerEmbedder(Path({str(tmp_path)!r}), 'm').dimension, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["384", "False"]


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformerEmbedder:
    return load_embedder("all-minilm-l6-v2")


@pytest.mark.weights
def test_real_weights_know_what_is_near(minilm: SentenceTransformerEmbedder) -> None:
    space, war, romance, wish = minilm.encode(
        [
            "Alien (1979). Horror, Sci-Fi",
            "Platoon (1986). Drama, War",
            "Sleepless in Seattle (1993). Romance, Comedy",
            "a love story that makes me laugh",
        ]
    )
    assert wish @ romance > max(wish @ space, wish @ war)


@pytest.mark.weights
def test_real_vectors_are_unit_float32_and_the_batch_changes_nothing(
    minilm: SentenceTransformerEmbedder,
) -> None:
    texts = ["short", "a somewhat longer text about films " * 8, "重庆森林", "🎬", "x" * 5_000, " "]
    vectors = minilm.encode(texts)
    assert vectors.shape == (6, minilm.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.stack([minilm.encode([text])[0] for text in texts])
    # Padding changes the order of sums; in bfloat16 that shows in the third decimal.
    assert np.min(np.sum(alone * vectors, axis=1)) > 0.995
    assert minilm.encode([]).shape == (0, minilm.dimension)
