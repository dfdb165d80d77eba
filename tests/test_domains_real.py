"""One example of each domain, from raw data to an explained answer: real data, the real embedding model."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tastemaker import Recommender
from tastemaker.data.dataset import Dataset
from tastemaker.data.readers import read
from tastemaker.eval.moments.sets import load_moments
from tastemaker.index.build import build_index
from tastemaker.workspace import Workspace

DATA = Path(os.environ.get("TASTEMAKER_DATA") or "/nowhere")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.weights,
    pytest.mark.skipif(not DATA.is_dir(), reason="TASTEMAKER_DATA names no folder with the data sets"),
]


def _films() -> Dataset:
    return load_moments("comoda").dataset


def _music() -> Dataset:
    folder = DATA / "lastfm-hetrec2011"
    return read(folder / "user_artists.dat.gz", folder / "artists.dat.gz").dataset


def _products() -> Dataset:
    folder = DATA / "amazon-giftcards-2018"
    return read(folder / "Gift_Cards_5.json.gz", folder / "meta_Gift_Cards.json.gz").dataset


def _news() -> Dataset:
    """Encyclopaedia articles with their genres as topics: any catalogue of texts to be read."""
    path = DATA / "movie-metadata" / "ml-latest-small.wikipedia.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    items = pa.table(
        {
            "id": [str(row["movieId"]) for row in rows],
            "title": [row["wiki_title"] for row in rows],
            "description": [row["extract"] for row in rows],
            "topics": pa.array([row["genres"].split("|") for row in rows], pa.list_(pa.string())),
        }
    )
    return Dataset.from_tables(items)


def _courses() -> Dataset:
    return read(None, DATA / "coursera" / "UCoursera_Courses.csv.gz").dataset


def _home() -> Dataset:
    return load_moments("smart-home").dataset


EXAMPLES: dict[str, tuple[Callable[[], Dataset], dict[str, Any]]] = {
    "films": (_films, {"wish": "an action film for tonight with friends, no zombies, from after 2005"}),
    "music": (_music, {"wish": "something for working out at the gym, no metallica"}),
    "products": (_products, {"wish": "a gift card for a restaurant, not starbucks"}),
    "news": (_news, {"wish": "space travel for my commute on the phone, no war stories"}),
    "courses": (_courses, {"wish": "machine learning on Sunday morning, only beginner"}),
    "home": (_home, {"history": ["Light: switch on"], "context": {"time": "2024-01-06T23:30"}}),
}


@pytest.mark.parametrize("domain", EXAMPLES)
def test_from_raw_data_to_an_explained_answer(domain: str, tmp_path: Path) -> None:
    make, question = EXAMPLES[domain]
    place = Workspace(tmp_path / domain)
    dataset = make()
    dataset.save(place.data)
    place.config.write_text(f"domain: {domain}\nllm: none\nexplain: template\ncandidates: 50\n")
    build_index(dataset, place.index, "all-minilm-l6-v2")
    rec = Recommender.load(place.root)
    answer = rec.recommend(k=5, **question)
    assert len(answer) == 5
    for item in answer:
        assert item.explanation is not None
        assert item.explanation.text
        assert item.explanation.verified
    if read_ := answer.request.understanding:
        told = " ".join(f"{item.title} {item.ranked.item.description}" for item in answer).casefold()
        assert not any(f" {thing} " in f" {told} " for thing in read_.exclude)
    if domain == "films":
        assert all((item.ranked.item.year or 0) > 2005 for item in answer)
        assert answer.request.context.company == "friends"
    if domain == "courses":
        assert {item.ranked.item.attributes["course_difficulty"] for item in answer} == {"Beginner"}
    if domain == "home":
        assert "Light" in answer.items[0].title
        # What was done may be done again.
        assert rec.request(**question).repeats
