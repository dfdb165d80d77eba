"""The retriever alone, the ranker fused with it, and the test between them, on a public protocol.

    python benchmarks/ranking_table.py --protocol llamarec
    python benchmarks/ranking_table.py --protocol beauty-loo --ranker runs/beauty --users 3000

Runs what a user would type, one command after another: measure the hybrid, weigh the ranker on validation
users, measure the fused system, test one against the other. Writes two files of docs/results (RESULTS); run
files stay in runs/PROTOCOL.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

RESULTS = {
    "llamarec": ("llamarec-hybrid.json", "llamarec-fused.json"),
    "llamarec-tiesafe": ("llamarec-tiesafe-hybrid.json", "llamarec-tiesafe.json"),
    "beauty-loo": ("beauty-hybrid.json", "beauty-fused.json"),
}
"""Of the hybrid and of the fused system."""

WEIGHED_ON = {"llamarec-tiesafe": "llamarec"}
"""The protocol whose validation users weigh the ranker, where it is not the protocol itself."""

FUSION_USERS = 400
"""Validation users whose item is among the candidates; all there are when fewer."""


def tastemaker(*words: str | Path) -> None:
    print("$ tastemaker", *words, flush=True)
    subprocess.run([sys.executable, "-m", "tastemaker", *map(str, words)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--protocol", choices=RESULTS, default="llamarec")
    parser.add_argument("--ranker", default="auto", help="adapter folder; auto: the domain's shipped one")
    parser.add_argument("--users", type=int, default=None, help="sample so many; the hybrid answers all")
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    # Spinning threads collapse when another process wants the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    runs = Path("runs") / asked.protocol
    of_hybrid, of_fused = (asked.results / name for name in RESULTS[asked.protocol])
    runs.mkdir(parents=True, exist_ok=True)
    shared = ("--protocol", asked.protocol)
    ranked = ("--set", f"ranker={asked.ranker}", "--workspace", runs)
    sample = () if asked.users is None else ("--users", str(asked.users))
    hybrid, fused = runs / "hybrid.jsonl", runs / "fused.jsonl"
    tastemaker("eval", "run", *shared, "--system", "hybrid", "--out", hybrid, "--results", of_hybrid)
    if sample:
        # The paired test wants the same users.
        hybrid = runs / "hybrid-sample.jsonl"
        tastemaker("eval", "run", *shared, *sample, "--system", "hybrid", "--out", hybrid)
    weighed_on = WEIGHED_ON.get(asked.protocol, asked.protocol)
    tastemaker("train", "fusion", "--protocol", weighed_on, *ranked, "--users", str(FUSION_USERS))
    tastemaker(
        "eval", "run", *shared, *sample, *ranked, "--system", "fused", "--against", hybrid, "--out", fused,
        "--results", of_fused,
    )  # fmt: skip
    tastemaker("eval", "compare", hybrid, fused)


if __name__ == "__main__":
    main()
