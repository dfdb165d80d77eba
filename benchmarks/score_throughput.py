"""How fast the rerank forward pass is, against what this machine's matrix multiply allows.

    python benchmarks/score_throughput.py [--model NAME] [--threads 1 2] [--repeats 3]

A prompt of about 300 tokens and 20 candidates is scored in all three forms. Printed as one JSON document:

- ``matmul_gflops``: the rate of one large layer's product (320 x hidden) @ (hidden x intermediate), in the
  same process, measured around the passes, best of all repeats, by type;
- per form: tokens that must be read at least once, seconds (best of the repeats), tokens/s, the floating-
  point operations of the matrix products over these seconds, and their share of ``matmul_gflops``;
- ``shared_prefix_speedup``: seconds when every candidate runs alone with its whole prompt, over seconds
  together.

Seconds are wall time; on a machine with other work use one thread and look at ``cpu_s``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# Before torch: spinning threads collapse when another process wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch

from tastemaker.agent.llm import TransformersLM
from tastemaker.artifacts import write_json
from tastemaker.eval.provenance import provenance
from tastemaker.machine import usable_cores
from tastemaker.types import Prompt
from tastemaker.weights.fetch import ensure

TITLES = (
    "Toy Story (1995)", "GoldenEye (1995)", "Twelve Monkeys (1995)", "Babe (1995)", "Dead Man Walking (1995)",
    "Seven (Se7en) (1995)", "Usual Suspects, The (1995)", "Mighty Aphrodite (1995)", "Postino, Il (1994)",
    "From Dusk Till Dawn (1996)", "Antonia's Line (1995)", "Braveheart (1995)", "Taxi Driver (1976)",
    "Apollo 13 (1995)", "Crimson Tide (1995)", "Star Wars (1977)", "Pulp Fiction (1994)", "Alien (1979)",
    "Empire Strikes Back, The (1980)", "Princess Bride, The (1987)",
)  # fmt: skip
SYSTEM = "You are a film recommender. You know what this person watched and when, and judge what fits now."


def prompts(model: TransformersLM, prefix_tokens: int) -> dict[str, Prompt]:
    """The three forms over one history of about ``prefix_tokens`` tokens."""
    lines: list[str] = []
    while model.count_tokens([SYSTEM + "".join(lines)])[0] < prefix_tokens - 20:
        lines.append(f"- {TITLES[len(lines) % len(TITLES)]}, rated {1 + len(lines) % 5} of 5\n")
    user = "Watched, oldest first:\n" + "".join(lines) + "It is Friday evening. Does this film fit?\n"
    base = Prompt(system=SYSTEM, user=user)
    letters = tuple("ABCDEFGHIJKLMNOPQRST")
    return {
        "labels": replace(base, choices=letters),
        "answer": replace(base, choices=TITLES, answers=("yes", "no")),
        "title": replace(base, choices=TITLES),
    }


def best(repeats: int, work: Callable[[], object]) -> tuple[float, float]:
    """Least wall and CPU seconds of ``repeats`` runs."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def matmul_gflops(hidden: int, intermediate: int, dtype: torch.dtype, repeats: int) -> float:
    rows, rounds = 320, 10
    left, weight = torch.randn(rows, hidden).to(dtype), torch.randn(intermediate, hidden).to(dtype)

    def work() -> None:
        for _ in range(rounds):
            torch.nn.functional.linear(left, weight)

    work()
    return 2 * rows * hidden * intermediate * rounds / best(repeats, work)[0] / 1e9


class Cost:
    """Tokens and operations of a prompt, counted from the same token ids that are scored."""

    def __init__(self, model: TransformersLM, prompt: Prompt) -> None:
        config = model._network.causal.config
        prefix, continuations = model._tokenise(prompt)
        suffixes = [len(item.inputs) for item in continuations]
        self.prefix, self.tokens = len(prefix), len(prefix) + sum(suffixes)
        # Positions at which the whole vocabulary is multiplied: all that predict a title's token.
        heads = 0 if prompt.answers else 1 + sum(suffixes)
        layers = sum(
            weights.numel() for weights in model._network._trunk.layers.parameters() if weights.dim() == 2
        )
        # Scores and mixing: 2 products of (1 x head size) per seen position, head and layer.
        seen = self.prefix**2 / 2 + sum(n * (self.prefix + n / 2) for n in suffixes)
        attention = 4 * seen * config.num_attention_heads * config.head_dim_ * config.num_hidden_layers
        self.flops = 2 * layers * self.tokens + attention + 2 * heads * config.vocab_size * config.hidden_size


def measure(model: TransformersLM, threads: int, repeats: int, prefix_tokens: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    config = model._network.causal.config
    config.head_dim_ = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    shape = (config.hidden_size, config.intermediate_size)
    rates = {name: matmul_gflops(*shape, dtype, repeats) for name, dtype in types.items()}
    forms: dict[str, Any] = {}
    for form, prompt in prompts(model, prefix_tokens).items():
        cost = Cost(model, prompt)
        model.score([prompt])
        wall, cpu = best(repeats, lambda prompt=prompt: model.score([prompt]))
        rates = {name: max(rate, matmul_gflops(*shape, types[name], repeats)) for name, rate in rates.items()}
        forms[form] = {
            "prefix_tokens": cost.prefix,
            "tokens": cost.tokens,
            "wall_s": wall,
            "cpu_s": cpu,
            "tokens_per_s": cost.tokens / wall,
            "gflops": cost.flops / wall / 1e9,
        }
        if form != "labels":
            alone = [replace(prompt, choices=(choice,)) for choice in prompt.choices]
            uncached, _ = best(1, lambda alone=alone: [model.score([single]) for single in alone])
            forms[form]["shared_prefix_speedup"] = uncached / wall
    own = rates[str(model._network.causal.dtype).removeprefix("torch.")]
    for found in forms.values():
        found["share_of_matmul"] = found["gflops"] / own
    return {"threads": threads, "matmul_gflops": rates, "forms": forms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, usable_cores()}))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prefix-tokens", type=int, default=300)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    source = ensure(args.model)
    model = TransformersLM.load(source.path, name=source.name, dtype=args.dtype, device="cpu")
    report = {
        **provenance(0),
        "model": source.name,
        "dtype": str(model._network.causal.dtype).removeprefix("torch."),
        "candidates": len(TITLES),
        "torch": torch.__version__,
        "runs": [measure(model, threads, args.repeats, args.prefix_tokens) for threads in args.threads],
    }
    if args.out is not None:
        write_json(args.out, rounded(report))
    print(json.dumps(rounded(report), indent=2))


def rounded(value: Any) -> Any:
    """Floats to four significant digits, all the way down."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    main()
