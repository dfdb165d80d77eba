"""The public data sets behind the named protocols, prepared exactly as the papers that use them did.

``ml-latest-small``
    MovieLens 2018 small, every rating an event, iterative 5-core: what LlamaRec (Yue et al. 2023) calls
    ML-100k. Films that share a title and a year are different items there, so they are not merged.
``amazon-beauty-2014``
    The 5-core sequences of S3-Rec (Zhou et al. 2020), which P5, TIGER and others use too. There are no times:
    a user's events stand in order, and nothing can be claimed about the clock.

Both are checked by their published counts. Nothing is downloaded: their terms do not let this project hand
them on.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.data.readers import read
from tastemaker.errors import DataError
from tastemaker.home import home


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """``files``, plain or with ``.gz``, lie in a folder called ``name``; ``counts`` must come out."""

    name: str
    files: tuple[str, ...]
    origin: str
    domain: Literal["films", "products"]
    counts: tuple[int, int, int]
    """Users, items, interactions."""

    prepare: Callable[[list[Path]], Dataset]


def load_benchmark(name: str, folder: Path | None = None) -> Dataset:
    """Read a benchmark from ``folder``, else ``$TASTEMAKER_DATA/name``, else the cache's ``data/name``.

    Raises:
        DataError: the name is unknown, the files are not found, or the counts are not the published ones.
    """
    if name not in BENCHMARKS:
        raise DataError(f"unknown benchmark {name!r}; known are {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    dataset = benchmark.prepare(
        find_files(benchmark.name, benchmark.files, origin=benchmark.origin, folder=folder)
    )
    found = tuple(dataset.counts[what] for what in ("users", "items", "interactions"))
    if found != benchmark.counts:
        raise DataError(
            f"{name} gives {_counted(found)}; the published set has {_counted(benchmark.counts)}",
            hint=f"use the unchanged files of {benchmark.origin}",
        )
    return dataset


def find_files(name: str, files: Sequence[str], *, origin: str, folder: Path | None = None) -> list[Path]:
    """Paths of a data set's files, plain or with ``.gz``, in the first place that has them all.

    Places: ``folder`` and its subfolder ``name`` when given, else ``$TASTEMAKER_DATA/name``, then the cache's
    ``data/name``.

    Raises:
        DataError: no place has them all; it names every place.
    """
    if folder is not None:
        places = [folder, folder / name]
    else:
        given = os.environ.get("TASTEMAKER_DATA", "").strip()
        places = [Path(given).expanduser() / name] if given else []
        places.append(home() / "data" / name)
    for place in places:
        found = [_plain_or_gzip(place / file) for file in files]
        paths = [path for path in found if path is not None]
        if len(paths) == len(files):
            return paths
    are, them = ("is", "it") if len(files) == 1 else ("are", "them")
    raise DataError(
        f"{' and '.join(files)} of {name} {are} not in {' or '.join(map(str, places))}",
        hint=f"get {them} from {origin} and put {them} into {places[-1]}, or give --data FOLDER",
    )


def _plain_or_gzip(path: Path) -> Path | None:
    return next((one for one in (path, path.with_name(path.name + ".gz")) if one.is_file()), None)


def _counted(counts: tuple[int, ...]) -> str:
    users, items, interactions = counts
    return f"{users:,} users, {items:,} items and {interactions:,} interactions"


def k_core(dataset: Dataset, k: int) -> Dataset:
    """Keep users and items with at least ``k`` events, again and again until all have; others are dropped."""
    codes = dataset.codes()
    kept = np.ones(len(codes.row), dtype=bool)
    while True:
        users = np.bincount(codes.user[kept], minlength=len(dataset.user_ids))
        items = np.bincount(codes.item[kept], minlength=len(dataset.item_ids))
        stays = kept & (users[codes.user] >= k) & (items[codes.item] >= k)
        if stays.sum() == kept.sum():
            break
        kept = stays
    rows = np.sort(codes.row[kept])
    return replace(
        dataset,
        items=dataset.items.filter(pa.array(items > 0)).combine_chunks(),
        interactions=dataset.interactions.take(pa.array(rows)).combine_chunks(),
    )


def _movielens(paths: list[Path]) -> Dataset:
    ratings, films = paths
    return k_core(read(ratings, films, merge_items=False).dataset, 5)


def _beauty(paths: list[Path]) -> Dataset:
    sequences, items = paths
    raw = sequences.read_bytes()
    text = (gzip.decompress(raw) if sequences.suffix == ".gz" else raw).decode()
    lines = [line.split() for line in text.splitlines()]
    users = [line[0] for line in lines for _ in line[1:]]
    item_ids = [item for line in lines for item in line[1:]]
    # Amazon's product numbers mean nothing in a text, so that column stays out.
    catalogue = read(None, items, merge_items=False).dataset.items.select(["id", "title", "description"])
    return Dataset.from_tables(catalogue, pa.table({"user_id": users, "item_id": item_ids}))


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="ml-latest-small",
            files=("ratings.csv", "movies.csv"),
            origin="https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
            domain="films",
            counts=(610, 3_650, 90_274),
            prepare=_movielens,
        ),
        Benchmark(
            name="amazon-beauty-2014",
            files=("sequential.txt", "items.derived.csv"),
            origin="RDRec's data/beauty (a user and the items per line), with a table of item_id and title",
            domain="products",
            counts=(22_363, 12_101, 198_502),
            prepare=_beauty,
        ),
    )
}
