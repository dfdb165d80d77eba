"""Fusion: what the weights do to an order, and where the scale is held."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError
from tastemaker.fusion import Fusion, log_odds, softmax


def test_the_llm_decides_in_proportion_to_its_weight() -> None:
    retrieval, llm = np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0])
    ours = Fusion(retrieval=1.0, llm=0.1).logits(retrieval, llm)
    its = Fusion(retrieval=0.1, llm=1.0).logits(retrieval, llm)
    assert list(np.argsort(-ours)) == [0, 1, 2]
    assert list(np.argsort(-its)) == [2, 1, 0]


def test_the_share_of_the_llm() -> None:
    retrieval, llm = np.array([2.0, 1.0, 0.0]), np.array([5.0, 3.0, 4.0])
    assert Fusion(retrieval=3.0, llm=1.0).llm_share(retrieval, llm) == pytest.approx(0.25)
    assert Fusion().llm_share(retrieval, None) == 0.0
    assert Fusion().llm_share(retrieval, np.full(3, 7.0)) == 0.0
    assert Fusion().llm_share(np.zeros(3), llm) == 1.0


@given(st.lists(st.floats(-1e4, 1e4), min_size=0, max_size=40))
def test_shares_sum_to_one_and_log_odds_keep_the_order(values: list[float]) -> None:
    logits = np.array(values)
    shares = softmax(logits)
    assert shares.size == 0 or shares.sum() == pytest.approx(1.0)
    odds = log_odds(logits)
    assert np.isfinite(odds).all()
    assert (np.diff(odds[np.argsort(logits)]) >= -1e-9).all()


def test_impossible_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Fusion(llm=-0.1)
    with pytest.raises(ArtifactError, match="damaged"):
        Fusion.from_dict({"retrieval": "much"})
