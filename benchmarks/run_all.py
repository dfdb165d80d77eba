"""The quick measurements of docs/lab.md, one after another (about an hour on two cores).

The tables of the public protocols have commands of their own: baselines_table.py, ranking_table.py.

python benchmarks/run_all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
JOBS = (
    ("score_throughput.py", "--out", "docs/results/throughput.json"),
    ("stages.py",),
    ("scoring_forms.py", "--out", "docs/results/scoring-forms.json"),
    ("untrained_table.py",),
    ("position_bias.py", "--users", "20", "--orders", "3", "--out", "docs/results/position-bias.json"),
)


def main() -> None:
    for script, *arguments in JOBS:
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, HERE / script, *arguments], check=True)


if __name__ == "__main__":
    main()
