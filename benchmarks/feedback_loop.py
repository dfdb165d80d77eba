"""What counting feedback is worth: MovieLens-100K's later ratings come in as feedback, and are replayed.

python benchmarks/feedback_loop.py [--out docs/results/feedback.json]

The workspace holds the first half of the ratings by time. The second half enters the store as events; the
first 70 % of them are counted, the last 30 % asked, before and after (``tastemaker feedback replay``).
Without a language model: what is compared is what the hybrid has counted.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tastemaker.agent.assemble import load_parts
from tastemaker.agent.demo_data import read_demo_data
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.store import Store, StoredEvent
from tastemaker.artifacts import write_json
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.eval.provenance import provenance
from tastemaker.eval.replay import replay
from tastemaker.index.build import build_index
from tastemaker.prompts.domains import load_domain
from tastemaker.workspace import Workspace


def halves(dataset: Dataset) -> tuple[Dataset, list[StoredEvent]]:
    """The first half of the interactions by time, and the second as events."""
    rows = dataset.interactions.sort_by("timestamp").to_pylist()
    cut = len(rows) // 2
    kept = replace(dataset, interactions=dataset.interactions.sort_by("timestamp").slice(0, cut))
    events = [
        StoredEvent(
            id=str(number),
            item_id=row["item_id"],
            event="like" if row["value"] >= 4 else "watch",
            time=row["timestamp"],
            user_id=row["user_id"],
            value=row["value"],
        )
        for number, row in enumerate(rows[cut:])
    ]
    return kept, events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dataset, events = halves(read_demo_data().dataset)
    settings = Settings(llm="none", explain="none", domain="films", candidates=100)
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        dataset.save(place.data)
        build_index(dataset, place.index, settings.embedder)
        store = Store.at(place.state)
        store.add_events(events)

        def pipeline_of(data: Dataset) -> Pipeline:
            return load_parts(place, settings, train=data).pipeline

        found = replay(dataset, store.events(), load_domain("films"), pipeline_of, seed=asked.seed)
    found["median_history_before"] = float(np.median(np.unique(dataset.codes().user, return_counts=True)[1]))
    print(found)
    if asked.out is not None:
        write_json(asked.out, {**provenance(asked.seed), **found})


if __name__ == "__main__":
    main()
