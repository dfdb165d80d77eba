"""Files that must never be half-written: atomic replacement, content hashes, manifests.

An artefact is a folder with a ``manifest.json`` that says what it is, what it was made from and the
sha256 of every file. Readers check it and refuse a mismatch by name. This module knows nothing of what
the artefacts mean.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tastemaker.errors import ArtifactError, StorageError

MANIFEST = "manifest.json"


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Hex digest (16 characters) of a JSON-serialisable value, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turn a full, read-only, forbidden or impossible place into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing_parent(target)).free // 2**20
            raise StorageError(
                f"the disk is full while writing {target} ({free} MiB free)",
                hint="free some space and run the command again; nothing was changed",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(f"no permission to write {target}", hint="choose another folder") from error
        if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise StorageError(f"cannot write {target}: {error.strerror}") from error
        raise


def _existing_parent(path: Path) -> Path:
    for parent in (path, *path.parents):
        if parent.exists():
            return parent
    return Path("/")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; on success it replaces ``target`` in one step."""
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        staged = Path(name)
        staged.chmod(0o644)  # mkstemp's 0600 would shut others out of a shared cache
        try:
            yield staged
            _sync(staged)
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    with atomic_file(target) as staged:
        staged.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; on success it takes the place of ``target`` whole.

    Two renames are needed. A crash between them leaves the old folder under ``.NAME.old``;
    ``recover_folder`` (called here and by every reader) puts it back.
    """
    recover_folder(target)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        staged.chmod(0o755)
        try:
            yield staged
            for path in staged.rglob("*"):
                if path.is_file():
                    _sync(path)
            _swap(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _swap(staged: Path, target: Path) -> None:
    old = _old(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        recover_folder(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Undo a swap that was cut short between its two renames."""
    old = _old(target)
    if old.exists() and not target.exists():
        # Another reader may have put it back in this very moment.
        with suppress(FileNotFoundError):
            old.rename(target)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_manifest(folder: Path, kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json`` with ``kind``, ``facts`` and the size and sha256 of every other file."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {"kind": kind, **facts, "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path, kind: str, *, check_files: bool = True) -> dict[str, Any]:
    """Read and check the manifest of ``folder``.

    Raises:
        ArtifactError: there is none, it is no JSON, it is of another kind, or (with ``check_files``)
            a listed file is missing or has another size or checksum.
    """
    recover_folder(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no {kind}: {MANIFEST} is missing")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["kind"]
        files = [(name, facts["bytes"], facts["sha256"]) for name, facts in manifest["files"].items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if found != kind:
        raise ArtifactError(f"{folder} holds a {found}; a {kind} is wanted")
    if check_files:
        for name, size, sha256 in files:
            check_file(folder / name, size=size, sha256=sha256)
    return dict(manifest)


def check_file(path: Path, *, size: int | None, sha256: str | None) -> None:
    """Raise ArtifactError unless ``path`` exists and has the given size and sha256 (None: not checked)."""
    if not path.is_file():
        raise ArtifactError(f"{path} is missing")
    if size is not None and path.stat().st_size != size:
        raise ArtifactError(f"{path} has {path.stat().st_size:,} bytes; {size:,} are wanted")
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        raise ArtifactError(f"{path} has sha256 {found[:12]}…; {sha256[:12]}… is wanted")
