"""What of the built-in sources lies ready on this machine.

A source that is ready is one folder ``HOME/sources/NAME`` with a manifest. Looking at it on every start
must cost milliseconds, so large files are hashed when they are put in place, when they changed since,
and on request; a flipped bit inside an untouched large file is found by ``verify`` only.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tastemaker.artifacts import MANIFEST, check_file, read_manifest
from tastemaker.errors import ArtifactError
from tastemaker.home import home
from tastemaker.weights.sources import MIB, Source

KIND = "source"
ALWAYS_HASHED = MIB
"""Files up to this many bytes are hashed on every look; it takes a millisecond."""
CLOCK_SLACK = 2.0
"""Seconds; the coarsest time stamp of a common file system (FAT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """``problem`` says in words what is wrong with a damaged source; ``bytes`` is what it takes on disk."""

    path: Path
    status: Literal["complete", "missing", "damaged"]
    bytes: int = 0
    problem: str | None = None


def folder_of(source: Source) -> Path:
    return home() / "sources" / source.name


def inspect(source: Source, *, verify: bool = False) -> CacheState:
    """Say whether ``source`` is ready. ``verify`` hashes every byte (about a second per GiB).

    Never touches the network and never raises for a damaged folder.
    """
    folder = folder_of(source)
    try:
        manifest = read_manifest(folder, KIND, check_files=verify)
        _check_origin(manifest, source, folder)
        if not verify:
            _check_quickly(folder, manifest["files"])
    except PermissionError:
        return CacheState(path=folder, status="damaged", problem=f"no permission to read {folder}")
    except (ArtifactError, KeyError, TypeError, AttributeError) as error:
        if not folder.exists():
            return CacheState(path=folder, status="missing")
        return CacheState(path=folder, status="damaged", bytes=size_of(folder), problem=str(error))
    return CacheState(path=folder, status="complete", bytes=size_of(folder))


def _check_origin(manifest: dict[str, Any], source: Source, folder: Path) -> None:
    found = manifest.get("fingerprint")
    if found != source.fingerprint:
        raise ArtifactError(f"{folder} was made from files {found}; {source.fingerprint} is wanted")


def _check_quickly(folder: Path, files: dict[str, Any]) -> None:
    placed = (folder / MANIFEST).stat().st_mtime + CLOCK_SLACK
    hashed_large = False
    for name, facts in files.items():
        path = folder / name
        check_file(path, size=facts["bytes"], sha256=None)
        small = facts["bytes"] <= ALWAYS_HASHED
        if small or path.stat().st_mtime > placed:
            check_file(path, size=None, sha256=facts["sha256"])
            hashed_large |= not small
    if hashed_large:
        # A copied cache has new time stamps. It was right, so it need not be hashed again next time.
        with suppress(OSError):
            os.utime(folder / MANIFEST)


def size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``, each counted once even when linked."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
