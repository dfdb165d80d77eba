"""The MovieLens 100K archive of GroupLens, rewritten as the RecBole atomic files that are pinned.

The rules are RecBole's, so the bytes (and the checksums) are those of the files that its wheel carries,
whichever carrier was at hand. Two oddities are part of it: what stands in a title's last brackets is
taken as the year, even ``(V)``, and the one film without brackets is called ``unkonwn``.
"""

from __future__ import annotations

import io
import re
import zipfile

from tastemaker.errors import ArtifactError

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The flag columns of ``u.item``, in order."""

_TITLE_YEAR = re.compile(r"(.*) \((.*)\)\s*$")
_FIRST_FLAG = 5


def atomic_files_of_archive(archive: bytes) -> dict[str, bytes]:
    """Return ``ml-100k.inter``, ``.item`` and ``.user`` made from the bytes of ``ml-100k.zip``.

    Raises:
        ArtifactError: the bytes are no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            ratings, items, users = (opened.read(f"ml-100k/u.{part}") for part in ("data", "item", "user"))
        item_lines = [_item_line(line) for line in items.decode("latin-1").splitlines() if line]
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"the archive is not ml-100k.zip: {error}") from error
    return {
        "ml-100k.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ratings,
        "ml-100k.item": "".join(
            ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n", *item_lines]
        ).encode(),
        "ml-100k.user": b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        + users.replace(b"|", b"\t"),
    }


def _item_line(line: str) -> str:
    fields = line.split("|")
    found = _TITLE_YEAR.match(fields[1])
    title, year = found.groups() if found else ("unkonwn", "unkonwn")
    flags = zip(GENRES, fields[_FIRST_FLAG:], strict=True)
    genres = " ".join(genre for genre, flag in flags if flag == "1")
    return f"{fields[0]}\t{title}\t{year}\t{genres}\n"
