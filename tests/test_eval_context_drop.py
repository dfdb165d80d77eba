"""Fields of the situation left out, one by one: what is dropped is nowhere used, and what is not still is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app, run
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.moments import run as module
from tastemaker.eval.moments.baselines import BASELINES, fields_in
from tastemaker.eval.moments.questions import MomentQuestion, cut
from tastemaker.eval.moments.run import measure
from tastemaker.eval.moments.sets import SETS, Kind, MomentSet, load_moments, without_fields
from tastemaker.eval.moments.systems import fitted, scores_of
from tastemaker.types import Context

DATA = os.environ.get("TASTEMAKER_DATA", "")
QUICK = "popular in the situation"
FIELDS = ("company", "weather")


def made(kind: Kind = "choices") -> MomentSet:
    """With the family cartoons, alone thrillers, nine times of ten; the weather is drawn and says nothing.

    There are no times, so that the two fields are all that is known of a situation.
    """
    draw = np.random.default_rng(0)
    rows: dict[tuple[str, str, str], tuple[str, str, float, str, str]] = {}
    for user in range(30):
        for _ in range(16):
            who = ("family", "alone")[int(draw.integers(2))]
            fits = draw.random() < 0.9
            item = f"{'c' if (who == 'family') == fits else 't'}{draw.integers(8)}"
            rating = (5.0 if (item[0] == "c") == (who == "family") else 1.0) + float(draw.integers(2))
            sky = ("sunny", "rainy")[int(draw.integers(2))]
            rows[f"u{user}", item, who] = (f"u{user}", item, rating, who, sky)
    users, items, values, company, weather = zip(*rows.values(), strict=True)
    shelf = [f"{kind_}{number}" for kind_ in "ct" for number in range(8)]
    genres = pa.array([[name[0]] for name in shelf], pa.list_(pa.string()))
    data = Dataset.from_tables(
        pa.table({"id": shelf, "title": shelf, "genres": genres}),
        pa.table(
            {"user_id": users, "item_id": items, "value": values, "company": company, "weather": weather}
        ),
    )
    return MomentSet(name="made", dataset=data, kind=kind, domain="films")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One set that is made here, one baseline that takes no training."""
    monkeypatch.setitem(SETS, "made", lambda folder: made())
    monkeypatch.setattr(module, "BASELINES", {QUICK: BASELINES[QUICK]})


def fields_of(questions: Sequence[MomentQuestion]) -> set[str]:
    """Fields of the situation that the questions or the histories in them tell."""
    told = {field for one in questions for field in one.request.context.as_mapping()}
    return told | {field for one in questions for entry in one.request.history for field in entry.context}


@pytest.mark.parametrize("kind", ["choices", "ratings"])
@pytest.mark.parametrize("dropped", FIELDS)
def test_what_is_dropped_is_in_no_question_and_no_training_part(kind: Kind, dropped: str) -> None:
    [kept] = set(FIELDS) - {dropped}
    whole = cut(made(kind), 0)
    split = cut(without_fields(made(kind), [dropped]), 0)
    for before, fold in zip((whole.test, *whole.validation), (split.test, *split.validation), strict=True):
        assert before.train.context_columns == FIELDS
        assert fold.train.context_columns == (kept,)
        assert fields_of(before.questions) == set(FIELDS)
        assert fields_of(fold.questions) == {kept}
        assert fields_in(fold.train) == fields_in(before.train) - 1 == 1


def test_nothing_but_the_field_is_gone_and_the_set_itself_stays() -> None:
    whole = made()
    less = without_fields(whole, ["weather"])
    assert less.dataset.interactions.equals(whole.dataset.interactions.drop_columns(["weather"]))
    assert less.dataset.items.equals(whole.dataset.items)
    assert (less.name, less.kind, less.domain) == (whole.name, whole.kind, whole.domain)
    assert whole.dataset.context_columns == FIELDS
    assert without_fields(whole, []).dataset.interactions.equals(whole.dataset.interactions)


def test_the_same_events_are_asked_about() -> None:
    """The other field still tells of every event, so both ask the same of the same people."""
    before, after = (cut(one, 1).test.questions for one in (made(), without_fields(made(), ["company"])))
    assert [(one.cluster, one.gains) for one in before] == [(one.cluster, one.gains) for one in after]


def test_an_event_that_only_the_dropped_field_told_of_is_asked_no_more() -> None:
    whole = made()
    events = whole.dataset.interactions
    seldom = pa.array(
        [sky if place % 2 else None for place, sky in enumerate(events["weather"].to_pylist())], pa.string()
    )
    position = events.column_names.index("weather")
    events = events.set_column(position, "weather", seldom)
    whole = replace(whole, dataset=replace(whole.dataset, interactions=events))
    less = without_fields(whole, ["company"])

    def asked(moments: MomentSet) -> int:
        split = cut(moments, 0)
        return sum(len(fold.questions) for fold in (split.test, *split.validation))

    assert asked(whole) > asked(less) > 0
    told = {one.request.context.weather for one in cut(less, 0).test.questions}
    assert told == {"sunny", "rainy"}


def test_a_dropped_field_changes_no_answer_and_a_kept_one_does() -> None:
    split = cut(made(), 0)
    question = split.test.questions[0]

    def scores(dropped: Sequence[str], **context: str) -> dict[str, float]:
        retriever = fitted(cut(without_fields(made(), dropped), 0), situated=True)
        asked = replace(question, request=replace(question.request, context=Context(**context)))
        [found] = scores_of(retriever, [asked], situated=True)
        return found

    family, alone = (scores(["weather"], company=who) for who in ("family", "alone"))
    assert max(family, key=lambda name: family[name]).startswith("c")
    assert max(alone, key=lambda name: alone[name]).startswith("t")
    blind = [scores(["company"], company=who, weather="rainy") for who in ("family", "alone")]
    assert blind[0] == blind[1]


@pytest.mark.usefixtures("quick")
def test_the_gain_goes_with_the_field_that_made_it() -> None:
    whole, no_weather, no_company = (
        measure(without_fields(made(), dropped), 2) for dropped in ([], ["weather"], ["company"])
    )
    # What does without the situation is the same in all three.
    assert whole["without_context"] == no_weather["without_context"] == no_company["without_context"]
    assert whole["lift"] > 0.1
    assert no_weather["lift"] > 0.1
    assert abs(no_company["lift"]) < 0.05
    assert no_company["with_context"] < no_weather["with_context"] - 0.05
    assert no_company["baselines"][QUICK] < no_weather["baselines"][QUICK] - 0.05


# The command


def evaluated(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["eval", "context", "--splits", "1", "--json", *words])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("quick")
def test_the_command_drops_what_it_is_told_to(tmp_path: Path) -> None:
    plain = evaluated("--set", "made")
    file = tmp_path / "r.json"
    dropped = evaluated("--set", "made", "--drop", "company", "--results", str(file))
    assert plain["sets"]["made"] == measure(made(), 1)
    assert dropped["sets"]["made"] == measure(without_fields(made(), ["company"]), 1)
    assert dropped["sets"]["made"]["with_context"] < plain["sets"]["made"]["with_context"]
    assert json.loads(file.read_text()) == dropped


def test_fields_may_be_dropped_together_and_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[MomentSet] = []

    def counted(moments: MomentSet, splits: int, **options: Any) -> dict[str, Any]:
        seen.append(moments)
        return {"splits": splits}

    monkeypatch.setattr(module, "measure", counted)
    more = pa.nulls(made().dataset.interactions.num_rows, pa.string())

    def with_mood(name: str) -> MomentSet:
        data = made().dataset
        data = replace(data, interactions=data.interactions.append_column("mood", more))
        return replace(made(), name=name, dataset=data)

    for name in ("one", "two"):
        monkeypatch.setitem(SETS, name, lambda folder, name=name: with_mood(name))
    found = evaluated("--set", "one", "--set", "two", "--drop", "weather", "--drop", "mood")
    assert list(found["sets"]) == ["one", "two"]
    assert [one.dataset.context_columns for one in seen] == [("company",), ("company",)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--drop", "mood"], "made has no field 'mood'; it has company, weather"),
        (["--drop", "weather", "--drop", "Company"], "made has no field 'Company'; it has company, weather"),
        (["--drop", ""], "made has no field ''; it has company, weather"),
        (["--drop", "user_id"], "made has no field 'user_id'; it has company, weather"),
        (["--drop", "company,weather"], "made has no field 'company,weather'; it has company, weather"),
        (["--set", "bare", "--drop", "weather"], "bare has no field 'weather'; it has none"),
        (
            ["--drop", "weather", "--drop", "company"],
            "nothing is left of the situation in made\n→ keep one field at least",
        ),
    ],
)
def test_an_unknown_field_is_refused_before_anything_is_measured(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = without_fields(made(), FIELDS)
    monkeypatch.setitem(SETS, "bare", lambda folder: replace(bare, name="bare"))

    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError("measured")

    monkeypatch.setattr(module, "measure", never)
    target = tmp_path / "r.json"
    command = ["tastemaker", "eval", "context", "--set", "made", *words, "--results", str(target)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        run()
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert err == f"error: {says}\n"
    assert out == ""
    assert not target.exists()


@pytest.mark.parametrize(("name", "field"), [("comoda", "mood"), ("depaul", "company")])
def test_a_published_set_without_a_field(name: str, field: str) -> None:
    if not DATA:
        pytest.skip("TASTEMAKER_DATA names no folder with the data sets")
    whole = load_moments(name)
    less = without_fields(whole, [field])
    assert [*less.dataset.context_columns] == [one for one in whole.dataset.context_columns if one != field]
    assert len(less.dataset.context_columns) == len(whole.dataset.context_columns) - 1
    assert less.dataset.counts == whole.dataset.counts


def test_a_set_without_context_columns_has_nothing_to_drop() -> None:
    if not DATA:
        pytest.skip("TASTEMAKER_DATA names no folder with the data sets")
    with pytest.raises(DataError, match="smart-home has no field 'mood'; it has none"):
        without_fields(load_moments("smart-home"), ["mood"])
