"""The retriever alone, the ranker fused with it, and the test between them, on a public protocol.

    python benchmarks/ranking_table.py --protocol llamarec
    python benchmarks/ranking_table.py --protocol beauty-loo --ranker runs/beauty --users 3000

Runs what a user would type, one command after another: measure the hybrid, weigh the ranker on validation
users, measure the fused system, test one against the other. Writes docs/results/NAME-hybrid.json and
NAME-fused.json; run files stay in runs/NAME.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

NAMES = {"llamarec": "llamarec", "beauty-loo": "beauty"}
FUSION_USERS = 400
"""Validation users whose item is among the candidates; all there are when fewer."""


def tastemaker(*words: str | Path) -> None:
    print("$ tastemaker", *words, flush=True)
    subprocess.run([sys.executable, "-m", "tastemaker", *map(str, words)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--protocol", choices=NAMES, default="llamarec")
    parser.add_argument("--ranker", default="auto", help="adapter folder; auto: the domain's shipped one")
    parser.add_argument("--users", type=int, default=None, help="sample so many; the hybrid answers all")
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    # Spinning threads collapse when another process wants the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    name, runs = NAMES[asked.protocol], Path("runs") / NAMES[asked.protocol]
    runs.mkdir(parents=True, exist_ok=True)
    shared = ("--protocol", asked.protocol)
    ranked = ("--set", f"ranker={asked.ranker}", "--workspace", runs)
    sample = () if asked.users is None else ("--users", str(asked.users))
    hybrid, fused = runs / "hybrid.jsonl", runs / "fused.jsonl"
    results = asked.results / f"{name}-hybrid.json"
    tastemaker("eval", "run", *shared, "--system", "hybrid", "--out", hybrid, "--results", results)
    if sample:
        # The paired test wants the same users.
        hybrid = runs / "hybrid-sample.jsonl"
        tastemaker("eval", "run", *shared, *sample, "--system", "hybrid", "--out", hybrid)
    tastemaker("train", "fusion", *shared, *ranked, "--users", str(FUSION_USERS))
    results = asked.results / f"{name}-fused.json"
    tastemaker(
        "eval", "run", *shared, *sample, *ranked, "--system", "fused", "--against", hybrid, "--out", fused,
        "--results", results,
    )  # fmt: skip
    tastemaker("eval", "compare", hybrid, fused)


if __name__ == "__main__":
    main()
