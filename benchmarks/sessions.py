"""How soon an event counts: the very next answer, for random users of MovieLens-100K.

python benchmarks/sessions.py [--users 200] [--out docs/results/sessions.json]

For each user a list is asked, an event is noted about one of its items, and the list is asked again. Told
are the shares of next lists that honour the event, how far the rest moved, and what the second answer costs
beside the first (median ratio, in the same process). No language model.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tastemaker import Recommender
from tastemaker.artifacts import write_json
from tastemaker.eval.offline.moments import rank_biased_overlap
from tastemaker.eval.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rec = Recommender.demo(llm="none", explain="none")
    users = (
        np.random.default_rng(asked.seed).choice(rec.dataset.user_ids, asked.users, replace=False).tolist()
    )
    rec.recommend(user_id=users[0])
    found = {}
    for event in ("not_now", "dislike", "like", "click"):
        gone, overlaps, ratios = [], [], []
        for user in users:
            session = rec.session(user_id=user, k=10)
            begun = time.perf_counter()
            before = [item.id for item in session.recommend()]
            between = time.perf_counter()
            session.event(event, before[2])
            after = [item.id for item in session.recommend()]
            ratios.append((time.perf_counter() - between) / (between - begun))
            gone.append(before[2] not in after)
            rest = [one for one in before if one != before[2]]
            overlaps.append(rank_biased_overlap(rest, [one for one in after if one != before[2]]))
        found[event] = {
            "left_the_next_list": round(float(np.mean(gone)), 4),
            "overlap_of_the_rest": round(float(np.mean(overlaps)), 4),
            "time_of_next_to_first": round(float(np.median(ratios)), 3),
        }
        print(event, found[event])
    if asked.out is not None:
        write_json(asked.out, {**provenance(asked.seed), "users": asked.users, "events": found})


if __name__ == "__main__":
    main()
