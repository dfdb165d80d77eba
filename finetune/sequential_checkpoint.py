"""Where a training run stands, on disk: tensors as safetensors, all else as JSON, swapped in whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tastemaker.artifacts import atomic_folder, read_manifest, write_manifest
from tastemaker.errors import ArtifactError

KIND = "sequential-checkpoint"
_TENSORS = "state.safetensors"
_RESTART = "start anew without --resume"


class Checkpoint:
    """The state of one run in ``folder``. ``made_for`` (JSON values) names its data and settings."""

    def __init__(self, folder: Path, made_for: Mapping[str, Any]) -> None:
        self._folder = folder
        self._made_for = dict(made_for)

    def save(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Replace what is there; StorageError when the disk is full."""
        with atomic_folder(self._folder) as staged:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, staged / _TENSORS)
            write_manifest(staged, KIND, {"made_for": self._made_for, "progress": dict(progress)})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and progress as saved, or None when there is no checkpoint.

        Raises:
            ArtifactError: it is damaged or of another run; the message names what differs.
        """
        if not self._folder.exists():
            return None
        try:
            manifest = read_manifest(self._folder, KIND)
            self._check(manifest["made_for"])
            return load_file(self._folder / _TENSORS), dict(manifest["progress"])
        except ArtifactError as error:
            raise ArtifactError(error.message, hint=_RESTART) from error
        except (KeyError, SafetensorError) as error:
            raise ArtifactError(f"{self._folder} is damaged: {error}", hint=_RESTART) from error

    def discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check(self, found: Mapping[str, Any]) -> None:
        for name, wanted in self._made_for.items():
            if found.get(name) != wanted:
                raise ArtifactError(
                    f"{self._folder} was begun with {name} {found.get(name)}; this run has {wanted}"
                )
