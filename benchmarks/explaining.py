"""What explaining ten items adds to a request: a ratio to the rerank pass, and how many forward passes.

python benchmarks/explaining.py [--users 20] [--out docs/results/explaining.json]

Requests are served one by one on MovieLens-100K: random users at the time of their last event. Each way of
explaining answers the same requests, after one request that warms it up. A reading is an altered request that
the ranking model reads to measure a piece of evidence; forward passes are calls of either model's layers.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import PreTrainedModel

from tastemaker import Recommender
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.rerank import LLMReranker
from tastemaker.answers import Recommendation
from tastemaker.artifacts import write_json
from tastemaker.eval.offline.questions import questions
from tastemaker.eval.provenance import provenance
from tastemaker.eval.significance import bootstrap_interval
from tastemaker.types import Request

K = 10
WAYS: dict[str, dict[str, Any]] = {
    "budget of 8 readings, templates": {"explain": "template", "evidence_readings": 8},
    "every piece read, templates": {"explain": "template", "evidence_readings": "all"},
    "budget of 8 readings, worded by the language model": {"explain": "llm", "evidence_readings": 8},
}


class Counter:
    """Counts readings and forward passes from now on."""

    def __init__(self) -> None:
        self.readings = self.passes = 0
        register_module_forward_pre_hook(self._on_forward)
        scores = LLMReranker.scores

        def counted(reranker: LLMReranker, requests: Sequence[Request], *rest: Any) -> Any:
            self.readings += len(requests)
            return scores(reranker, requests, *rest)

        LLMReranker.scores = counted  # type: ignore[method-assign]

    def _on_forward(self, module: Any, _: Any) -> None:
        # The layers of a language model: neither its head's wrapper nor the embedding model.
        decoder = isinstance(module, PreTrainedModel) and not module.can_generate()
        if decoder and "Bert" not in type(module).__name__:
            self.passes += 1


def measure(pipeline: Pipeline, requests: Sequence[Request], counter: Counter) -> dict[str, Any]:
    pipeline.recommend_batch(requests[:1])
    rerank, explain, readings, passes = [], [], [], []
    answers: list[Recommendation] = []
    for request in requests[1:]:
        counter.readings = counter.passes = 0
        [answer] = pipeline.recommend_batch([request])
        timings = answer.trace.timings_ms
        rerank.append(timings["rerank"])
        explain.append(timings["explain"])
        # The request itself is read once to rank.
        readings.append(counter.readings - 1)
        passes.append(counter.passes)
        answers.append(answer)
    ratios = np.array(explain) / np.array(rerank)
    return {
        "rerank_ms": round(float(np.median(rerank)), 1),
        "explain_ms": round(float(np.median(explain)), 1),
        "ratio": round(float(np.median(ratios)), 2),
        "mean_ratio": round(float(ratios.mean()), 2),
        "mean_ratio_ci95": [round(end, 2) for end in bootstrap_interval(ratios, seed=0)],
        "readings": round(float(np.mean(readings)), 1),
        "forward_passes": round(float(np.mean(passes)), 1),
        "cited": [cited(answer) for answer in answers],
    }


def cited(answer: Recommendation) -> dict[str, set[tuple[str, str]]]:
    return {
        item.id: {(piece.kind, piece.ref) for piece in item.explanation.evidence if piece.kind != "fact"}
        for item in answer
        if item.explanation is not None
    }


def agreement(some: dict[str, Any], whole: dict[str, Any]) -> float:
    """Mean Jaccard index of what both cite, over the items for which either cites anything."""
    shares = [
        len(one[item] & two[item]) / len(one[item] | two[item])
        for one, two in zip(some["cited"], whole["cited"], strict=True)
        for item in one
        if one[item] | two[item]
    ]
    return round(float(np.mean(shares)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/results/explaining.json"))
    asked = parser.parse_args()
    counter = Counter()
    found: dict[str, Any] = {}
    for name, settings in WAYS.items():
        recommender = Recommender.demo(**settings)
        chosen = questions(recommender.dataset, str(asked.users + 1), k=K, seed=0).asked
        found[name] = measure(recommender.parts.pipeline, [one.request for one in chosen], counter)
        print(name, {key: value for key, value in found[name].items() if key != "cited"}, flush=True)
    names = list(WAYS)
    overlap = agreement(found[names[0]], found[names[1]])
    for row in found.values():
        del row["cited"]
    result = {
        **provenance(0),
        "users": asked.users,
        "items": K,
        "ways": found,
        "budget_cites_as_everything_does": overlap,
    }
    write_json(asked.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
