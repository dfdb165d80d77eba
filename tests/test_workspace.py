"""Paths of a workspace, and what is said when a part is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.errors import WorkspaceError
from tastemaker.workspace import Workspace


def test_everything_lies_in_one_folder_and_naming_it_makes_nothing(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "shop")
    parts = [place.config, place.data, place.index, place.retriever, place.ranker, place.state]
    assert [part.name for part in parts] == [
        "config.yaml",
        "data",
        "index",
        "retriever",
        "ranker",
        "state.db",
    ]
    assert all(part.parent == place.root for part in parts)
    assert not place.root.exists()


def test_missing_parts_are_named_with_what_to_type(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    for ask in (place.require_data, place.require_index):
        with pytest.raises(WorkspaceError, match="has no data") as caught:
            ask()
        assert caught.value.hint is not None
        assert "tastemaker data import" in caught.value.hint
        assert caught.value.exit_code == 2
    place.data.mkdir()
    assert place.require_data() == place.data
    with pytest.raises(WorkspaceError, match=r"has no index \(tastemaker index build"):
        place.require_index()
    place.index.mkdir()
    assert place.require_index() == place.index


def test_a_swap_that_was_cut_short_is_undone_before_anything_is_missed(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    for name in ("data", "index"):
        (tmp_path / f".{name}.old").mkdir()
    assert place.require_index() == place.index
    assert place.data.is_dir()
