"""Every baseline on a protocol's users, tuned on its validation questions: one table, one JSON file.

    python benchmarks/baselines_table.py --protocol llamarec [--only lstm additive] [--tune]

A baseline runs in a process of its own, by ``tastemaker eval run``, so that its memory is its own. With
``--only`` the other rows of the file stay. ``--tune`` tries the grids again before that and keeps what it
chose in eval/baselines/tuned.json; of more than --tune-users users a sample of so many is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from tastemaker.artifacts import write_json
from tastemaker.eval.baselines.registry import BASELINES, TUNED_FILE, tuned_settings, tuning_protocol
from tastemaker.eval.baselines.tuning import tune
from tastemaker.eval.benchmarks import load_benchmark
from tastemaker.eval.protocols import make_protocol, rules_of
from tastemaker.eval.provenance import provenance

TUNED_PATH = Path(__file__).parent.parent / "eval" / "baselines" / TUNED_FILE
SHORT = {"llamarec": "llamarec", "llamarec-tiesafe": "llamarec-tiesafe", "beauty-loo": "beauty"}
METRICS = tuple(f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (5, 10, 20))
COSTS = ("train_seconds", "seconds_per_user", "peak_memory_mib", "load_average")
MADE = ("command", "commit", "machine", "seed", "date")


def tune_all(names: list[str], protocol: str, users: int, seed: int) -> None:
    """Tune one after the other; what is done stays when the next is interrupted."""
    validation = tuning_protocol(protocol)
    dataset = load_benchmark(str(rules_of(validation).benchmark))
    asked = make_protocol(dataset, validation, users=users, seed=seed)
    for name in names:
        found = tune(name, asked, seed=seed)
        kept = tuned_settings()
        made = {key: value for key, value in provenance(seed).items() if key in MADE}
        kept.setdefault(validation, {})[name] = {**found.to_dict(), **made}
        write_json(TUNED_PATH, kept)
        print(f"{name:>12}  validation N@10 {found.chosen.score:.4f}  {found.chosen.setting}", flush=True)


def measure(name: str, protocol: str, seed: int) -> dict[str, Any]:
    """One row: ``tastemaker eval run`` in its own process."""
    words = ["eval", "run", "--system", name, "--protocol", protocol, "--seed", str(seed), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tastemaker", *words], stdout=subprocess.PIPE, check=True, text=True
    )
    summary = json.loads(done.stdout)
    if summary["users"] < 1 or summary["degraded"]:
        raise SystemExit(f"{name} fell back on something else {summary['degraded']} times")
    return {
        "metrics": {key: summary["metrics"][key] for key in METRICS},
        "ci95": {key: summary["ci95"][key] for key in METRICS},
        **{key: summary[key] for key in COSTS},
        "setting": summary["setting"],
        "tuning": summary["tuning"],
        "users": summary["users"],
        "protocol": summary["description"],
        "commit": summary["commit"],
        "date": summary["date"],
    }


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of an earlier run, none when there was none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["baselines"]) if path.exists() else {}


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The table of docs/lab.md."""
    lines = [
        "| baseline | R@5 | R@10 | R@20 | N@5 | N@10 (95 %) | N@20 | M@5 | M@10 | M@20 | train s "
        "| ms/user | MiB |",
        "|---|" + "---|" * 12,
    ]
    for name, row in rows.items():
        cells = [f"{row['metrics'][key]:.4f}" for key in METRICS]
        low, high = row["ci95"]["ndcg@10"]
        cells[METRICS.index("ndcg@10")] += f" ({low:.4f}–{high:.4f})"
        cost = [f"{row['train_seconds']:.1f}", f"{1000 * row['seconds_per_user']:.1f}"]
        lines.append("| " + " | ".join([name, *cells, *cost, f"{row['peak_memory_mib']:,}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--protocol", choices=list(SHORT), default="llamarec")
    parser.add_argument("--only", nargs="+", choices=list(BASELINES), default=list(BASELINES))
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--tune-users", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: docs/results/baselines-PROTOCOL.json")
    asked = parser.parse_args()
    out = asked.out or Path(f"docs/results/baselines-{SHORT[asked.protocol]}.json")
    if asked.tune:
        tune_all(asked.only, asked.protocol, asked.tune_users, asked.seed)
    for name in asked.only:
        row = measure(name, asked.protocol, asked.seed)
        rows = {**read_rows(out), name: row}  # read late: another run may have added its rows meanwhile
        rows = {one: rows[one] for one in BASELINES if one in rows}
        write_json(out, {**provenance(asked.seed), "baselines": rows})
    print(markdown(read_rows(out)))


if __name__ == "__main__":
    main()
