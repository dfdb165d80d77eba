"""The files of an adapter folder, and what identifies an adapter. No model library is imported here."""

from __future__ import annotations

from pathlib import Path

from tastemaker.artifacts import digest_of, sha256_of

ADAPTER_KIND = "lora-adapter"
"""What the manifest of a trained adapter says it is."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
HEAD_FILE = "match_head.safetensors"


def adapter_hash(folder: Path | None) -> str | None:
    """Twelve hex digits of all that an adapter computes with; None for no adapter.

    Both files count: adapters whose heads differ may share their LoRA matrices.
    """
    if folder is None:
        return None
    kept = [folder / name for name in (ADAPTER_WEIGHTS, HEAD_FILE)]
    return digest_of([sha256_of(path) for path in kept if path.is_file()])[:12]
