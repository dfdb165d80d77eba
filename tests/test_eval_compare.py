"""Only runs of the same questions are compared; corrections against a calculation by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.compare import compare_runs, holm
from tastemaker.eval.protocols import Protocol, make_protocol
from tastemaker.eval.run import ScoredList, run_system
from tastemaker.eval.runfile import save_run
from tastemaker.testing.data import film_data
from tastemaker.types import Request


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return make_protocol(film_data(), "loo")


@pytest.fixture
def saved(tmp_path: Path, protocol: Protocol) -> Callable[..., Path]:
    """Write a run whose target is at ``rank`` for all, or at 1 for the first ``good`` users, else absent."""

    def save(name: str, *, good: int = 30, asked: Protocol = protocol) -> Path:
        targets = {q.request.request_id: (i, q.target) for i, q in enumerate(asked.questions)}

        def system(requests: Sequence[Request]) -> list[ScoredList]:
            found = [targets[request.request_id] for request in requests]
            return [[(target, 1.0)] if i < good else [] for i, target in found]

        save_run(run_system(name, system, asked), tmp_path / name)
        return tmp_path / name

    return save


def test_the_base_has_no_p_and_a_difference_is_found(saved: Callable[..., Path]) -> None:
    base, better, same = compare_runs([saved("base", good=5), saved("better"), saved("same", good=5)])
    assert [row["system"] for row in (base, better, same)] == ["base", "better", "same"]
    assert base["p"] is None
    assert better["p"] < 0.001
    assert same["p"] == 1.0
    assert base["metrics"]["ndcg@10"] == pytest.approx(5 / 30, abs=1e-5)
    assert better["metrics"]["ndcg@10"] == 1.0


def test_two_tests_are_corrected(saved: Callable[..., Path]) -> None:
    paths = [saved("base", good=10), saved("slightly", good=15), saved("much", good=30)]
    one = compare_runs(paths[:2])[1]["p"]
    both = compare_runs(paths)
    # One in 2^4: five of thirty differ, all in one direction.
    assert one == pytest.approx(2 / 2**5, abs=0.01)
    assert both[1]["p"] == pytest.approx(one)
    assert both[2]["p"] == pytest.approx(2 * compare_runs([paths[0], paths[2]])[1]["p"])


def test_the_metric_decides(saved: Callable[..., Path]) -> None:
    paths = [saved("base", good=5), saved("better")]
    assert compare_runs(paths, metric="recall@50")[1]["p"] < 0.001
    with pytest.raises(DataError, match="unknown metric 'ndcg'; known are recall@5"):
        compare_runs(paths, metric="ndcg")


def another_catalogue() -> Dataset:
    """The same users and films, seen in the opposite order."""
    dataset = film_data()
    column = dataset.interactions.column_names.index("timestamp")
    turned = [-moment for moment in dataset.interactions["timestamp"].to_pylist()]
    return Dataset.from_tables(dataset.items, dataset.interactions.set_column(column, "timestamp", [turned]))


def test_other_questions_are_refused(saved: Callable[..., Path]) -> None:
    dataset = film_data()
    base = saved("base")
    others = {
        "fewer users": make_protocol(dataset, "loo", users=3),
        "other users": make_protocol(dataset, "loo", users=29, seed=1),
        "other protocol": make_protocol(dataset, "loo-validation"),
        "other data": make_protocol(another_catalogue(), "loo"),
    }
    for name, asked in others.items():
        with pytest.raises(DataError, match="asked different questions") as caught:
            compare_runs([base, saved(name, asked=asked)])
        assert name in str(caught.value)
        assert "--seed" in str(caught.value.hint)
    assert len(compare_runs([base, saved("again", asked=make_protocol(dataset, "loo", seed=9))])) == 2


def test_files_that_are_none(saved: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no run\n")
    (tmp_path / "other").write_text(json.dumps({"protocol": "loo"}) + "\n")
    for name in ("text", "other", "missing"):
        with pytest.raises(DataError, match=name):
            compare_runs([saved("base"), tmp_path / name])
    with pytest.raises(DataError, match="no run files"):
        compare_runs([])


def test_one_file_is_its_own_base(saved: Callable[..., Path]) -> None:
    (row,) = compare_runs([saved("base")])
    assert row["p"] is None


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ([], []),
        ([0.03], [0.03]),
        # Sorted .01 .03 .04 times 3, 2, 1 = .03 .06 .04; never below the one before: .03 .06 .06.
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        # .005 * 4 = .02; .011 * 3 = .033; .02 * 2 = .04; .04 * 1 = .04.
        ([0.02, 0.005, 0.04, 0.011], [0.04, 0.02, 0.04, 0.033]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(raw: list[float], want: list[float]) -> None:
    assert holm(raw) == pytest.approx(want)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(raw: list[float]) -> None:
    found = holm(raw)
    for p, corrected in zip(raw, found, strict=True):
        assert p <= corrected <= min(1.0, p * len(raw)) or corrected == max(
            min(1.0, (len(raw) - place) * q) for place, q in enumerate(sorted(raw)) if q <= p
        )
    assert [c for _, c in sorted(zip(raw, found, strict=True))] == sorted(found)
