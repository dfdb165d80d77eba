"""Nothing is ever half-written, and a damaged artefact is refused by name."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tastemaker.artifacts import (
    atomic_file,
    atomic_folder,
    digest_of,
    read_manifest,
    recover_folder,
    write_json,
    write_manifest,
)
from tastemaker.errors import ArtifactError, StorageError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _fail_half_way(staged: Path) -> None:
    (staged / "two").write_text("2")
    raise ZeroDivisionError


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    write_json(target, {"x": "é"})
    assert json.loads(target.read_text(encoding="utf-8")) == {"x": "é"}
    with pytest.raises(ZeroDivisionError), atomic_file(target) as staged:
        _fail_half_way(staged.parent)
    assert json.loads(target.read_text(encoding="utf-8")) == {"x": "é"}
    assert names(target.parent) == {"a.json", "two"}
    assert target.stat().st_mode & 0o044 == 0o044


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with atomic_folder(target) as staged:
        (staged / "one").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as staged:
        _fail_half_way(staged)
    assert names(target) == {"one"}
    with atomic_folder(target) as staged:
        (staged / "two").write_text("2")
    assert names(target) == {"two"}
    assert names(tmp_path) == {"data"}


def test_a_crash_between_the_two_renames_is_undone(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with atomic_folder(target) as staged:
        (staged / "one").write_text("1")
    target.rename(tmp_path / ".data.old")
    recover_folder(target)
    assert names(target) == {"one"}


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission")]
)
def test_disk_troubles_are_named_and_leave_the_old(tmp_path: Path, number: int, says: str) -> None:
    target = tmp_path / "a.json"
    write_json(target, 1)
    with pytest.raises(StorageError, match=says) as caught, atomic_file(target):
        raise OSError(number, "no")
    assert str(target) in str(caught.value)
    assert caught.value.exit_code == 1
    assert json.loads(target.read_text()) == 1


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"12345")
    write_manifest(folder, "thing", {"made_from": "nothing"})
    return folder


def test_a_manifest_says_what_is_there(artefact: Path) -> None:
    manifest = read_manifest(artefact, "thing")
    assert manifest["made_from"] == "nothing"
    assert manifest["files"]["a.bin"]["bytes"] == 5


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "a.bin").write_bytes(b"1234"), "4 bytes; 5 are wanted"),
        (lambda f: (f / "a.bin").write_bytes(b"12346"), "sha256"),
        (lambda f: (f / "a.bin").unlink(), "missing"),
        (lambda f: (f / "manifest.json").write_text("{"), "damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "damaged"),
        (lambda f: (f / "manifest.json").unlink(), "holds no thing"),
    ],
)
def test_damage_is_refused_by_name(artefact: Path, damage: object, says: str) -> None:
    assert callable(damage)
    damage(artefact)
    with pytest.raises(ArtifactError, match=says):
        read_manifest(artefact, "thing")


def test_another_kind_is_refused(artefact: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a thing; a dataset is wanted"):
        read_manifest(artefact, "dataset")


def test_digests_do_not_depend_on_key_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
