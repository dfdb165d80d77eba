"""The untrained LLM's ranking against simple retrieval: MovieLens-100K, leave one out, full catalogue.

    python benchmarks/untrained_table.py [--users 150] [--out docs/results/untrained-ml-100k.json]

Retrievers answer for every user; what needs the language model answers for a seeded sample, and the rows
of that sample are repeated for the retrievers, so that each table compares the same users. ``llm`` and
``fused`` come from one pass: they reorder the same scores of the same 20 candidates.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from tastemaker.agent.assemble import load_fusion, load_model, make_reranker
from tastemaker.agent.demo_data import prepare_demo
from tastemaker.artifacts import write_json
from tastemaker.config import resolve
from tastemaker.data.dataset import Dataset
from tastemaker.eval.protocols import make_protocol
from tastemaker.eval.provenance import provenance
from tastemaker.eval.run import Run, ScoredList, run_system
from tastemaker.eval.significance import paired_randomisation_p
from tastemaker.eval.systems import build_retrievers, build_system
from tastemaker.types import Request
from tastemaker.workspace import Workspace

METRICS = ("recall@5", "recall@10", "recall@20", "ndcg@10", "mrr@10")


def row(run: Run, base: Run | None = None) -> dict[str, Any]:
    summary = run.summary()
    out: dict[str, Any] = {
        "metrics": {name: summary["metrics"][name] for name in METRICS},
        "ci95": {name: summary["ci95"][name] for name in METRICS},
        "seconds_per_user": summary["seconds_per_user"],
    }
    if base is not None:
        columns = [one.values()["ndcg@10"] for one in (run, base)]
        out["p_ndcg@10_against_hybrid"] = round(paired_randomisation_p(*columns, seed=run.seed), 4)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/untrained-ml-100k.json"))
    asked = parser.parse_args()
    seed = asked.seed
    place = Workspace(prepare_demo())
    settings, _ = resolve(place.config)
    dataset = Dataset.load(place.data)
    everyone = make_protocol(dataset, "loo")
    sample = make_protocol(dataset, "loo", users=asked.users, seed=seed)
    retrievers = build_retrievers(everyone.train, settings, None)
    fusion = load_fusion(None, settings)
    full: dict[str, Any] = {}
    sampled: dict[str, Run] = {}
    for name in ("popularity", "text", "transitions", "hybrid", "random"):
        system = build_system(name, retrievers, fusion)
        full[name] = row(run_system(name, system, everyone, seed=seed))
        sampled[name] = run_system(name, system, sample, seed=seed)
        print(f"{name:>12}  N@10 {full[name]['metrics']['ndcg@10']:.4f}", flush=True)

    reranker = make_reranker(load_model(settings, None), settings, fusion)
    alone: dict[str, ScoredList] = {}

    def fused(requests: Sequence[Request]) -> list[ScoredList]:
        rankings = reranker.rerank(requests, retrievers["hybrid"].retrieve(requests, settings.candidates))
        for request, ranking in zip(requests, rankings, strict=True):
            if ranking.degraded is not None:
                raise SystemExit(f"the table would not be the language model's: {ranking.degraded}")
            alone[request.request_id] = [(one.item.id, one.llm_score or 0.0) for one in ranking.items]
        return [[(one.item.id, one.score) for one in ranking.items] for ranking in rankings]

    sampled["fused"] = run_system("fused", fused, sample, seed=seed)
    sampled["llm"] = run_system(
        "llm", lambda some: [alone[one.request_id] for one in some], sample, seed=seed
    )
    result = {
        **provenance(seed),
        "protocol": sample.description,
        "full_protocol": everyone.description,
        "model": settings.llm,
        "scoring": settings.scoring,
        "candidates": settings.candidates,
        "fusion": fusion.to_dict(),
        "all_users": full,
        "sample": {name: row(run, sampled["hybrid"]) for name, run in sampled.items()},
    }
    write_json(asked.out, result)
    for name, entry in result["sample"].items():
        print(name, entry)


if __name__ == "__main__":
    main()
