"""The place where a file is published, played by a small HTTP server on this machine."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tastemaker.errors import ArtifactError
from tastemaker.weights import official
from tastemaker.weights.movielens import atomic_files_of_archive
from tastemaker.weights.official import fetch_official
from tastemaker.weights.sources import BUILTIN, PinnedFile, WheelMember

CONTENT = bytes(range(256)) * 8_192  # 2 MiB


class Place(ThreadingHTTPServer):
    """Serves ``content``; ``etag`` is what it says about it; breaks off after ``cut`` bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = None
        self.cut: int | None = None
        self.ranges = True
        self.seen: list[tuple[str, str, str | None]] = []
        self.sent = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Place

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.seen.append(("HEAD", self.path, None))
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        place, wanted = self.server, self.headers.get("Range")
        place.seen.append(("GET", self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and place.ranges else 0
        body = place.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if place.etag:
            self.send_header("X-Linked-Etag", f'"{place.etag}"')
        self.end_headers()
        sending = body if place.cut is None else body[: place.cut]
        place.sent += len(sending)
        self.wfile.write(sending)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    server = Place()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    official.reachable.cache_clear()
    yield server
    official.reachable.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


FILE = PinnedFile(
    path="sub/model.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    place="hub:org/name/model.gguf",
    parts=(WheelMember(requirement="x==1", member="x/y"),),
)


def test_a_right_file_is_taken(place: Place, tmp_path: Path) -> None:
    ticks: list[int] = []
    assert fetch_official([FILE], tmp_path, ticks.append) == (len(CONTENT), [])
    assert (tmp_path / "sub/model.gguf").read_bytes() == CONTENT
    assert sum(ticks) == len(CONTENT)
    assert place.seen[-1] == ("GET", "/org/name/resolve/main/model.gguf", None)


def test_a_broken_connection_is_resumed(place: Place, tmp_path: Path) -> None:
    place.cut = 1_500_000
    downloaded, notes = fetch_official([FILE], tmp_path, lambda count: None)
    assert downloaded == 0
    assert len(notes) == 1
    assert not (tmp_path / "sub/model.gguf").exists()
    have = (tmp_path / "sub/model.gguf.partial").stat().st_size
    place.cut = None
    ticks: list[int] = []
    assert fetch_official([FILE], tmp_path, ticks.append) == (len(CONTENT) - have, [])
    assert have > 0
    assert place.seen[-1][2] == f"bytes={have}-"
    assert sum(ticks) == len(CONTENT)
    assert (tmp_path / "sub/model.gguf").read_bytes() == CONTENT


def test_a_place_without_ranges_starts_again(place: Place, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/model.gguf.partial").write_bytes(CONTENT[:1000])
    place.ranges = False
    ticks: list[int] = []
    assert fetch_official([FILE], tmp_path, ticks.append) == (len(CONTENT), [])
    assert sum(ticks) == len(CONTENT)


def test_another_checksum_is_said_and_not_kept(place: Place, tmp_path: Path) -> None:
    place.content = CONTENT[:-1] + b"!"
    ticks: list[int] = []
    downloaded, notes = fetch_official([FILE], tmp_path, ticks.append)
    assert downloaded == 0
    assert "another checksum" in notes[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(ticks) == 0


def test_another_checksum_is_seen_before_the_download(place: Place, tmp_path: Path) -> None:
    place.etag = "0" * 64
    place.content = b"x" * len(CONTENT)
    _, notes = fetch_official([FILE], tmp_path, lambda count: None)
    assert "the file there has sha256 000000000000…" in notes[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_endless_file_is_cut_off(place: Place, tmp_path: Path) -> None:
    place.content = CONTENT * 16
    _, notes = fetch_official([FILE], tmp_path, lambda count: None)
    assert "more than 2,097,152 bytes" in notes[0]


def test_a_dead_place_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    official.reachable.cache_clear()
    expected = (0, ["127.0.0.1:9 cannot be reached"])
    assert fetch_official([FILE], tmp_path, lambda count: None) == expected
    started = time.perf_counter()
    monkeypatch.setattr(official.httpx, "head", lambda *a, **k: pytest.fail("asked again"))
    assert fetch_official([FILE, FILE], tmp_path, lambda count: None) == expected
    assert time.perf_counter() - started < 1
    official.reachable.cache_clear()


ITEM_ROWS = (
    "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "2|Misérables, Les (1995)|01-Jan-1995||http://x|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
    "3|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "4|Land Before Time III (1995) (V)|01-Jan-1995||http://x|0|0|0|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
)


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        for name, content in files.items():
            out.writestr(f"ml-100k/u.{name}", content)
    return packed.getvalue()


def test_the_movielens_archive_becomes_atomic_files() -> None:
    made = atomic_files_of_archive(
        archive(
            data=b"196\t242\t3\t881250949\n",
            item=ITEM_ROWS.encode("latin-1"),
            user=b"1|24|M|technician|85711\n",
        )
    )
    assert made["ml-100k.inter"].decode().splitlines() == [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "196\t242\t3\t881250949",
    ]
    assert made["ml-100k.item"].decode().splitlines()[1:] == [
        "1\tToy Story\t1995\tAnimation Children's Comedy",
        "2\tMisérables, Les\t1995\tDrama Musical",
        "3\tunkonwn\tunkonwn\tunknown",
        "4\tLand Before Time III (1995)\tV\tAnimation Children's",
    ]
    assert made["ml-100k.user"].decode().splitlines()[1] == "1\t24\tM\ttechnician\t85711"


@pytest.mark.parametrize(
    "content", [b"", b"not a zip", archive(data=b""), archive(data=b"", item=b"1|x\n", user=b"")]
)
def test_no_archive_is_an_artifact_error(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"not ml-100k\.zip"):
        atomic_files_of_archive(content)


def test_an_archive_with_other_ratings_is_not_taken(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.content = archive(data=b"1\t1\t1\t1\n", item=ITEM_ROWS.encode("latin-1"), user=b"1|24|M|x|1\n")
    monkeypatch.setattr(official, "url_of", lambda name: f"http://127.0.0.1:{place.server_port}/ml-100k.zip")
    downloaded, notes = fetch_official(BUILTIN["ml-100k"].files, tmp_path, lambda count: None)
    assert downloaded == 0
    assert "ml-100k.inter made from the archive there has another checksum" in notes[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
