"""A training in the middle, on disk: safetensors and JSON, replaced as a whole.

Data order, learning rate and random numbers are functions of the step (see ``schedule`` and ``engine``), so
the step number stands for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tastemaker.artifacts import atomic_folder, read_manifest, write_json, write_manifest
from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.finetune.ranker.lora import Weights

KIND = "ranker-checkpoint"


@dataclass(slots=True, kw_only=True)
class Standing:
    """How far a training has come. ``best`` are the measures of the best evaluation, at ``best_step``."""

    step: int = 0
    tokens: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = -1
    stale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``first`` and ``second`` are Adam's moments by weight name; ``identity`` is what must not change."""

    standing: Standing
    identity: dict[str, Any]
    weights: Weights
    best: Weights
    first: Weights
    second: Weights


_TENSORS = ("weights", "best", "first", "second")


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in ``folder`` in one step."""
    with atomic_folder(folder) as staged:
        for name in _TENSORS:
            tensors: Mapping[str, Tensor] = getattr(checkpoint, name)
            save_file(dict(tensors), staged / f"{name}.safetensors")
        write_json(staged / "standing.json", asdict(checkpoint.standing))
        write_manifest(staged, KIND, {"identity": checkpoint.identity})


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read what ``save_checkpoint`` wrote.

    Raises:
        ConfigError: there is none.
        ArtifactError: it is damaged.
    """
    if not folder.is_dir() and not folder.with_name(f".{folder.name}.old").is_dir():
        raise ConfigError(
            f"{folder} holds no checkpoint; there is nothing to resume", hint="leave out --resume"
        )
    manifest = read_manifest(folder, KIND)
    try:
        standing = Standing(**json.loads((folder / "standing.json").read_text(encoding="utf-8")))
        tensors = {name: load_file(folder / f"{name}.safetensors") for name in _TENSORS}
    except (TypeError, ValueError, OSError) as error:
        raise ArtifactError(f"checkpoint {folder} is damaged: {error}") from error
    return Checkpoint(standing=standing, identity=manifest["identity"], **tensors)
