"""Template explanations are true by construction: the verifier agrees, for films of a real catalogue."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tastemaker.agent.evidence import EvidencePicker
from tastemaker.agent.explain_words import TemplateWriter
from tastemaker.agent.verify import Verifier
from tastemaker.agent.verify_titles import forms, split_year, spoken
from tastemaker.testing.influence import MemoryCatalogue, TableInfluence
from tastemaker.types import (
    Candidate,
    Context,
    HistoryEntry,
    Item,
    Language,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)

MOVIES = Path(os.environ.get("TASTEMAKER_DATA", "")) / "ml-latest-small" / "movies.csv"
needs_movies = pytest.mark.skipif(not MOVIES.is_file(), reason=f"{MOVIES} is missing (set TASTEMAKER_DATA)")


def read_films() -> Iterator[Item]:
    with MOVIES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            title, year = split_year(row["title"])
            genres = tuple(name for name in row["genres"].split("|") if not name.startswith("("))
            attributes = {"genres": genres} if genres else {}
            yield Item(
                id=row["movieId"],
                title=title,
                attributes=attributes if year is None else {**attributes, "year": year},
            )


@needs_movies
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_first_wording_passes_for_films_of_a_real_catalogue(language: Language) -> None:
    films = list(read_films())
    catalogue = MemoryCatalogue(films)
    verifier = Verifier(catalogue=catalogue, titles=[film.title for film in films], domain="films")
    writer = TemplateWriter(catalogue=catalogue, domain="films")
    draw = random.Random(7)
    wishes = {"en": ("", "a light comedy, not too long"), "zh": ("", "轻松的喜剧，不要太长")}
    places = ({}, {"time": "2026-11-27T21:30", "company": "kids"}, {"mood": "happy", "lamp": "on/off"})
    failed = []
    for turn in range(40):
        past, shown = draw.sample(films, 6), draw.sample(films, 10)
        entries = tuple(
            HistoryEntry(title=film.display_title, item_id=film.id, event="rating", value=5.0)
            for film in past
        )
        request = Request(
            history=UserHistory(user_id=str(turn), entries=entries, value_range=(0.5, 5.0)),
            context=Context.from_mapping(places[turn % 3]),
            wish=wishes[language][turn % 2],
            language=language,
        )
        worth: dict[str | tuple[str, str], float] = {
            (piece, film.id): draw.gauss(0.1, 0.5)
            for film in shown
            for piece in [*(film.id for film in past), "wish", "time", "company", "mood", "lamp"]
        }
        ranking = Ranking(
            items=tuple(
                Ranked(rank=rank, candidate=Candidate(item=film, score=0.0), score=0.1)
                for rank, film in enumerate(shown, start=1)
            )
        )
        picker = EvidencePicker(probe=TableInfluence(worth), catalogue=catalogue)
        for ranked, evidence in zip(ranking.items, picker.pick(request, ranking), strict=True):
            text = next(writer.texts(request, ranked, evidence))
            verdict = verifier.verify(
                text, item=ranked.item, request=request, evidence=evidence, language=language
            )
            if not verdict.supported:
                failed += [(one.text, one.reason) for one in verdict.statements if not one.supported]
    assert failed == []


@pytest.mark.parametrize(
    ("title", "year", "said"),
    [
        ("Usual Suspects, The (1995)", None, "The Usual Suspects (1995)"),
        ("Usual Suspects, The", 1995, "The Usual Suspects (1995)"),
        ("Seven (Se7en)", 1995, "Seven (1995)"),
        ("Postino, Il", 1994, "Il Postino (1994)"),
        ("Avventura, L'", 1960, "L'Avventura (1960)"),
        ("2001: A Space Odyssey", 1968, "2001: A Space Odyssey (1968)"),
        ("Eat, Drink", None, "Eat, Drink"),
        ("(500) Days", None, "Days"),
        ("(?)", None, "(?)"),
        ("霸王别姬", 1993, "霸王别姬 (1993)"),
    ],
)
def test_titles_are_said_as_people_say_them(title: str, year: int | None, said: str) -> None:
    assert spoken(title, year=year) == said


def test_all_names_of_a_title_are_known() -> None:
    assert forms("Shanghai Triad (a.k.a. Yao a yao) (1995)") == (
        "Shanghai Triad (a.k.a. Yao a yao)",
        "Shanghai Triad",
        "Yao a yao",
    )
    assert "The Usual Suspects" in forms("Usual Suspects, The (1995)")
