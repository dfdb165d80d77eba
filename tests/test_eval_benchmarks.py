"""Benchmarks are what the papers used, to the last interaction, and their absence is explained."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval import benchmarks
from tastemaker.eval.benchmarks import BENCHMARKS, k_core, load_benchmark

DATA = Path(os.environ.get("TASTEMAKER_DATA") or "/nowhere")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="TASTEMAKER_DATA names no folder with the data sets"
)


def of_pairs(*pairs: str) -> Dataset:
    """Interactions "ua" of user u with item a, one a second."""
    items = pa.table({"id": list("abcd"), "title": list("ABCD")})
    users, ids = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    times = [float(second) for second in range(len(pairs))]
    return Dataset.from_tables(items, pa.table({"user_id": users, "item_id": ids, "timestamp": times}))


def test_the_core_is_cut_until_nothing_more_falls() -> None:
    # d goes (one user); then w has one event left and goes; then c has one and goes; u, v, a, b stay.
    dataset = of_pairs("ua", "ub", "va", "vb", "vc", "wc", "wd")
    core = k_core(dataset, 2)
    assert core.item_ids == ("a", "b")
    assert [core.history(user).item_ids for user in core.user_ids] == [("a", "b"), ("a", "b")]
    assert k_core(dataset, 1).item_ids == dataset.item_ids
    assert k_core(dataset, 3).counts == {"items": 0, "interactions": 0, "users": 0}


@needs_data
def test_ml_latest_small_is_llamarecs_ml_100k(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_benchmark("ml-latest-small")
    assert dataset.counts == {"users": 610, "items": 3_650, "interactions": 90_274}
    assert dataset.item("1").attributes["year"] == 1995
    assert "Animation" in dataset.item("1").attributes["genres"]  # type: ignore[operator]
    assert load_benchmark("ml-latest-small", DATA).fingerprint == dataset.fingerprint
    monkeypatch.delenv("TASTEMAKER_DATA")
    given = load_benchmark("ml-latest-small", DATA / "ml-latest-small")
    assert given.fingerprint == dataset.fingerprint


@needs_data
def test_beauty_is_s3_recs_in_the_order_of_the_file() -> None:
    dataset = load_benchmark("amazon-beauty-2014")
    assert dataset.counts == {"users": 22_363, "items": 12_101, "interactions": 198_502}
    with gzip.open(DATA / "amazon-beauty-2014" / "sequential.txt.gz", "rt", encoding="utf-8") as file:
        user, *items = next(file).split()
    assert dataset.history(user).item_ids == tuple(items)
    assert dataset.item("1").title == "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce"
    assert dataset.item("1").attributes == {}


def test_absent_files_are_asked_for_by_name_and_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TASTEMAKER_DATA", str(tmp_path / "sets"))
    with pytest.raises(DataError) as caught:
        load_benchmark("ml-latest-small")
    places = [str(tmp_path / "home" / "data"), str(tmp_path / "sets")]
    for part in ("ratings.csv", *places, "grouplens", "--data"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"are not in .*elsewhere"):
        load_benchmark("ml-latest-small", tmp_path / "elsewhere")
    with pytest.raises(DataError, match="unknown benchmark 'netflix'; known are ml-latest-small, amazon"):
        load_benchmark("netflix")


def test_other_files_of_the_same_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},4,{u}\n" for u in range(5) for i in range(5))
    )
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n" + "".join(f"{i},Same (1999),Drama\n" for i in range(5))
    )
    with pytest.raises(DataError, match="gives 5 users, 5 items and 25 interactions; the published set"):
        load_benchmark("ml-latest-small", tmp_path)
    # Five films of one title and year stay five.
    small = replace(BENCHMARKS["ml-latest-small"], counts=(5, 5, 25))
    monkeypatch.setitem(benchmarks.BENCHMARKS, "ml-latest-small", small)
    assert load_benchmark("ml-latest-small", tmp_path).item_ids == tuple("01234")
