"""Metrics against an outside oracle (ir-measures) and against values known by construction."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray
from scipy import stats

from tastemaker.eval.metrics import mrr_at_k, ndcg_at_k, per_user, pessimistic_rank, recall_at_k
from tastemaker.eval.significance import bootstrap_interval, bootstrap_intervals, paired_randomisation_p


def oracle(ranks: list[int], k: int) -> dict[str, list[float]]:
    """The same lists judged by ir-measures: 60 items in a row, the relevant one at its rank or absent."""
    qrels = [ir_measures.Qrel(f"q{i}", "target", 1) for i in range(len(ranks))]
    run = []
    for i, rank in enumerate(ranks):
        names = [f"d{place}" for place in range(1, 61)]
        if rank:
            names[rank - 1] = "target"
        run += [ir_measures.ScoredDoc(f"q{i}", name, float(100 - place)) for place, name in enumerate(names)]
    found: dict[str, dict[str, float]] = {"recall": {}, "ndcg": {}, "mrr": {}}
    names_of = {str(R @ k): "recall", str(nDCG @ k): "ndcg", str(RR @ k): "mrr"}
    for row in ir_measures.iter_calc([R @ k, nDCG @ k, RR @ k], qrels, run):
        found[names_of[str(row.measure)]][row.query_id] = row.value
    return {name: [by_id[f"q{i}"] for i in range(len(ranks))] for name, by_id in found.items()}


@pytest.mark.parametrize("k", [1, 5, 10, 20, 50])
def test_metrics_equal_ir_measures(k: int) -> None:
    ranks = [0, 1, 2, 3, 5, 6, 10, 11, 20, 21, 50, 51, 60]
    want = oracle(ranks, k)
    for name, values in want.items():
        np.testing.assert_allclose(per_user(ranks, [k])[f"{name}@{k}"], values, atol=1e-9)


def test_known_values() -> None:
    ranks = np.array([1, 3, 0])
    np.testing.assert_allclose(ndcg_at_k(ranks, 10), [1.0, 0.5, 0.0])
    np.testing.assert_allclose(mrr_at_k(ranks, 10), [1.0, 1 / 3, 0.0])
    np.testing.assert_allclose(recall_at_k(ranks, 2), [1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="at least 1"):
        recall_at_k(ranks, 0)


def test_ties_count_against_the_system() -> None:
    assert pessimistic_rank([0.5, 0.5, 0.5, 0.1], 0) == 3
    assert pessimistic_rank([0.9, 0.5], 1) == 2
    assert pessimistic_rank([0.9, 0.5], None) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=70), min_size=1, max_size=4), st.data())
def test_whole_lists_with_ties_equal_trec_eval(lists: list[list[int]], data: st.DataObject) -> None:
    """trec_eval orders equal scores by descending id: a target with the smallest id is the last of them."""
    qrels, run, ranks = [], [], []
    for i, scores in enumerate(lists):
        place = data.draw(st.one_of(st.none(), st.integers(0, len(scores) - 1)))
        names = ["0" if at == place else f"d{at}" for at in range(len(scores))]
        qrels.append(ir_measures.Qrel(str(i), "0", 1))
        run += [
            ir_measures.ScoredDoc(str(i), name, float(score))
            for name, score in zip(names, scores, strict=True)
        ]
        ranks.append(pessimistic_rank(scores, place))

    def trec(measure: ir_measures.Measure) -> NDArray[np.float64]:
        found = {row.query_id: row.value for row in ir_measures.iter_calc([measure], qrels, run)}
        return np.array([found[str(i)] for i in range(len(lists))])

    for k in (1, 5, 10, 50):
        ours = per_user(ranks, [k])
        np.testing.assert_allclose(ours[f"recall@{k}"], trec(R @ k), atol=1e-9)
        np.testing.assert_allclose(ours[f"ndcg@{k}"], trec(nDCG @ k), atol=1e-9)
        # ir-measures takes RR@k from elsewhere, where ties fall otherwise; RR is trec_eval's.
        np.testing.assert_allclose(ours[f"mrr@{k}"], trec(RR) * trec(R @ k), atol=1e-9)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(1, 99))
def test_metrics_are_ordered_and_grow_with_k(ranks: list[int], k: int) -> None:
    array = np.array(ranks)
    assert (mrr_at_k(array, k) <= ndcg_at_k(array, k) + 1e-12).all()
    assert (ndcg_at_k(array, k) <= recall_at_k(array, k)).all()
    assert (recall_at_k(array, k) <= recall_at_k(array, k + 1)).all()


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        sample = generator.random(100)
        low, high = bootstrap_interval(sample, seed=seed, resamples=400)
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(2).random(150)
    both = bootstrap_intervals({"a": values, "twice": 2 * values}, seed=3, resamples=250)
    assert both["twice"] == pytest.approx(tuple(2 * end for end in both["a"]))
    assert both["a"] == pytest.approx(bootstrap_interval(values, seed=3, resamples=250))
    with pytest.raises(ValueError, match="no users"):
        bootstrap_intervals({"a": np.empty(0)}, seed=0)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(4).exponential(size=200)
    found = bootstrap_interval(values, seed=0, resamples=20_000)
    want = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    assert found == pytest.approx(tuple(want.confidence_interval), abs=0.01)


def test_the_randomisation_test_tells_a_difference_from_none() -> None:
    generator = np.random.default_rng(1)
    base = generator.random(300)
    assert paired_randomisation_p(base, base, seed=0, resamples=500) == 1.0
    assert paired_randomisation_p(base + 0.05, base, seed=0, resamples=999) == pytest.approx(1 / 1000)
    noise = base + generator.normal(0, 0.3, 300)
    assert paired_randomisation_p(base, noise - (noise - base).mean(), seed=0, resamples=500) > 0.5
    with pytest.raises(ValueError, match="paired"):
        paired_randomisation_p(base, base[:10], seed=0)
