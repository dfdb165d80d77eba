"""Labelled conversations on the real chat: is what was said kept, found and left out?

python benchmarks/conversations.py SCRIPTS.yaml … [--llm] [--misses FILE] [--out FILE]

Films are MovieLens-100K, the shop Amazon's gift cards. Shares are over checks, with 95 % intervals of whole
scripts drawn again. ``--llm`` lets the shipped model order the lists; what turns mean does not depend on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat
from tastemaker.artifacts import write_json
from tastemaker.eval.conversations import Script, Tally, gift_cards, intent_f1, load_scripts, play_all
from tastemaker.eval.provenance import provenance

DRAWS = 2_000


def summary(tallies: Sequence[Tally], seed: int) -> dict[str, Any]:
    """For each kind of check: how many, the share that was right, and its interval."""
    draw = np.random.default_rng(seed).integers(len(tallies), size=(DRAWS, len(tallies)))
    found: dict[str, Any] = {}
    for kind in sorted({kind for one in tallies for kind in one.checked}):
        right = np.array([one.right[kind] for one in tallies], dtype=float)
        checked = np.array([one.checked[kind] for one in tallies], dtype=float)
        shares = right[draw].sum(1) / np.maximum(checked[draw].sum(1), 1)
        found[kind] = {
            "checks": int(checked.sum()),
            "share": round(float(right.sum() / checked.sum()), 4),
            "ci95": [round(float(one), 4) for one in np.quantile(shares, [0.025, 0.975])],
        }
    whole = Tally()
    for one in tallies:
        whole.add(one)
    by_kind = intent_f1(whole.confusion)
    found["intent"] |= {"macro_f1": round(float(np.mean(list(by_kind.values()))), 4)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scripts", nargs="+", type=Path)
    parser.add_argument("--llm", action="store_true")
    parser.add_argument("--misses", type=Path, help="write every miss in words")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    settings = {} if asked.llm else {"llm": "none", "explain": "template"}
    results: dict[str, Any] = {}
    misses: list[str] = []
    with TemporaryDirectory() as folder:
        chats = {
            "films": Chat(Recommender.demo(**settings)),
            "shop": Chat(Recommender.load(gift_cards(Path(folder)), **settings)),
        }
        for path in asked.scripts:
            scripts: list[Script] = load_scripts(path)
            played = [
                tally
                for catalogue, chat in chats.items()
                for _, tally in play_all(
                    chat, [one for one in scripts if one.catalogue == catalogue], Asker()
                )
            ]
            misses += [f"{path.stem} {miss}" for one in played for miss in one.misses]
            results[path.stem] = {"scripts": len(scripts), "checks": summary(played, asked.seed)}
            for kind, one in results[path.stem]["checks"].items():
                print(f"{path.stem:<20} {kind:<12}", one)
    if asked.misses is not None:
        asked.misses.write_text("\n".join(misses) + "\n", encoding="utf-8")
    if asked.out is not None:
        write_json(asked.out, {**provenance(asked.seed), "llm": asked.llm, "sets": results})


if __name__ == "__main__":
    main()
