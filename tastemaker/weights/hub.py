"""Models of a hub: ``hf:org/name[@revision]``, kept in the hub library's own cache.

Only data files are taken: safetensors, JSON and text. A model that offers pickled weights alone is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tastemaker.artifacts import storage_errors
from tastemaker.errors import ConfigError, WeightsError
from tastemaker.weights.official import hub_endpoint, reachable

DATA_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja")
# Second copies of the same weights in other layouts.
IGNORED = ("original/*", "consolidated*", "onnx/*", "openvino/*")
_ID = re.compile(r"hf:(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubId:
    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hf:{self.repo}@{self.revision}"


def parse_hub_id(text: str) -> HubId:
    """Parse ``hf:org/name`` or ``hf:org/name@revision``; ConfigError for anything else."""
    found = _ID.fullmatch(text)
    if found is None or ".." in text:
        raise ConfigError(f"{text!r} is no hub id; hf:org/name or hf:org/name@revision is wanted")
    return HubId(repo=found["repo"], revision=found["revision"] or "main")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model in the hub library's cache. ``commit`` is what ``revision`` stood for when it was fetched."""

    path: Path
    commit: str
    from_cache: bool


def fetch_snapshot(wanted: HubId, *, offline: bool, on_download: Callable[[], None]) -> Snapshot:
    """Return the snapshot of ``wanted``, from the cache if it is complete there.

    A cached branch is not looked up again: name a commit, or remove it from the cache, to move on.

    Raises:
        WeightsError: it is not cached and cannot be fetched, or it holds no safetensors.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        cached = _snapshot(wanted, local_files_only=True)
        if not _missing_shards(cached.path):
            return cached
        raise LocalEntryNotFoundError("shards are missing")
    except LocalEntryNotFoundError as error:
        if offline:
            raise WeightsError(
                f"{wanted} is not in the cache, and the network is not allowed",
                hint="run it once without --offline and TASTEMAKER_OFFLINE",
            ) from error
    endpoint = hub_endpoint()
    parts = urlsplit(endpoint)
    if not reachable(f"{parts.scheme}://{parts.netloc}"):
        raise WeightsError(
            f"{wanted} is not in the cache, and {parts.netloc} cannot be reached",
            hint="set HF_ENDPOINT to a mirror, or pass a local model folder or a built-in name",
        )
    on_download()
    return _download(wanted)


def _snapshot(wanted: HubId, **options: Any) -> Snapshot:
    from huggingface_hub import snapshot_download

    path = Path(
        snapshot_download(
            wanted.repo,
            revision=wanted.revision,
            allow_patterns=list(DATA_FILES),
            ignore_patterns=list(IGNORED),
            **options,
        )
    )
    require_data_model(path, str(wanted))
    return Snapshot(path=path, commit=path.name, from_cache="local_files_only" in options)


def _download(wanted: HubId) -> Snapshot:
    from huggingface_hub import constants, errors

    try:
        with storage_errors(Path(constants.HF_HUB_CACHE)):
            return _snapshot(wanted, etag_timeout=5)
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{wanted.repo} asks you to accept its terms first",
            hint=f"accept them on {hub_endpoint()}/{wanted.repo}, then: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(f"the hub has no model {wanted.repo}, or it is private") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"{wanted.repo} has no revision {wanted.revision!r}") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{wanted} could not be fetched: {reason}", hint="run the command again"
        ) from error


def _missing_shards(folder: Path) -> set[str]:
    """Files that the index of a sharded model names and the folder lacks (an interrupted download)."""
    missing: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            return {index.name}
        missing |= {shard for shard in shards if not (folder / shard).is_file()}
    return missing


def require_data_model(folder: Path, name: str) -> None:
    """Raise WeightsError when the weights of ``folder`` are there as pickles only."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if any(path.suffix == ".safetensors" for path in files):
        return
    pickled = [path.name for path in files if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    if pickled:
        raise WeightsError(
            f"{name} holds {pickled[0]}, a pickle that could run code; safetensors are wanted",
            hint="choose a model with safetensors",
        )
    if (folder / "config.json").is_file():
        raise WeightsError(f"{name} has a config.json but no safetensors")
