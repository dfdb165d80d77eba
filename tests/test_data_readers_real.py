"""Published data sets are read as they come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tastemaker.data.readers import ReadResult, read

DATA = Path(os.environ.get("TASTEMAKER_DATA") or "/nowhere")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="TASTEMAKER_DATA names no folder with the data sets"
)


def counts(result: ReadResult) -> tuple[int, int, int]:
    found = result.dataset.counts
    return found["users"], found["items"], found["interactions"]


def lost(result: ReadResult) -> dict[str, int]:
    return {finding.what: finding.count for finding in result.report.findings if finding.lost}


@pytest.mark.weights
def test_ml_100k_from_its_source() -> None:
    from tastemaker.weights.fetch import ensure

    folder = ensure("ml-100k").path
    result = read(*(folder / f"ml-100k.{part}" for part in ("inter", "item", "user")))
    # 1,682 films of which 18 stand twice; 35 users gave both copies one rating at one time.
    assert counts(result) == (943, 1664, 99_965)
    assert lost(result) == {
        "items merged into one with the same title": 18,
        "exact repetitions of another row left out": 35,
    }
    dataset = result.dataset
    assert dataset.value_range == (1.0, 5.0)
    assert dataset.item("50").display_title == "Star Wars (1977)"
    assert dataset.find_title("Empire Strikes Back, The (1980)") == "172"
    assert len(dataset.history("196")) == 39


@needs_data
def test_ml_latest_small() -> None:
    folder = DATA / "ml-latest-small"
    result = read(folder / "ratings.csv.gz", folder / "movies.csv")
    assert counts(result) == (610, 9737, 100_836)
    assert result.dataset.value_range == (0.5, 5.0)
    assert result.dataset.find_title("toy story") == "1"
    assert result.dataset.item("1").year == 1995


@needs_data
def test_lastfm() -> None:
    folder = DATA / "lastfm-hetrec2011"
    result = read(folder / "user_artists.dat.gz", folder / "artists.dat.gz")
    users, items, interactions = counts(result)
    assert users == 1892
    assert interactions == 92_833
    assert items == 17_632 - lost(result)["items merged into one with the same title"]
    assert result.dataset.value_range is None
    assert "without header" in result.guesses[1]


@needs_data
def test_amazon_gift_cards() -> None:
    folder = DATA / "amazon-giftcards-2018"
    result = read(folder / "Gift_Cards_5.json.gz", folder / "meta_Gift_Cards.json.gz")
    assert counts(result)[::2] == (458, 2972)
    assert (
        "user=reviewerID, item=asin, timestamp=unixReviewTime (seconds), value=overall (1..5)"
        in result.guesses[1]
    )


@needs_data
def test_ldos_comoda_keeps_its_context() -> None:
    folder = DATA / "ldos-comoda"
    result = read(folder / "ratings.derived.csv", folder / "itemsTitles.csv")
    assert counts(result)[0] == 121
    assert {"time_of_day", "weather", "social", "mood", "location"} <= set(result.dataset.context_columns)


@needs_data
@pytest.mark.parametrize(
    ("file", "items", "title"),
    [
        ("goodbooks-items/books.csv.gz", 10_000, "The Hunger Games (The Hunger Games, #1)"),
        ("coursera/UCoursera_Courses.csv.gz", 891, "(ISC)² Systems Security Certified Practitioner (SSCP)"),
        ("fashion-small/items_1200.derived.csv", 1_200, "Carrera Men Dial steel finish strap Silver Watches"),
    ],
)
def test_catalogues(file: str, items: int, title: str) -> None:
    dataset = read(None, DATA / file, merge_items=False).dataset
    assert dataset.counts["items"] == items
    assert next(dataset.iter_items()).title == title
