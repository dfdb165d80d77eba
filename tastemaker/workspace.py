"""A workspace: one folder that holds everything of one recommender.

::

    WORKSPACE/
    ├── config.yaml    settings that differ from the defaults
    ├── data/          items, interactions, users as Parquet, with a manifest
    ├── index/         FAISS index, embeddings, with a manifest
    ├── retriever/     what retrievers learned (user encoder, fitted hybrid weights)
    ├── ranker/        LoRA adapter and fusion weights
    └── state.db       sessions and feedback

Each part is written beside and swapped in whole (``tastemaker.artifacts``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tastemaker.artifacts import recover_folder
from tastemaker.errors import WorkspaceError


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of a workspace. Making the value touches nothing on disk."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def retriever(self) -> Path:
        return self.root / "retriever"

    @property
    def sequential(self) -> Path:
        """The user encoder that ``tastemaker train retriever`` writes."""
        return self.retriever / "sequential"

    @property
    def ranker(self) -> Path:
        return self.root / "ranker"

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    def require_data(self) -> Path:
        """The data folder; WorkspaceError when the workspace has none."""
        recover_folder(self.data)
        if not self.data.is_dir():
            raise WorkspaceError(
                f"{self.root} is no workspace: it has no data",
                hint=f"tastemaker data import --interactions FILE --items FILE --workspace {self.root}",
            )
        return self.data

    def require_index(self) -> Path:
        """The index folder; WorkspaceError when it was not built."""
        self.require_data()
        recover_folder(self.index)
        if not self.index.is_dir():
            raise WorkspaceError(
                f"{self.root} has no index", hint=f"tastemaker index build --workspace {self.root}"
            )
        return self.index
