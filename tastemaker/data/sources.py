"""From a file to text: decompression, limits and character encodings."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from tastemaker.errors import DataError

MAX_BYTES = 4 * 2**30
"""A file that unpacks to more is refused: it would not fit into memory as text."""

_GZIP = b"\x1f\x8b"
_UNREADABLE = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF",
    b"\x80\x04\x95": "a pickle",
    b"\x93NUMPY": "a NumPy array",
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes([*range(9), *range(14, 31)])
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")


def read_bytes(path: Path) -> bytes:
    """Content of ``path``, unpacked when it is gzip (whatever its name says).

    Raises:
        DataError: the file is missing, unreadable, empty, cut short, too large, or of a foreign kind.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = _unpack(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}", hint="fetch the file again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content.strip():
        raise DataError(f"{path} is empty")
    for magic, what in _UNREADABLE.items():
        if content.startswith(magic):
            raise DataError(
                f"{path} is {what}; CSV, TSV, JSON, JSON lines, Parquet or RecBole atomic files are wanted",
                hint="unpack or export it first",
            )
    return content


def _unpack(path: Path) -> bytes:
    with gzip.open(path) as file:
        unpacked = file.read(MAX_BYTES + 1)
    if len(unpacked) > MAX_BYTES:
        raise DataError(f"{path} unpacks to more than {MAX_BYTES // 2**30} GiB", hint="split the file")
    return unpacked


def decode(content: bytes, path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Return the text without its byte order mark, and the name of the encoding.

    Unless ``encoding`` says it: a byte order mark decides, then strict UTF-8, then GB 18030 when bytes above
    127 stand in pairs (Chinese text), else Latin-1 (as Windows-1252, its usual superset).

    Raises:
        DataError: the content does not fit the encoding that was asked for, or is binary.
    """
    if encoding is not None:
        return _decode_as(content, path, encoding), encoding
    for mark, name in _BOMS:
        if content.startswith(mark):
            return _decode_as(content, path, name), name
    sample = content[: 2**20]
    if len(sample) - len(sample.translate(None, delete=_CONTROL)) > len(sample) // 50:
        raise DataError(f"{path} is a binary file of an unknown kind")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if all(len(run) % 2 == 0 for run in _HIGH_BYTES.findall(content[: 2**20])):
        try:
            return content.decode("gb18030"), "gb18030"
        except UnicodeDecodeError:
            pass
    try:
        return content.decode("cp1252"), "cp1252 (latin-1)"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _decode_as(content: bytes, path: Path, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise DataError(f"{encoding!r} is no known encoding", hint="--column encoding=utf-8") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not {encoding}: {error.reason} at byte {error.start:,}") from error
