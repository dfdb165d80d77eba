"""The demo's workspace: MovieLens-100K, fetched, cleaned and indexed once."""

from __future__ import annotations

from pathlib import Path

import yaml

from tastemaker.artifacts import atomic_file
from tastemaker.config import Settings, resolve
from tastemaker.data.dataset import Dataset
from tastemaker.data.readers import ReadResult, read
from tastemaker.home import home
from tastemaker.index.build import build_index
from tastemaker.protocols import ProgressCallback
from tastemaker.weights.fetch import ensure
from tastemaker.workspace import Workspace

DEMO_CONFIG = {"domain": "films"}


def demo_workspace() -> Path:
    return home() / "workspaces" / "demo"


def read_demo_data(progress: ProgressCallback | None = None) -> ReadResult:
    """MovieLens-100K from the cache or the places that ``tastemaker.weights`` knows."""
    folder = ensure("ml-100k", progress=progress).path
    return read(folder / "ml-100k.inter", folder / "ml-100k.item", folder / "ml-100k.user")


def prepare_demo(folder: Path | None = None, progress: ProgressCallback | None = None) -> Path:
    """Return the demo's workspace, making what is missing. A second call touches neither net nor disk."""
    workspace = Workspace(folder or demo_workspace())
    if not workspace.config.is_file():
        with atomic_file(workspace.config) as staged:
            staged.write_text(yaml.safe_dump(DEMO_CONFIG), encoding="utf-8")
    if not workspace.data.is_dir():
        read_demo_data(progress).dataset.save(workspace.data)
    if not workspace.index.is_dir():
        settings, _ = resolve(workspace.config)
        build_demo_index(workspace, settings, progress)
    return workspace.root


def build_demo_index(workspace: Workspace, settings: Settings, progress: ProgressCallback | None) -> None:
    build_index(Dataset.load(workspace.data), workspace.index, settings.embedder, progress=progress)
