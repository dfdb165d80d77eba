"""Seconds per stage and peak memory of the demo's question, model loaded once, best and median of repeats.

python benchmarks/stages.py [--repeats 3] [--out docs/results/stages.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from tastemaker import Recommender
from tastemaker.artifacts import write_json
from tastemaker.eval.provenance import provenance
from tastemaker.eval.run import peak_memory_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results/stages.json"))
    asked = parser.parse_args()
    started = time.perf_counter()
    recommender = Recommender.demo()
    load = time.perf_counter() - started
    rows = []
    for _ in range(asked.repeats):
        answer = recommender.recommend(
            user_id="196",
            wish="something funny and light",
            context={"company": "family", "time": "2026-11-27T20:30"},
        )
        rows.append(dict(answer.trace.timings_ms))
        print(json.dumps(rows[-1]), flush=True)
    stages = {
        name: {
            "best_s": round(min(row[name] for row in rows) / 1_000, 2),
            "median_s": round(statistics.median(row[name] for row in rows) / 1_000, 2),
        }
        for name in rows[0]
    }
    result = {
        **provenance(0),
        "load_s": round(load, 1),
        "stages": stages,
        "peak_memory_mib": round(peak_memory_mib()),
        "repeats": asked.repeats,
        "candidates": answer.trace.candidates,
        "explanation_fallbacks": answer.trace.explanation_fallbacks,
    }
    write_json(asked.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
