"""Recorded dialogues: what is learned from talks, what is asked, and no answer among what is learned from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval import dialogue_model
from tastemaker.eval.dialogue_features import NAMES, TurnFeatures, principal, unit
from tastemaker.eval.dialogue_sets import DialogueSet, DialogueTurn, folds_of, load_dialogues
from tastemaker.eval.dialogues import LEARNED, RememberingEmbedder, counted, learned_ranks, measure
from tastemaker.eval.talk_parts import AlikeTalks, AlikeWords
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.store import ItemIndex
from tastemaker.index.text import item_text
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Request

ITEMS = pa.table(
    {
        "id": ["gore", "laugh", "space", "love"],
        "title": ["Gore House (1990)", "Laugh Out (1991)", "Space Nine (1992)", "Love Letter (1993)"],
        "description": ["", "with Anna Bell", "", ""],
    }
)
NOBODY = pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})


def catalogue() -> Catalogue:
    return Catalogue(Dataset.from_tables(ITEMS))


def scored(part: AlikeTalks | AlikeWords, wish: str) -> dict[str, float]:
    [state] = part.prepare([Request(wish=wish)])
    assert state is not None
    return dict(zip(part.catalogue.dataset.item_ids, state.tolist(), strict=True))


def test_talks_like_this_one_vote_for_what_they_ended_with() -> None:
    talks = [
        ("something bloody and scary", ("gore",)),
        ("bloody scary night", ("gore",)),
        ("a date movie", ("love",)),
    ]
    part = AlikeTalks(catalogue(), talks, HashEmbedder())
    found = scored(part, "something bloody and scary")
    assert max(found, key=lambda item: found[item]) == "gore"
    assert found["space"] == 0.0
    assert part.prepare([Request(wish="")]) == [None], "nothing was said"
    [candidates] = part.retrieve([Request(wish="a date movie")], 4)
    assert candidates[0].item.id == "love"
    assert {one.item.id for one in candidates} == {"gore", "love"}, "nothing speaks for the others"


def test_words_and_names_find_items() -> None:
    talks = [
        ("rockets and rockets", ("space",)),
        ("rockets again with Bell", ("space",)),
        ("Bell is funny", ("laugh",)),
    ]
    found = scored(AlikeWords(catalogue(), talks), "rockets")
    assert max(found, key=lambda item: found[item]) == "space"
    named = scored(AlikeWords(catalogue(), talks), "Bell")
    assert named["laugh"] > 0
    assert named["gore"] == 0.0


def dialogues(count: int, others: int = 0) -> DialogueSet:
    """Every dialogue asks for rockets and gets the film in space, whoever has had love before."""

    def turn(name: str) -> DialogueTurn:
        return DialogueTurn(dialogue=name, said=("rockets please",), mentioned=("love",), wanted=("space",))

    return DialogueSet(
        name="made",
        items=ITEMS,
        asked=tuple(turn(f"a{number}") for number in range(count)),
        others=tuple(turn(f"o{number}") for number in range(others)),
        behaviour=NOBODY,
    )


def test_what_is_learned_from_is_never_asked() -> None:
    made = dialogues(20)
    asked = []
    for learn, held in folds_of(made, seed=0):
        assert not {turn.dialogue for turn in learn} & {turn.dialogue for turn in held}
        asked += [turn.dialogue for turn in held]
    assert sorted(asked) == sorted(turn.dialogue for turn in made.asked)
    [(learn, held)] = folds_of(dialogues(5, others=7), seed=0)
    assert {turn.dialogue[0] for turn in learn} == {"o"}
    assert len(held) == 5


def test_a_dialogue_counts_as_a_user() -> None:
    data = counted(dialogues(3), dialogues(3).asked)
    assert data.counts["interactions"] == 6
    assert data.history("dialogue a0").item_ids == ("love", "space")


def test_a_habit_of_talks_is_learned() -> None:
    found = measure(dialogues(40), HashEmbedder())
    assert set(found) == {
        LEARNED, f"{LEARNED}, repeats allowed",
        "hybrid", "hybrid without words", "text alone", "text of the words alone", "popularity"
    }  # fmt: skip
    for system in (LEARNED, f"{LEARNED}, repeats allowed", "hybrid"):
        assert found[system]["ranks"].tolist() == [1] * 40, system
    assert not found["hybrid"]["repeated"].any()
    assert len(np.unique(found["hybrid"]["dialogue"])) == 40


def features_of(made: DialogueSet) -> TurnFeatures:
    data = Dataset.from_tables(made.items)
    index = ItemIndex.build(data.item_ids, [item_text(one) for one in data.iter_items()], HashEmbedder())
    return TurnFeatures(made, made.asked, index, HashEmbedder())


def test_only_counted_dialogues_speak() -> None:
    features = features_of(dialogues(4))
    nobody = features.of(np.array([0]), np.zeros(4, bool))
    others = features.of(np.array([0]), np.array([False, True, True, True]))
    space, recommended = features.films.position["space"], NAMES.index("recommended")
    assert others[0, space, recommended] == pytest.approx(np.log(3.3))
    assert nobody[0, :, recommended].tolist() == pytest.approx([np.log(0.3)] * 4)
    assert nobody[0, :, NAMES.index("alike talks")].tolist() == pytest.approx([np.log(0.5)] * 4)
    assert others[0, :, NAMES.index("alike talks")].argmax() == space
    assert others[0, :, NAMES.index("named together")].argmax() in (space, features.films.position["love"])


def test_who_said_a_film_and_when() -> None:
    turn = DialogueTurn(
        dialogue="a",
        said=("Love Letter (1993)?", "no, Gore House (1990)", "Gore House (1990) is old", "Anna Bell, then"),
        mentioned=("love", "gore"),
        wanted=("laugh",),
    )
    made = DialogueSet(
        name="made",
        items=ITEMS,
        asked=(turn,),
        others=(),
        behaviour=NOBODY,
        people=((), ("Anna Bell",), ("Anna Bell", "Cher"), ()),
    )
    [values] = features_of(made).of(np.array([0]), np.zeros(1, bool))
    told = {
        item: {name for name in NAMES[NAMES.index("people named") :] if values[row, NAMES.index(name)]}
        for row, item in enumerate(ITEMS["id"].to_pylist())
    }
    assert told == {
        "gore": {"repeat", "said before last", "one of few", "said twice", "by seeker"},
        "laugh": {"people named"},
        "space": {"people named"},
        "love": {"repeat", "earlier", "one of few"},
    }
    assert values[0, NAMES.index("one of few")] == 0.5


def test_repeats_are_learned_where_they_are_allowed() -> None:
    """Every dialogue comes back to the film that was mentioned."""
    said = ("Love Letter (1993)?", "yes")
    turns = [
        DialogueTurn(dialogue=f"d{number}", said=said, mentioned=("love",), wanted=("love",))
        for number in range(24)
    ]
    made = DialogueSet(name="made", items=ITEMS, asked=tuple(turns), others=(), behaviour=NOBODY)
    fresh, all_films = learned_ranks(features_of(made), turns[:20], turns[20:], 0)
    assert fresh.tolist() == [0] * 4
    assert all_films.tolist() == [1] * 4


def test_words_call_for_genres_that_no_talk_recommended() -> None:
    """Of two genres the second film was never recommended; the words call for it before the other genre."""
    items = pa.table(
        {
            "id": [f"{genre} {number}" for genre in ("gore", "fun") for number in range(4)],
            "title": [f"T{number}" for number in range(8)],
            "genres": [[genre] for genre in ("gore", "fun") for _ in range(4)],
        }
    )
    turns = [
        DialogueTurn(
            dialogue=f"d{number}",
            said=(f"please {genre} {genre} {genre}",),
            mentioned=(),
            wanted=(f"{genre} {number % 3}",),
        )
        for number in range(60)
        for genre in (("gore", "fun")[number % 2],)
    ]
    made = DialogueSet(name="made", items=items, asked=tuple(turns), others=(), behaviour=NOBODY)
    features = features_of(made)
    model = dialogue_model.learn(features, np.arange(50))
    assert model.penalty in dialogue_model.PENALTIES
    gore, fun = (features.films.position[f"{genre} 3"] for genre in ("gore", "fun"))
    scores = model.scores(features, np.array([50, 51]))
    assert turns[50].wanted[0].startswith("gore")
    assert scores[0, gore] > scores[0, fun]
    assert scores[1, fun] > scores[1, gore]


def test_a_text_is_encoded_once() -> None:
    inner = HashEmbedder()
    embedder = RememberingEmbedder(inner)
    first = embedder.encode(["a", "b", "a"])
    assert embedder.encode(["b", "a"]).tolist() == [first[1].tolist(), first[0].tolist()]
    assert inner.texts == 2
    assert embedder.encode([]).shape == (0, inner.dimension)


def test_rows_are_scaled() -> None:
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist() == pytest.approx(
        np.array([[0.6, 0.8], [0.0, 0.0]])
    )
    found = principal(np.array([[0, 0], [2, 0], [4, 0]], np.float32), np.array([[0, 0], [4, 0]], np.float32))
    assert np.abs(found).max(1).tolist() == pytest.approx([2.0, 0.0, 2.0])


def test_unknown_sets_and_missing_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="unknown set 'x'; known are redial, opendialkg"):
        load_dialogues("x")
    monkeypatch.delenv("TASTEMAKER_DATA", raising=False)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    with pytest.raises(DataError, match="conv-redial"):
        load_dialogues("redial")


@pytest.mark.skipif(not os.environ.get("TASTEMAKER_DATA"), reason="TASTEMAKER_DATA names no folder")
def test_the_published_turns() -> None:
    found = load_dialogues("redial")
    assert (len(found.asked), found.items.num_rows) == (2_716, 6_583)
    assert all(turn.wanted for turn in found.asked)
