"""Which adapter ranks, and on which base model: one that the workspace trained, or a shipped one.

The model that words explanations and the model that ranks need not be the same: an adapter names its base.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tastemaker.artifacts import MANIFEST, read_manifest
from tastemaker.config import Settings
from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.files import ADAPTER_KIND
from tastemaker.fusion import Fusion
from tastemaker.workspace import Workspace

SHIPPED = ("films",)
"""Adapters that come with the package, by the domain that they were trained for."""

TRAINED_SETTINGS = ("candidates", "history_length", "prompt_tokens", "title_tokens", "quantization")
"""What an adapter learned to read, and from what weights; it ranks worse from anything else."""


def ranking_settings(settings: Settings, workspace: Workspace | None = None) -> Settings:
    """The settings of the model that ranks: base model, adapter and scoring form of the chosen ranker.

    ``settings`` themselves when no ranker is chosen: then ``llm`` ranks as it is.

    Raises:
        ConfigError: ``ranker`` names nothing that is there.
        ArtifactError: the adapter is damaged.
    """
    folder = _chosen(settings, workspace)
    if folder is None:
        return settings
    manifest = read_manifest(folder, ADAPTER_KIND)
    return settings.model_copy(
        update={
            "llm": manifest["base"],
            "adapter": folder,
            "scoring": manifest["scoring"],
            **_trained_with(settings, manifest),
        }
    )


def adapters_fusion(folder: Path | None) -> Fusion | None:
    """The weights that an adapter's own evaluation fitted, beside the hybrid it was trained with."""
    if folder is None or not (folder / MANIFEST).is_file():
        return None
    metrics = read_manifest(folder, ADAPTER_KIND).get("metrics") or {}
    try:
        return Fusion(retrieval=metrics["retrieval_weight"], llm=metrics["llm_weight"])
    except KeyError:
        return None


def data_name(workspace: Workspace) -> str:
    """What adapters call a workspace's own data."""
    return f"the data of workspace {workspace.root.name}"


def require_unseen(settings: Settings, name: str, dataset: str, training_part: str) -> None:
    """Refuse to measure an adapter beside a training part that does not hold all that it was trained on.

    An adapter of other data has seen nothing. Data are the same by name, or by content under any name.

    Args:
        name: of the data as ``train ranker`` writes it unless told another.
        dataset: fingerprint of all the data.
        training_part: fingerprint of the training part, without the items that nobody has had in it.

    Raises:
        ConfigError: the adapter may have learned from events that are asked for.
    """
    if settings.adapter is None or not (settings.adapter / MANIFEST).is_file():
        return
    data = read_manifest(settings.adapter, ADAPTER_KIND).get("data") or {}
    same = data.get("name") == name or data.get("whole") == dataset
    if same and training_part not in data.get("parts", [data.get("fingerprint")]):
        raise ConfigError(
            f"the adapter {settings.adapter} was trained on another part of {name} (protocol "
            f"{data.get('protocol')!r}, {data.get('fingerprint')}); this training part is {training_part}",
            hint="evaluate it on its own protocol, or --set ranker=none",
        )


def _trained_with(settings: Settings, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the adapter was trained with, where nothing else was asked for.

    A setting that was asked for at its default cannot be told from one that was not asked for.
    """
    plain, trained = Settings.model_fields, manifest.get("settings", {})
    return {
        name: trained[name]
        for name in TRAINED_SETTINGS
        if name in trained and getattr(settings, name) == plain[name].default
    }


def _chosen(settings: Settings, workspace: Workspace | None) -> Path | None:
    if settings.llm == "none" or settings.ranker == "none":
        return None
    if settings.ranker == "auto":
        return _automatic(settings, workspace)
    folder = shipped(settings.ranker) if settings.ranker in SHIPPED else Path(settings.ranker)
    if not (folder / MANIFEST).is_file():
        raise ConfigError(
            f"ranker is {settings.ranker!r}, and there is no adapter with a {MANIFEST}",
            hint=f"give a folder of tastemaker train ranker, auto, none, or one of {', '.join(SHIPPED)}",
        )
    return folder


def _automatic(settings: Settings, workspace: Workspace | None) -> Path | None:
    """The workspace's own adapter, else its domain's shipped one, unless another model was asked for."""
    plain = Settings.model_fields
    untouched = all(getattr(settings, name) == plain[name].default for name in ("llm", "adapter", "scoring"))
    if not untouched:
        return None
    own = workspace.ranker / "adapter" if workspace is not None else None
    if own is not None and (own / MANIFEST).is_file():
        return own
    folder = shipped(settings.domain)
    return folder if settings.domain in SHIPPED and (folder / MANIFEST).is_file() else None


def shipped(name: str) -> Path:
    """Folder of a shipped adapter."""
    return Path(str(files("tastemaker.finetune") / "adapters" / name))
