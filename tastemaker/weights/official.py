"""Files from the place where they are published: a model hub or the web site of a data set.

The place gets a few seconds to answer; a place that did not answer is not asked again by this process.
What it sends counts only if size and sha256 are the pinned ones.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tastemaker.artifacts import atomic_file, check_file, storage_errors
from tastemaker.errors import ArtifactError
from tastemaker.weights.movielens import atomic_files_of_archive
from tastemaker.weights.sources import MIB, ML_100K_ARCHIVE, PinnedFile

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 15.0
ARCHIVE_LIMIT = 64 * MIB
Tick = Callable[[int], None]


def hub_endpoint() -> str:
    """The model hub, or the mirror that ``HF_ENDPOINT`` names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def url_of(place: str) -> str:
    """The URL of a ``PinnedFile.place``."""
    if not place.startswith("hub:"):
        return place
    org, name, file = place.removeprefix("hub:").split("/", 2)
    return f"{hub_endpoint()}/{org}/{name}/resolve/main/{file}"


@lru_cache(maxsize=32)
def reachable(origin: str) -> bool:
    """True when ``scheme://host`` answers at all within a few seconds. Asked once per process."""
    try:
        httpx.head(origin, timeout=CONNECT_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def fetch_official(files: Sequence[PinnedFile], work: Path, tick: Tick) -> tuple[int, list[str]]:
    """Put those of ``files`` into ``work`` that their place has unchanged.

    Returns the bytes that were downloaded and, per failure, a sentence that says why.

    Raises:
        StorageError: the disk is full or forbidden. A place that fails raises nothing.
    """
    downloaded, notes = 0, []
    for place in dict.fromkeys(file.place for file in files):
        wanted = [file for file in files if file.place == place]
        url = url_of(place)
        parts = urlsplit(url)
        if not reachable(f"{parts.scheme}://{parts.netloc}"):
            notes.append(f"{parts.netloc} cannot be reached")
            continue
        try:
            if place == ML_100K_ARCHIVE:
                downloaded += _fetch_archive(url, wanted, work, tick)
            else:
                downloaded += _fetch_file(url, wanted[0], work, tick)
        except (httpx.HTTPError, ArtifactError) as error:
            notes.append(f"{url}: {error or type(error).__name__}")
    return downloaded, list(dict.fromkeys(notes))


def _fetch_file(url: str, file: PinnedFile, work: Path, tick: Tick) -> int:
    target = work / file.path
    partial = target.with_name(f"{target.name}.partial")
    with storage_errors(target):
        partial.parent.mkdir(parents=True, exist_ok=True)
        have = partial.stat().st_size if partial.exists() else 0
        if have > file.size:
            partial.unlink()
            have = 0
        tick(have)
        arrived = _stream(url, file, partial, have, tick) if have < file.size else 0
        try:
            check_file(partial, size=file.size, sha256=file.sha256)
        except ArtifactError as error:
            tick(-partial.stat().st_size)
            partial.unlink()
            raise ArtifactError(f"the file there has another checksum than {file.sha256[:12]}…") from error
        partial.replace(target)
    return arrived


def _stream(url: str, file: PinnedFile, partial: Path, have: int, tick: Tick) -> int:
    headers = {"Range": f"bytes={have}-"} if have else {}
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    arrived = 0
    with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        response.raise_for_status()
        _refuse_other_file(response, file)
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        if not resumed:
            tick(-have)
        with partial.open("ab" if resumed else "wb") as out:
            for block in response.iter_bytes(MIB):
                out.write(block)
                arrived += len(block)
                tick(len(block))
                if arrived > file.size:
                    raise ArtifactError(f"the file there has more than {file.size:,} bytes")
    return arrived


def _refuse_other_file(response: httpx.Response, file: PinnedFile) -> None:
    """Compare what the hub says about the file (its sha256 stands in a header) before reading it."""
    for answer in (*response.history, response):
        told = answer.headers.get("x-linked-etag", "").strip('"')
        if len(told) == len(file.sha256) and told != file.sha256:
            raise ArtifactError(f"the file there has sha256 {told[:12]}…; {file.sha256[:12]}… is wanted")


def _fetch_archive(url: str, files: Sequence[PinnedFile], work: Path, tick: Tick) -> int:
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    content = bytearray()
    with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response:
        response.raise_for_status()
        for block in response.iter_bytes(MIB):
            content += block
            if len(content) > ARCHIVE_LIMIT:
                raise ArtifactError(f"the archive has more than {ARCHIVE_LIMIT:,} bytes")
    made = atomic_files_of_archive(bytes(content))
    for file in files:
        if hashlib.sha256(made[file.path]).hexdigest() != file.sha256:
            raise ArtifactError(f"{file.path} made from the archive there has another checksum")
    for file in files:
        with atomic_file(work / file.path) as staged:
            staged.write_bytes(made[file.path])
        tick(file.size)
    return len(content)
