"""Which scoring form, and with what weight? Measured on validation users of MovieLens-100K.

    python benchmarks/scoring_forms.py --users 100 --out docs/results/scoring-forms.json

Users are those whose validation item (the second last) is among the hybrid's first 20 candidates; the test
items are never touched. Each form gets: NDCG@10 of the language model alone among the 20, of the retriever
alone, of the fusion (weights fitted on the other half of the users, both ways), and seconds per user.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from tastemaker.agent.assemble import load_model, make_reranker
from tastemaker.agent.demo_data import prepare_demo
from tastemaker.agent.rerank import LLMReranker
from tastemaker.artifacts import write_json
from tastemaker.config import ScoringForm, resolve
from tastemaker.data.dataset import Dataset
from tastemaker.eval.fusion_data import fusion_examples, reachable
from tastemaker.eval.metrics import ndcg_at_k, pessimistic_rank
from tastemaker.eval.protocols import make_protocol
from tastemaker.eval.provenance import provenance
from tastemaker.eval.significance import bootstrap_interval
from tastemaker.eval.systems import build_retrievers
from tastemaker.finetune.fit_fusion import FusionExample, fit_fusion
from tastemaker.fusion import Fusion
from tastemaker.workspace import Workspace

FORMS: tuple[ScoringForm, ...] = ("title", "answer", "labels")


def ndcg(scores: list[np.ndarray], examples: list[FusionExample]) -> np.ndarray:
    ranks = [pessimistic_rank(list(s), e.target) for s, e in zip(scores, examples, strict=True)]
    return ndcg_at_k(np.array(ranks), 10)


def crossfit(examples: list[FusionExample]) -> tuple[np.ndarray, Fusion]:
    """Fused NDCG@10 per user, weights always fitted on the other half; and the fit on all."""
    halves = examples[::2], examples[1::2]
    values = np.zeros(len(examples))
    for place, (fit_on, judge) in enumerate(((halves[1], halves[0]), (halves[0], halves[1]))):
        fit = fit_fusion(fit_on)
        fusion = Fusion(retrieval=fit.retrieval, llm=fit.llm)
        values[place::2] = ndcg([fusion.logits(e.retrieval, e.llm) for e in judge], judge)
    fit = fit_fusion(examples)
    return values, Fusion(retrieval=fit.retrieval, llm=fit.llm)


def told(values: np.ndarray, seed: int) -> dict[str, object]:
    low, high = bootstrap_interval(values, seed=seed)
    return {"ndcg@10": round(float(values.mean()), 4), "ci95": [round(low, 4), round(high, 4)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--llm", default=None)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    place = Workspace(prepare_demo())
    settings, _ = resolve(place.config, {"llm": asked.llm})
    protocol = make_protocol(Dataset.load(place.data), "loo-validation")
    hybrid = build_retrievers(protocol.train, settings, None)["hybrid"]
    reached = reachable(protocol, hybrid, settings.candidates, users=asked.users, seed=asked.seed)
    model = load_model(settings, None)
    out: dict[str, object] = {
        **provenance(asked.seed),
        "protocol": protocol.description,
        "users": len(reached),
        "model": settings.llm,
    }
    for form in FORMS:
        reranker = make_reranker(model, settings.model_copy(update={"scoring": form}), Fusion())
        assert isinstance(reranker, LLMReranker)
        started = time.perf_counter()
        examples = list(fusion_examples(reached, reranker))
        seconds = (time.perf_counter() - started) / max(len(reached), 1)
        fused, fusion = crossfit(examples)
        fit = fit_fusion(examples)
        out[form] = {
            "llm_alone": told(ndcg([e.llm for e in examples], examples), asked.seed),
            "retriever_alone": told(ndcg([e.retrieval for e in examples], examples), asked.seed),
            "fused": told(fused, asked.seed),
            "fusion": fusion.to_dict(),
            "log_likelihood_gain": round(fit.log_likelihood - fit.log_likelihood_retrieval_only, 5),
            "seconds_per_user": round(seconds, 3),
        }
        print(json.dumps({form: out[form]}), flush=True)
    if asked.out is not None:
        write_json(asked.out, out)


if __name__ == "__main__":
    main()
