"""Candidates of training events: retrieved once by retrievers that never saw the user, and kept on disk.

They are reused while nothing they rest on changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tastemaker.artifacts import MANIFEST, atomic_folder, digest_of, read_manifest, write_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError, DataError
from tastemaker.finetune.crossfit import FOLDS, Build, deal
from tastemaker.finetune.ranker.examples import CandidateTable, Event, Timeline
from tastemaker.protocols import ProgressCallback

KIND = "ranker-candidates"
BATCH = 64
_FILE = "candidates.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverSource:
    """How the serving retriever is made from interactions. ``fingerprint`` changes when its answers would."""

    build: Build
    fingerprint: str


def retrieve_candidates(
    train: Dataset,
    events: Sequence[Event],
    source: RetrieverSource,
    n: int,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    cache: Path | None = None,
    progress: ProgressCallback | None = None,
) -> CandidateTable:
    """The first ``n`` candidates before each event, each user's from a retriever built without this user.

    ``cache`` is a folder; what it holds is used when data, events, retriever, ``n`` and folds are the same,
    and replaced otherwise.

    Raises:
        DataError: fewer users than folds.
    """
    facts = {
        "data": train.fingerprint,
        "events": digest_of([[one.user_id, one.position] for one in events]),
        "retriever": source.fingerprint,
        "n": n,
        "folds": [folds, seed],
    }
    kept = _read(cache, facts) if cache is not None else None
    if kept is not None:
        return kept
    if len(train.sequences()) < folds:
        raise DataError(f"the data hold {len(train.sequences())} users; at least {folds} are needed to train")
    table = CandidateTable(
        items=np.full((len(events), n), -1, np.int32), scores=np.zeros((len(events), n), np.float32)
    )
    timeline, done = Timeline(train), 0
    for others, users in deal(train, folds, seed):
        retriever, own = source.build(others), set(users)
        rows = [row for row, event in enumerate(events) if event.user_id in own]
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            found = retriever.retrieve([timeline.request(events[row]) for row in part], n)
            for row, candidates in zip(part, found, strict=True):
                table.items[row, : len(candidates)] = [
                    train.item_positions[one.item.id] for one in candidates
                ]
                table.scores[row, : len(candidates)] = [one.score for one in candidates]
            done += len(part)
            if progress is not None:
                progress("retrieving out of sample", done, len(events))
    if cache is not None:
        with atomic_folder(cache) as staged:
            save_file({"items": table.items, "scores": table.scores}, staged / _FILE)
            write_manifest(staged, KIND, facts)
    return table


def _read(folder: Path, facts: Mapping[str, Any]) -> CandidateTable | None:
    if not (folder / MANIFEST).is_file():
        return None
    try:
        manifest = read_manifest(folder, KIND)
    except ArtifactError:
        return None  # damaged: it is only a cache
    if any(manifest.get(name) != value for name, value in facts.items()):
        return None
    tensors = load_file(folder / _FILE)
    return CandidateTable(items=tensors["items"], scores=tensors["scores"])
