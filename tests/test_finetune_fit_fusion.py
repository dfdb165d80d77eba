"""The fit finds weights that made the data."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.finetune.fit_fusion import FusionExample, fit_fusion
from tastemaker.fusion import softmax


def drawn(a: float, b: float, users: int, seed: int) -> list[FusionExample]:
    """Users whose next item is drawn from the model itself with weights ``a`` and ``b``."""
    generator = np.random.default_rng(seed)
    out = []
    for _ in range(users):
        retrieval, llm = generator.normal(3, 1, 20), generator.normal(-40, 1, 20)
        logits = a * retrieval + b * llm
        target = int(generator.choice(20, p=softmax(logits)))
        out.append(FusionExample(retrieval=retrieval, llm=llm, target=target))
    return out


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.5), (0.3, 1.2), (0.8, 0.0)])
def test_the_weights_behind_the_data_are_found(a: float, b: float) -> None:
    fit = fit_fusion(drawn(a, b, users=4_000, seed=0))
    assert fit.retrieval == pytest.approx(a, abs=0.07)
    assert fit.llm == pytest.approx(b, abs=0.07)
    assert fit.log_likelihood >= fit.log_likelihood_retrieval_only - 1e-9


def test_a_useless_model_gets_almost_no_weight_and_a_harmful_one_none() -> None:
    examples = drawn(1.0, -0.8, users=1_000, seed=1)
    assert fit_fusion(examples).llm == 0.0


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="no user"):
        fit_fusion([])
