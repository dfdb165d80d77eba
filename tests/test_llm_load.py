"""Settings decide which implementation is loaded; the weights come through tastemaker.weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.llm_load import load_language_model
from tastemaker.config import Settings
from tastemaker.errors import ConfigError, ModelError
from tastemaker.testing.language_models import tiny_adapter_folder, tiny_model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny") / "my-model")


def test_a_folder_is_loaded_with_its_adapter(folder: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter_folder(tmp_path / "tuned", folder)
    model = load_language_model(Settings(llm=str(folder), adapter=adapter))
    assert isinstance(model, TransformersLM)
    assert "my-model" in model.name
    assert model.adapter is not None
    assert model.adapter.startswith("tuned@")


def test_no_model_is_no_model() -> None:
    with pytest.raises(ConfigError, match="llm is 'none'"):
        load_language_model(Settings(llm="none"))


def test_a_url_is_a_server() -> None:
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/v1/models cannot be reached"):
        load_language_model(Settings(llm="http://127.0.0.1:9"))


@pytest.mark.parametrize("options", [{"adapter": Path("a")}, {"quantization": "nf4"}])
def test_a_server_loads_its_own_weights(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="loads its own weights"):
        load_language_model(Settings(llm="http://127.0.0.1:9", **options))


@pytest.mark.parametrize(
    "code",
    [
        "import tastemaker.agent.llm_files",
        "from tastemaker.index import embeddings; embeddings.load_embedder('all-minilm-l6-v2').encode(['a'])",
    ],
    ids=["language model", "embedding model"],
)
def test_loading_the_libraries_says_nothing(code: str) -> None:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
