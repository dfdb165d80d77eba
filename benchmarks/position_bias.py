"""Does the order of the candidates change the scores? Untrained letters against the trained ranker.

    python benchmarks/position_bias.py --users 40 --out docs/results/position-bias.json

The first 20 candidates (by transition counts) of validation users of LlamaRec's protocol are shown to the
model in several random orders. Reported per system: how often the candidate that was shown first gets the
best score (1/20 is fair), how often the one at the place that is chosen most, and which place that is (from
1), the mean change of a candidate's score between two orders as a share of the spread of one list's scores,
and Kendall's tau between the rankings of two orders.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import combinations
from pathlib import Path

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from tastemaker.agent.assemble import load_model, make_reranker
from tastemaker.agent.rankers import ranking_settings
from tastemaker.agent.rerank import LLMReranker
from tastemaker.artifacts import write_json
from tastemaker.config import Settings
from tastemaker.eval.benchmarks import load_benchmark
from tastemaker.eval.protocols import make_protocol
from tastemaker.eval.provenance import provenance
from tastemaker.eval.systems import build_retrievers
from tastemaker.fusion import Fusion
from tastemaker.types import Candidate, Request

SHOWN = 20
Array = NDArray[np.float64]


def scores_in_orders(
    reranker: LLMReranker,
    requests: list[Request],
    candidates: list[tuple[Candidate, ...]],
    orders: list[list[Array]],
) -> list[list[Array]]:
    """``[user][order]``: scores (20,) by place in the retriever's list."""
    found: list[list[Array]] = [[] for _ in requests]
    for number in range(len(orders[0])):
        shown = [[own[i] for i in order[number]] for own, order in zip(candidates, orders, strict=True)]
        for user, (scores, _) in enumerate(reranker.scores(requests, shown)):
            back = np.empty(SHOWN)
            back[orders[user][number]] = scores
            found[user].append(back)
    return found


def bias(found: list[list[Array]], orders: list[list[Array]]) -> dict[str, float]:
    chosen, changes, taus = [], [], []
    for scores, own in zip(found, orders, strict=True):
        for values, order in zip(scores, own, strict=True):
            chosen.append(int(np.argmax(values[order])))
        for a, b in combinations(scores, 2):
            changes.append(np.abs(a - b).mean() / max(a.std(), 1e-12))
            taus.append(kendalltau(a, b).statistic)
    shares = np.bincount(chosen, minlength=SHOWN) / len(chosen)
    return {
        "first_share": round(float(shares[0]), 4),
        "favourite_share": round(float(shares.max()), 4),
        "favourite_place": int(shares.argmax()) + 1,
        "score_change": round(float(np.mean(changes)), 4),
        "kendall_tau": round(float(np.mean(taus)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--orders", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranker", default="films", help="shipped name or folder of the trained adapter")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    draw = np.random.default_rng(asked.seed)
    protocol = make_protocol(
        load_benchmark("ml-latest-small"), "llamarec-validation", users=asked.users, seed=asked.seed
    )
    untrained = Settings(domain="films", ranker="none")
    hybrid = build_retrievers(protocol.train, untrained)["transitions"]
    requests = [question.request for question in protocol.questions]
    pairs = [
        (request, found)
        for request, found in zip(requests, hybrid.retrieve(requests, SHOWN), strict=True)
        if len(found) == SHOWN
    ]
    requests, candidates = [request for request, _ in pairs], [found for _, found in pairs]
    orders = [[draw.permutation(SHOWN) for _ in range(asked.orders)] for _ in requests]
    systems = {
        "untrained, label letters": untrained.model_copy(update={"scoring": "labels"}),
        "untrained, titles": untrained,
        "trained, match": ranking_settings(untrained.model_copy(update={"ranker": asked.ranker})),
    }
    out: dict[str, object] = {
        **provenance(asked.seed), "protocol": protocol.description, "users": len(requests),
        "orders": asked.orders, "candidates": SHOWN, "fair_share": 1 / SHOWN,
    }  # fmt: skip
    for name, settings in systems.items():
        reranker = make_reranker(load_model(settings, None), settings, Fusion())
        assert isinstance(reranker, LLMReranker)
        out[name] = bias(scores_in_orders(reranker, requests, candidates, orders), orders)
        print(json.dumps({name: out[name]}), flush=True)
    if asked.out is not None:
        write_json(asked.out, out)


if __name__ == "__main__":
    main()
