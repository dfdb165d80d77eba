"""What an evaluation during training reports, from scores of users whose next item was retrieved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastemaker.finetune.fit_fusion import FusionExample, fit_fusion
from tastemaker.fusion import Scores, softmax

CUTOFF = 10


def measures(examples: Sequence[FusionExample]) -> dict[str, float]:
    """NDCG@10 and NLL (nats per user, natural logarithm) of the model alone, the retriever alone, and fused.

    The fusion's two weights are fitted on these very users, which flatters it by about 1/n nats per user; the
    differences between the evaluations of one training are not touched by that. NLL is that of the softmax
    over the candidates; NDCG places the item behind those with the same score.

    Raises:
        ValueError: there are no examples.
    """
    fit = fit_fusion(examples)
    alone = fit_fusion(
        [FusionExample(retrieval=one.retrieval, llm=0 * one.llm, target=one.target) for one in examples]
    )
    fused = [fit.retrieval * one.retrieval + fit.llm * one.llm for one in examples]
    targets = [one.target for one in examples]
    llm = [one.llm for one in examples]
    return {
        "ndcg@10": _ndcg(llm, targets),
        "nll": _nll(llm, targets),
        "fused_ndcg@10": _ndcg(fused, targets),
        "fused_nll": -fit.log_likelihood,
        "retrieval_ndcg@10": _ndcg([one.retrieval for one in examples], targets),
        "retrieval_nll": -alone.log_likelihood,
        "retrieval_weight": fit.retrieval,
        "llm_weight": fit.llm,
        "users": float(len(examples)),
    }


def _ndcg(scores: Sequence[Scores], targets: Sequence[int]) -> float:
    ranks = [int((own >= own[target]).sum()) for own, target in zip(scores, targets, strict=True)]
    return float(np.mean([1 / np.log2(rank + 1) if rank <= CUTOFF else 0.0 for rank in ranks]))


def _nll(scores: Sequence[Scores], targets: Sequence[int]) -> float:
    shares = [softmax(own)[target] for own, target in zip(scores, targets, strict=True)]
    return float(-np.mean(np.log(np.maximum(shares, 1e-300))))
