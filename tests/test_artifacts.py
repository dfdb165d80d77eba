"""Nothing is ever half-written, and a damaged artefact is refused by name."""

from __future__ import annotations

import errno
import json
import os
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
        (lambda f: (f / "manifest.json").write_text('{"kind": "thing"}'), "damaged"),
        (lambda f: (f / "manifest.json").write_text('{"kind": "thing", "files": {"a.bin": 5}}'), "damaged"),
        (lambda f: (f / "manifest.json").write_text('{"kind": "thing", "files": ["a.bin"]}'), "damaged"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "damaged"),
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


def test_files_are_not_read_where_the_caller_does_not_want_it(artefact: Path) -> None:
    (artefact / "a.bin").unlink()
    assert read_manifest(artefact, "thing", check_files=False)["kind"] == "thing"


def folder_of(target: Path, name: str) -> None:
    with atomic_folder(target) as staged:
        (staged / name).write_text(name)


class Killed(BaseException):
    """The process ends here: nothing behind it runs but what a dead process cannot skip."""


def test_a_process_killed_between_the_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "thing"
    with atomic_folder(target) as staged:
        (staged / "one").write_text("1")
        write_manifest(staged, "thing", {})
    rename, calls = Path.rename, []

    def dies_at_the_second(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise Killed
        return rename(self, other)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies_at_the_second)
        with pytest.raises(Killed):
            folder_of(target, "two")
    assert not target.exists()
    # Readers recover; so do writers.
    assert set(read_manifest(target, "thing")["files"]) == {"one"}
    target.rename(tmp_path / ".thing.old")
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as staged:
        _fail_half_way(staged)
    assert names(target) == {"one", "manifest.json"}


def test_a_rename_that_fails_puts_the_old_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "thing"
    folder_of(target, "one")
    rename = Path.rename

    def full(self: Path, other: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.ENOSPC, "no space left")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StorageError, match="disk is full"):
        folder_of(target, "two")
    assert names(target) == {"one"}
    assert names(tmp_path) == {"thing"}


def test_a_process_killed_before_the_old_is_cleared_away(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    folder_of(target, "new")
    folder_of(tmp_path / ".thing.old", "old")
    recover_folder(target)
    assert names(target) == {"new"}
    folder_of(target, "newer")
    assert names(target) == {"newer"}
    assert names(tmp_path) == {"thing"}


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "no per")],
)
def test_disk_troubles_leave_an_old_folder_whole(tmp_path: Path, number: int, says: str) -> None:
    target = tmp_path / "thing"
    folder_of(target, "one")

    def fill(staged: Path) -> None:
        (staged / "two").write_text("half")
        raise OSError(number, "no")

    with pytest.raises(StorageError, match=says), atomic_folder(target) as staged:
        fill(staged)
    assert (target / "one").read_text() == "one"
    assert names(tmp_path) == {"thing"}


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "a.json", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(StorageError, match="cannot write"):
            write_json(place, 1)
    with pytest.raises(StorageError, match="cannot write"), atomic_folder(tmp_path / "file" / "deep"):
        pass
    assert names(tmp_path) == {"file", "folder"}


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a"):
        (tmp_path / "missing").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="no permission"):
        write_json(tmp_path / "a.json", 1)
    tmp_path.chmod(0o700)
