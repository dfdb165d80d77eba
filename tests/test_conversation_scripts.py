"""Conversations that people wrote and labelled, played on the real catalogue with real embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat
from tastemaker.agent.chat.kinds import load_kinds
from tastemaker.errors import DataError
from tastemaker.eval.conversations import Tally, gift_cards, load_scripts, play_all

SETS = sorted((Path(__file__).parent / "data").glob("conversations*.yaml"))
LAST = [path for path in SETS if "third" in path.name]
FLOORS = {
    "constraint": 0.95,
    "reference": 0.95,
    "exclusion": 0.9,
    "gone": 0.97,
    "intent": 0.9,
    "listed": 0.95,
}
DATA = Path(os.environ.get("TASTEMAKER_DATA") or "/nowhere")


def test_there_are_enough_scripts_in_two_languages() -> None:
    scripts = [script for path in SETS for script in load_scripts(path)]
    assert len(scripts) >= 120
    for path in SETS:
        names = [script.name for script in load_scripts(path)]
        assert len(set(names)) == len(names) >= 60
    turns = [turn for script in scripts for turn in script.turns]
    assert min(len(script.turns) for script in scripts) >= 3
    chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in turn.say) for turn in turns)
    assert 0.4 < chinese / len(turns) < 0.6


def played(paths: list[Path], chats: dict[str, Chat]) -> Tally:
    whole = Tally()
    for path in paths:
        for catalogue, chat in chats.items():
            scripts = [one for one in load_scripts(path) if one.catalogue == catalogue]
            for _, tally in play_all(chat, scripts, Asker()):
                whole.add(tally)
    return whole


def assert_good(tally: Tally) -> None:
    shares = tally.shares()
    assert shares["never"] == 1.0, [miss for miss in tally.misses if "[never]" in miss]
    assert shares["named"] == 1.0, [miss for miss in tally.misses if "[named]" in miss]
    for kind, floor in FLOORS.items():
        missed = [miss for miss in tally.misses if f"[{kind}]" in miss]
        assert shares[kind] >= floor, f"{kind} {shares[kind]:.3f}: {missed[:5]}"


@pytest.mark.weights
@pytest.mark.timeout(600)
def test_the_last_set_about_films() -> None:
    films = Chat(Recommender.demo(llm="none", explain="template"))
    assert_good(played(LAST, {"films": films}))


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not DATA.is_dir(), reason="TASTEMAKER_DATA names no folder with the data sets")
def test_every_set_about_films_and_the_shop(tmp_path: Path) -> None:
    films = Chat(Recommender.demo(llm="none", explain="template"))
    shop = Chat(Recommender.load(gift_cards(tmp_path), llm="none", explain="template"))
    assert_good(played(SETS, {"films": films, "shop": shop}))


# The player itself: what it would say of a chat that does wrong


def script(tmp_path: Path, *turns: dict[str, object]) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump([{"name": "one", "catalogue": "films", "turns": list(turns)}]))
    return path


def test_what_is_right_and_what_is_not_is_counted(tmp_path: Path, film_rec: Recommender) -> None:
    chat = Chat(film_rec)
    right = script(
        tmp_path,
        {"say": "a comedy before 1990", "intent": "ask", "filters": ["genres=Comedy", "year<1990"]},
        {"say": "not the second one", "intent": "reject", "refers": [2], "gone": [2]},
        {"say": "forget the year", "intent": "lift", "lifts": ["year"]},
    )
    assert played([right], {"films": chat}).misses == []
    wrong = script(
        tmp_path,
        {"say": "a comedy before 1990", "intent": "why", "filters": ["genres=Thriller"]},
        {"say": "why the second one", "intent": "why", "refers": [1]},
        {"say": "a comedy", "intent": "ask", "excludes": ["comedy"], "asks": True},
    )
    tally = played([wrong], {"films": chat})
    for kind in ("intent", "constraint", "reference", "exclusion", "asks"):
        assert tally.right[kind] < tally.checked[kind], kind


def test_a_condition_may_name_a_place_of_the_list_before(tmp_path: Path, film_rec: Recommender) -> None:
    path = script(
        tmp_path,
        {"say": "a comedy", "intent": "ask"},
        {"say": "older than the second one", "intent": "critique", "filters": ["year<{2.year}"]},
        {"say": "undo", "intent": "undo"},
        {"say": "not the last one", "intent": "reject", "refers": [-1], "gone": [-1]},
    )
    tally = played([path], {"films": Chat(film_rec)})
    assert tally.misses == []
    assert tally.checked["reference"] == 1
    assert tally.checked["constraint"] == 1, "taken back by undo"


def test_an_unknown_expectation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="script 'one' expects 'refer'"):
        load_scripts(script(tmp_path, {"say": "x", "intent": "ask", "refer": [1]}))


# What clauses do


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I'd happily take number two", "like"),
        ("what led you to the third", "why"),
        ("keep the suggestions coming", "more"),
        ("we own that already", "seen"),
        ("scratch that last bit", "undo"),
        ("啥理由推荐第三部", "why"),
        ("再给我换几部别的", "more"),
        ("第二个我早看过了", "seen"),
        ("不要恐怖片", "ask"),
    ],
)
def test_clauses_that_nobody_labelled(text: str, kind: str) -> None:
    reader = load_kinds("zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en")
    scores = reader.scores(text)
    assert max(scores, key=lambda one: scores[one]) == kind
