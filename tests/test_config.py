"""Settings: defaults < file < environment < flags, with origins; unknown keys refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tastemaker.config import Settings, resolve
from tastemaker.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.removeprefix("TASTEMAKER_").lower() in Settings.model_fields:
            monkeypatch.delenv(name)


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


def test_a_mistake_is_blamed_on_the_layer_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("candidates: 0\n")
    with pytest.raises(ConfigError, match=r"'candidates' is 0 \(in .*config\.yaml\)"):
        resolve(file)
    file.write_text("colour: red\n")
    with pytest.raises(
        ConfigError, match=r"unknown setting 'colour' \(in .*config\.yaml\); known are adapter,"
    ):
        resolve(file)
    file.write_text("candidates: 3\n")
    with pytest.raises(ConfigError, match=r"unknown setting 'colour' \(in a flag\)"):
        resolve(file, {"colour": "red"})
    monkeypatch.setenv("TASTEMAKER_CANDIDATES", "many")
    with pytest.raises(ConfigError, match=r"'candidates' is 'many' \(in the environment\)"):
        resolve(file)
    file.write_text("1: 2\n")
    with pytest.raises(ConfigError, match="unknown setting 1"):
        resolve(file)


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("adapter: /some/where\n")
    monkeypatch.setenv("TASTEMAKER_ADAPTER", "")
    settings, origins = resolve(file)
    assert settings.adapter == Path("/some/where")
    assert origins["adapter"] == "file"


def test_names_of_variables_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("tastemaker_seed", "5")
    settings, origins = resolve()
    assert settings.seed == 5
    assert origins["seed"] == "environment"


def test_variables_of_other_purposes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", "/elsewhere")
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "1")
    assert set(resolve()[1].values()) == {"default"}


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xef\xbb\xbfseed: 0\n"])
def test_empty_files_and_byte_order_marks(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    assert resolve(file)[0] == Settings()


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"llm: \xff\xfe\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve(file)


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("llm: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve(file)


def test_settings_are_frozen_and_written_as_plain_values() -> None:
    settings, _ = resolve(None, {"adapter": "a/b", "llm": "none"})
    with pytest.raises(ValueError, match="frozen"):
        settings.llm = "other"  # type: ignore[misc]
    assert settings.as_dict()["adapter"] == "a/b"
    assert resolve(None, settings.as_dict())[0] == settings
