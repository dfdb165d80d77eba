"""The embedding model: texts to unit vectors, by sentence-transformers. torch is imported on first use."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastemaker.artifacts import digest_of, sha256_of
from tastemaker.errors import ModelError
from tastemaker.protocols import FloatArray, ProgressCallback
from tastemaker.quiet import quiet_quantiser

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH_SIZE = 64
ENGLISH_ONLY = frozenset({"all-minilm-l6-v2"})
"""Built-in models that give noise for text in other scripts than the Latin one."""

_MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model")


class SentenceTransformerEmbedder:
    """An ``Embedder`` over a sentence-transformers folder. Loads on the first ``encode``.

    Computes in bfloat16 only where the processor multiplies it natively (elsewhere that is six times
    slower), else in float32. The fingerprint names the model's files, not the arithmetic: the cosine
    between both roundings of one text is at least .997, so an index may move between machines.
    """

    def __init__(self, path: Path, name: str, fingerprint: str | None = None) -> None:
        """``fingerprint`` None computes it from the files (one read of the weights)."""
        self._path = path
        self._name = name
        self._fingerprint = fingerprint if fingerprint is not None else folder_fingerprint(path)
        self._model: SentenceTransformer | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        # The files say it in the usual case, so that asking does not load torch.
        size = _declared_dimension(self._path) if self._model is None else None
        if size is None:
            size = self._loaded().get_embedding_dimension()
        if size is None:
            raise ModelError(f"embedding model {self._name} does not say how long its vectors are")
        return int(size)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return float32 (len(texts), dimension), unit rows, in the order of ``texts``.

        Texts longer than the model reads are cut by its tokenizer. Batches are formed by length
        (by sentence-transformers), so that little is padded.

        Raises:
            ModelError: the model cannot be loaded or fails.
        """
        model = self._loaded()
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        try:
            raw = model.encode(
                list(texts), batch_size=BATCH_SIZE, convert_to_numpy=True, show_progress_bar=False
            )
        except Exception as error:  # tokenizer, torch and pooling each raise their own
            raise ModelError(f"embedding model {self._name} failed on {len(texts)} texts: {error}") from error
        return unit_rows(np.asarray(raw, np.float32), self._name)

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            self._model = _load(self._path, self._name)
        return self._model


def load_embedder(source: str, *, progress: ProgressCallback | None = None) -> SentenceTransformerEmbedder:
    """Return the embedder behind a source: a built-in name, ``hf:org/name[@revision]`` or a model folder.

    Raises:
        WeightsError: the files are missing and cannot be fetched.
        ModelError: the folder holds no model.
    """
    from tastemaker.weights.fetch import ensure

    found = ensure(source, progress=progress)
    return SentenceTransformerEmbedder(found.path, found.name, found.fingerprint)


def folder_fingerprint(path: Path) -> str:
    """16 hex characters over the names and contents of a model folder's files."""
    files = sorted(file for file in path.rglob("*") if file.suffix in _MODEL_SUFFIXES and file.is_file())
    if not any(file.suffix == ".safetensors" for file in files):
        raise ModelError(f"{path} holds no embedding model: no .safetensors file is in it")
    return digest_of({file.relative_to(path).as_posix(): sha256_of(file) for file in files})


def unit_rows(rows: FloatArray, name: str) -> FloatArray:
    """Scale rows to length 1; ModelError when a row is zero or not finite."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise ModelError(f"embedding model {name} gave a vector that is zero or not finite")
    return np.ascontiguousarray(rows / norms, np.float32)


def has_non_latin(texts: Iterable[str], *, share: float = 0.1) -> bool:
    """True when more than ``share`` of the letters are of another script than the Latin one.

    For the warning that an English-only model cannot read such a catalogue or wish.
    """
    letters = other = 0
    for text in texts:
        for character in text:
            if character.isalpha():
                letters += 1
                other += not (character.isascii() or unicodedata.name(character, "").startswith("LATIN"))
    return letters > 0 and other > share * letters


def _declared_dimension(path: Path) -> int | None:
    """Vector length of a transformer with one pooling module, from its files; None for other designs."""
    try:
        modules = json.loads((path / "modules.json").read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            return None
        pooling = json.loads((path / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
        modes = [mode for mode, on in pooling.items() if mode.startswith("pooling_mode") and on is True]
        return int(pooling["word_embedding_dimension"]) if len(modes) == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _load(path: Path, name: str) -> SentenceTransformer:
    try:
        with quiet_quantiser():
            from sentence_transformers import SentenceTransformer

        with _no_bars():
            return SentenceTransformer(
                str(path), local_files_only=True, trust_remote_code=False, model_kwargs={"dtype": _dtype()}
            )
    except Exception as error:  # json, safetensors, tokenizers and torch each raise their own
        raise ModelError(f"{path} cannot be loaded as embedding model {name}: {error}") from error


def _dtype() -> Any:
    import torch

    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing its own bar while weights load."""
    logging: Any = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
