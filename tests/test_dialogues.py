"""Recorded dialogues: what is learned from talks, what is asked, and no answer among what is learned from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.dialogues import DialogueSet, DialogueTurn, counted, folds_of, load_dialogues, measure
from tastemaker.eval.talk_parts import AlikeTalks, AlikeWords
from tastemaker.index.catalogue import Catalogue
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
        "hybrid", "hybrid without words", "text alone", "text of the words alone", "popularity"
    }  # fmt: skip
    assert found["hybrid"]["ranks"].tolist() == [1] * 40
    assert len(np.unique(found["hybrid"]["dialogue"])) == 40


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
