"""``hf:`` ids, and what the hub library's cache holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import ConfigError, WeightsError
from tastemaker.weights import official
from tastemaker.weights.fetch import ensure
from tastemaker.weights.hub import HubId, parse_hub_id

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf:Qwen/Qwen3-4B-Instruct", "Qwen/Qwen3-4B-Instruct", "main"),
        ("hf:org/name@v1.0", "org/name", "v1.0"),
        ("hf:a_b/c.d-e@refs/pr/3", "a_b/c.d-e", "refs/pr/3"),
        (f"hf:org/name@{COMMIT}", "org/name", COMMIT),
    ],
)
def test_ids(text: str, repo: str, revision: str) -> None:
    assert parse_hub_id(text) == HubId(repo=repo, revision=revision)


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:name",
        "hf:org/",
        "hf:/name",
        "hf:a/b/c",
        "hf:a/b@",
        "hf:../x",
        "hf:a/b@../..",
        "hf:a/b\n",
        "hf:a b/c",
    ],
)
def test_ids_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="hf:org/name or hf:org/name@revision is wanted"):
        parse_hub_id(text)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        found = parse_hub_id(f"hf:{text}")
    except ConfigError:
        return
    assert text in (found.repo, f"{found.repo}@{found.revision}")
    assert found.repo.count("/") == 1
    assert ".." not in text


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub library's cache with one complete model in it; no hub in reach."""
    repo = tmp_path / "models--org--name"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(COMMIT)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"x" * 100)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    official.reachable.cache_clear()
    return snapshot


def test_a_cached_model_needs_no_hub(cache: Path) -> None:
    found = ensure("hf:org/name")
    assert (found.path, found.fingerprint, found.from_cache) == (cache, COMMIT[:16], True)
    assert ensure("hf:org/name", offline=True).path == cache
    assert ensure(f"hf:org/name@{COMMIT}").path == cache


def test_a_model_that_is_not_cached(cache: Path) -> None:
    with pytest.raises(WeightsError, match="network is not allowed"):
        ensure("hf:org/other", offline=True)
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9 cannot be reached.*HF_ENDPOINT"):
        ensure("hf:org/other")


def test_a_model_of_pickles_is_refused(cache: Path) -> None:
    (cache / "model.safetensors").unlink()
    (cache / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match="pickle"):
        ensure("hf:org/name")


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "model.safetensors", "b": "two.safetensors"}}', "{"])
def test_a_half_downloaded_model_is_not_taken(cache: Path, index: str) -> None:
    (cache / "model.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsError, match="is not in the cache"):
        ensure("hf:org/name", offline=True)
    (cache / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model.safetensors"}}')
    assert ensure("hf:org/name", offline=True).from_cache
