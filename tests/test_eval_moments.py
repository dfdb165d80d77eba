"""Does the situation help? Splits keep their answers, measures are the formulas, sets the published ones."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.moments.baselines import BASELINES, trained, tune
from tastemaker.eval.moments.questions import (
    FOLDS,
    Fold,
    MomentQuestion,
    cut,
    shuffled,
    unsituated,
    without_situation,
)
from tastemaker.eval.moments.run import SHUFFLED, WITH, WITHOUT, measure, p_value
from tastemaker.eval.moments.sets import SETS, Kind, MomentSet, _joined, _times, load_moments
from tastemaker.eval.moments.systems import fitted, ndcg, scores_of
from tastemaker.types import Context, Request

DATA = os.environ.get("TASTEMAKER_DATA", "")
FEW = {
    "comoda": (121, 1_232, 2_296),
    "depaul": (97, 79, 5_043),
    "incar": (42, 139, 4_012),
    "smart-home": (347, 222, 7_441),
}


def made(kind: Kind, *, whole_users: bool = False) -> MomentSet:
    """Thirty people like cartoons with the family and thrillers alone; which of eight, chance decides."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(30):
        for step in range(16):
            who = ("family", "alone")[int(draw.integers(2))]
            fits = draw.random() < 0.9
            item = f"{'c' if (who == 'family') == fits else 't'}{draw.integers(8)}"
            rating = 5.0 if (item[0] == "c") == (who == "family") else 1.0
            rows.append(
                (f"u{user}", item, 3_600.0 * (100 * user + step), rating + float(draw.integers(2)), who)
            )
    users, items, times, values, company = zip(*{(r[0], r[1], r[4]): r for r in rows}.values(), strict=True)
    shelf = [f"{kind_}{n}" for kind_ in "ct" for n in range(8)]
    data = Dataset.from_tables(
        pa.table(
            {
                "id": shelf,
                "title": shelf,
                "genres": pa.array([[name[0]] for name in shelf], pa.list_(pa.string())),
            }
        ),
        pa.table(
            {"user_id": users, "item_id": items, "timestamp": times, "value": values, "company": company}
        ),
    )
    return MomentSet(name="made", dataset=data, kind=kind, domain="films", whole_users=whole_users)


def pairs(data: Dataset) -> set[tuple[str, str, str]]:
    columns = (data.interactions[name].to_pylist() for name in ("user_id", "item_id", "company"))
    return set(zip(*columns, strict=True))


def test_choices_that_nobody_else_made_change_no_weight() -> None:
    split = cut(made("choices"), 0)

    def weights(*, unknown: bool) -> dict[str, float]:
        folds = []
        for fold in split.validation:
            kept = pc.not_equal(fold.train.interactions["item_id"], "c7")
            train = replace(fold.train, interactions=fold.train.interactions.filter(kept).combine_chunks())
            asked = tuple(one for one in fold.questions if unknown or "c7" not in one.gains)
            assert not unknown or len(asked) == len(fold.questions)
            folds.append(Fold(train=train, questions=asked))
        assert any("c7" in one.gains for fold in split.validation for one in fold.questions)
        return dict(fitted(replace(split, validation=tuple(folds)), situated=True).weights.history)

    assert weights(unknown=True) == weights(unknown=False)


@pytest.mark.parametrize("kind", ["choices", "ratings"])
def test_answers_are_in_no_training_part(kind: Kind) -> None:
    moments = made(kind)
    split = cut(moments, 3)
    everything = pairs(moments.dataset)
    for fold in (*split.validation, split.test):
        known = pairs(fold.train)
        assert fold.questions
        for question in fold.questions:
            told = {(question.cluster, item, question.request.context.company) for item in question.gains}
            assert not told & known
            assert told <= everything
    # What the test asks for is in no fold's training part either.
    answers = everything - pairs(split.test.train)
    assert len(answers) == pytest.approx(len(everything) / FOLDS, abs=2)
    for fold in split.validation:
        assert not answers & pairs(fold.train)
        assert len(pairs(fold.train)) == pytest.approx((1 - 2 / FOLDS) * len(everything), abs=2)


def test_whole_users_are_asked_about_from_what_they_did_before() -> None:
    split = cut(made("choices", whole_users=True), 0)
    asked = {question.cluster for question in split.test.questions}
    assert not asked & set(split.test.train.user_ids)
    for question in split.test.questions:
        before = question.request.history.entries
        assert len(before) >= 3
        assert question.request.context.time is not None
        assert max(entry.timestamp or 0.0 for entry in before) <= question.request.context.time.timestamp()


def test_without_situation_nothing_of_it_is_left() -> None:
    moments = made("choices")
    assert without_situation(moments.dataset).context_columns == ()
    question = cut(moments, 0).test.questions[0]
    bare = unsituated(question.request)
    assert not bare.context
    assert all(not entry.context for entry in bare.history)
    assert bare.history.item_ids == question.request.history.item_ids


def test_shuffling_moves_situations_and_nothing_else() -> None:
    questions = cut(made("choices"), 0).test.questions
    moved = shuffled(questions, 1)
    assert [one.gains for one in moved] == [one.gains for one in questions]
    assert [one.request.history for one in moved] == [one.request.history for one in questions]
    before, after = (sorted(str(one.request.context) for one in some) for some in (questions, moved))
    assert before == after
    assert [one.request.context for one in moved] != [one.request.context for one in questions]


def test_ndcg_is_the_formula_and_ties_count_against_you() -> None:
    question = MomentQuestion(request=Request(context=Context()), gains={"a": 3.0, "b": 1.0}, cluster="u")
    ideal = 3.0 + 1.0 / np.log2(3)
    assert ndcg(question, {"a": 2.0, "b": 1.0}) == pytest.approx(1.0)
    assert ndcg(question, {"b": 2.0, "x": 1.0, "a": 0.0}) == pytest.approx((1.0 + 3.0 / 2.0) / ideal)
    assert ndcg(question, {"a": 1.0, "b": 1.0, "x": 1.0}) == pytest.approx((1 / np.log2(3) + 3 / 2) / ideal)
    assert ndcg(question, {"x": 1.0}) == 0.0
    assert ndcg(question, {f"x{n}": 2.0 for n in range(10)} | {"a": 1.0}) == 0.0


@pytest.mark.parametrize("kind", ["choices", "ratings"])
def test_where_the_situation_decides_it_is_found_and_a_wrong_one_harms(kind: Kind) -> None:
    found = measure(made(kind), 3)
    assert found["with_context"] > 1.05 * found["without_context"]
    assert found["p_value"] < 0.05
    assert found["shuffled_context"] < found["with_context"] - 0.01
    assert found["shuffled_p_value"] < 0.05
    assert set(found["baselines"]) == set(BASELINES)
    assert set(found["accuracy"]) == {WITH, WITHOUT, SHUFFLED, *BASELINES}
    assert all(0.0 < value <= 1.0 for value in found["baselines"].values())


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("kind", ["choices", "ratings"])
def test_every_baseline_reads_the_situation(name: str, kind: Kind) -> None:
    """The same question in two situations has two answers."""
    moments = made(kind)
    split, baseline = cut(moments, 0), BASELINES[name]
    found = tune(
        baseline, split, kind, 0, baseline.grid(7)[-2:] if name == "context kNN" else baseline.grid(1)[:1]
    )
    retriever = trained(baseline, split, kind, 0, found)
    question = split.test.questions[0]
    by_company = {
        company: scores_of(
            retriever,
            [
                replace(
                    question, request=replace(question.request, filters=(), context=Context(company=company))
                )
            ],
            situated=True,
        )[0]
        for company in ("family", "alone")
    }
    assert by_company["family"] != by_company["alone"]


def test_a_test_of_clusters_swaps_whole_clusters() -> None:
    """Hundred questions of one user are one observation."""
    clusters = np.array(["u"] * 100 + ["v"] * 100)
    better = np.array([1.0] * 200)
    assert p_value(better, np.zeros(200), clusters, 0) == pytest.approx(0.5, abs=0.05)
    assert p_value(better, np.zeros(200), np.arange(200).astype(str), 0) < 0.001


def test_windows_are_joined_and_times_go_on() -> None:
    stretch = np.array(
        [
            [d, s, 0, 0, n]
            for n, (d, s) in enumerate([(0, 1), (0, 1), (0, 3), (1, 0), (6, 7), (0, 0), (0, 2)])
        ],
        np.int16,
    )
    windows = np.stack([stretch[first : first + 3] for first in range(5)])
    (joined,) = _joined(windows[[3, 0, 4, 1, 2, 2]])
    assert joined[:, 4].tolist() == list(range(7))
    times = list(_times(joined[:, :2]))
    assert np.diff(times).tolist()[:3] == [1.0, 6 * 3_600.0 - 2, 5 * 3 * 3_600.0]
    assert all(later > earlier for earlier, later in pairwise(times))


def test_an_unknown_set_names_the_known() -> None:
    with pytest.raises(DataError, match="known are comoda, depaul, incar, smart-home"):
        load_moments("netflix")


@pytest.mark.parametrize("name", SETS)
def test_the_published_sets_are_read(name: str) -> None:
    if not DATA:
        pytest.skip("TASTEMAKER_DATA names no folder with the data sets")
    if name == "incar":
        pytest.importorskip("openpyxl", reason="InCarMusic is a spreadsheet: pip install 'tastemaker[eval]'")
    moments = load_moments(name)
    counts = moments.dataset.counts
    assert (counts["users"], counts["items"], counts["interactions"]) == FEW[name]
    split = cut(moments, 0)
    held = defaultdict(int)
    for question in split.test.questions:
        held[question.cluster] += 1
    assert len(split.test.questions) > 90
    assert len(held) > 20


def test_a_real_set_gains_by_its_situations() -> None:
    if not DATA:
        pytest.skip("TASTEMAKER_DATA names no folder with the data sets")
    split = cut(load_moments("depaul"), 1)
    values = [
        np.mean(
            [
                ndcg(one, scores)
                for one, scores in zip(
                    split.test.questions,
                    scores_of(fitted(split, situated=situated), split.test.questions, situated=situated),
                    strict=True,
                )
            ]
        )
        for situated in (True, False)
    ]
    assert values[0] > values[1]
