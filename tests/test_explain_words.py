"""Template explanations are true by construction: the verifier agrees, for films of a real catalogue."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tastemaker.agent.evidence import EvidencePicker
from tastemaker.agent.explain_words import Task, TemplateWriter
from tastemaker.agent.verify import Verdict, Verifier
from tastemaker.agent.verify_titles import forms, split_year, spoken
from tastemaker.data.dataset import Dataset
from tastemaker.testing.influence import MemoryCatalogue, TableInfluence
from tastemaker.types import (
    Candidate,
    Context,
    Evidence,
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


class Case(NamedTuple):
    """An item shown to a user, with evidence that was picked and the first wording of its template text."""

    request: Request
    item: Item
    evidence: tuple[Evidence, ...]
    text: str


WISHES = {"en": ("", "a light comedy, not too long"), "zh": ("", "轻松的喜剧，不要太长")}
SITUATIONS = ({}, {"time": "2026-11-27T21:30", "company": "kids"}, {"mood": "happy", "lamp": "on/off"})


def cases(films: Sequence[Item], language: Language, turns: int) -> Iterator[Case]:
    """Random users who rated six films 4 of 5, each shown ten films with random influences."""
    catalogue = MemoryCatalogue(films)
    writer = TemplateWriter(catalogue=catalogue, domain="films")
    draw = random.Random(7)
    for turn in range(turns):
        past, shown = draw.sample(films, 6), draw.sample(films, 10)
        entries = tuple(
            HistoryEntry(title=film.display_title, item_id=film.id, event="rating", value=4.0)
            for film in past
        )
        request = Request(
            history=UserHistory(user_id=str(turn), entries=entries, value_range=(0.5, 5.0)),
            context=Context.from_mapping(SITUATIONS[turn % 3]),
            wish=WISHES[language][turn % 2],
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
            yield Case(request, ranked.item, evidence, text)


def verdict_of(verifier: Verifier, case: Case, text: str) -> Verdict:
    return verifier.verify(
        text,
        item=case.item,
        request=case.request,
        evidence=case.evidence,
        language=case.request.language,
    )


@needs_movies
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_first_wording_passes_for_films_of_a_real_catalogue(language: Language) -> None:
    films = list(read_films())
    verifier = Verifier(
        catalogue=MemoryCatalogue(films), titles=[film.title for film in films], domain="films"
    )
    failed = [
        (one.text, one.reason)
        for case in cases(films, language, turns=40)
        for one in verdict_of(verifier, case, case.text).statements
        if not one.supported
    ]
    assert failed == []


@needs_movies
def test_a_text_with_one_thing_changed_is_rejected() -> None:
    films = list(read_films())
    verifier = Verifier(
        catalogue=MemoryCatalogue(films), titles=[film.title for film in films], domain="films"
    )
    draw = random.Random(3)
    spoilt = passed = 0
    for case in cases(films, "en", turns=20):
        for text in changed(case, draw.choice(films)):
            spoilt += 1
            passed += verdict_of(verifier, case, text).supported
    assert spoilt > 400
    assert passed == 0


def changed(case: Case, stranger: Item) -> Iterator[str]:
    """The case's text with a wrong year, genre, past film, deed, negation or situation."""
    text, item = case.text, case.item
    if f"from {item.year}" in text:
        yield text.replace(f"from {item.year}", f"from {item.year + 1}")  # type: ignore[operator]
    genre = next(genre for genre in ("Western", "Documentary", "Musical") if genre not in item.genres)
    for own in item.genres:
        if f" {own.casefold()} film" in text:
            yield text.replace(f" {own.casefold()} film", f" {genre.casefold()} film")
            yield text.replace(f" {own.casefold()} film", f" good {own.casefold()} film")
    for piece in case.evidence:
        if piece.kind == "history":
            said = spoken(piece.text)
            if said in text:
                yield text.replace(said, spoken(stranger.display_title))
                yield text.replace(said, spoken(item.display_title))
    if "you liked" in text.casefold():
        yield text.replace("ou liked", "ou loved")
        yield text.replace("ou liked", "ou never liked")
    yield text.replace("Friday", "Monday").replace("children", "colleagues") + " It won an award."


@needs_movies
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_example_of_a_task_has_the_same_kinds_of_reasons(language: Language) -> None:
    films = list(read_films())
    writer = TemplateWriter(catalogue=MemoryCatalogue(films), domain="films")
    asked = 0
    for case in cases(films, language, turns=12):
        ranked = Ranked(rank=1, candidate=Candidate(item=case.item, score=0.0), score=0.1)
        task = writer.task(case.request, ranked, case.evidence)
        kinds = [piece.kind for piece in case.evidence]
        if task is None:
            assert not {"history", "wish"} & set(kinds) or "fact" not in kinds
            continue
        asked += 1
        assert len(task.facts) == len(task.example_facts) <= 3
        assert not any("$" in text for text in (*task.facts, *task.example_facts, task.example))
        assert all(fact.rstrip("。.") for fact in task.example_facts)
    assert asked > 40


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


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The Matrix is a sci-fi film from 1999; no single reason stands out."),
        ("zh", "《The Matrix》是1999年的科幻片；没有哪个理由特别突出。"),
    ],
)
def test_with_nothing_to_cite_the_item_is_told_by_name(language: Language, text: str) -> None:
    data = Dataset.from_records([], [{"id": "m", "title": "Matrix, The", "year": 1999, "genres": ["Sci-Fi"]}])
    request = Request(history=UserHistory(), language=language)
    ranked = Ranked(rank=1, candidate=Candidate(item=data.item("m"), score=1.0), score=1.0)
    facts = [
        Evidence(kind="fact", ref="genres", text="Sci-Fi"),
        Evidence(kind="fact", ref="year", text="1999"),
    ]
    writer = TemplateWriter(catalogue=data, domain="films")
    assert text in list(writer.texts(request, ranked, facts))
    verifier = Verifier(catalogue=data, titles=["Matrix, The"], domain="films")
    assert verifier.verify(
        text, item=data.item("m"), request=request, evidence=facts, language=language
    ).supported


REASONS = (("you liked ", ("Heat (1995)",)), ("it is ", ("Sunday morning",)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Because you liked Heat (1995), you might enjoy Casino.", True),
        ("Because you liked heat, you might enjoy Casino.", True),
        ("Casino may well be for you, as it is Sunday morning.", True),
        ("Casino, a crime film from 1995, may well be for you.", False),
        ("You may well like Casino and Heat.", False),
        ("As you liked Heat (1995) and Heat (1995), you might enjoy Casino.", False),
    ],
)
def test_a_text_tells_a_reason_and_names_none_twice(text: str, told: bool) -> None:
    task = Task(facts=(), example_facts=(), example="", reasons=REASONS)
    assert task.told_by(text) is told
