"""Settings: defaults < file < environment < flags, with origins; unknown keys refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.config import resolve
from tastemaker.errors import ConfigError


def test_each_layer_wins_over_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("candidates: 30\nseed: 7\nhistory_length: 5\n")
    monkeypatch.setenv("TASTEMAKER_SEED", "8")
    monkeypatch.setenv("TASTEMAKER_HISTORY_LENGTH", "6")
    settings, origins = resolve(file, {"history_length": 9, "llm": None})
    assert (settings.candidates, settings.seed, settings.history_length) == (30, 8, 9)
    assert (origins["candidates"], origins["seed"], origins["history_length"]) == (
        "file",
        "environment",
        "flag",
    )
    assert origins["llm"] == "default"


def test_unknown_keys_and_impossible_values_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text, says in [
        ("candidats: 3\n", "candidats"),
        ("candidates: 0\n", "candidates"),
        ("scoring: loud\n", "scoring"),
        ("- a\n", "lines of 'key: value'"),
        ("a: [\n", "not YAML"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=says):
            resolve(file)
    with pytest.raises(ConfigError, match="colour"):
        resolve(None, {"colour": "red"})


def test_no_file_is_no_error(tmp_path: Path) -> None:
    settings, origins = resolve(tmp_path / "none.yaml")
    assert settings.llm == "qwen2.5-coder-0.5b-instruct"
    assert set(origins.values()) == {"default"}
