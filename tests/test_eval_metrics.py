"""Metrics against an outside oracle (ir-measures) and against values known by construction."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG

from tastemaker.eval.metrics import mrr_at_k, ndcg_at_k, per_user, pessimistic_rank, recall_at_k
from tastemaker.eval.significance import bootstrap_interval, paired_randomisation_p


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


def test_the_randomisation_test_tells_a_difference_from_none() -> None:
    generator = np.random.default_rng(1)
    base = generator.random(300)
    assert paired_randomisation_p(base, base, seed=0, resamples=500) == 1.0
    assert paired_randomisation_p(base + 0.05, base, seed=0, resamples=999) == pytest.approx(1 / 1000)
    noise = base + generator.normal(0, 0.3, 300)
    assert paired_randomisation_p(base, noise - (noise - base).mean(), seed=0, resamples=500) > 0.5
    with pytest.raises(ValueError, match="paired"):
        paired_randomisation_p(base, base[:10], seed=0)
