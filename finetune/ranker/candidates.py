"""Candidates of training moments: retrieved once, kept on disk, reused while nothing they rest on changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tastemaker.artifacts import MANIFEST, atomic_folder, digest_of, read_manifest, write_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError
from tastemaker.finetune.ranker.examples import CandidateTable, Moment, Moments, OutOfSampleRetriever
from tastemaker.protocols import ProgressCallback

KIND = "ranker-candidates"
BATCH = 64
_FILE = "candidates.safetensors"


def retrieve_candidates(
    train: Dataset,
    moments: Sequence[Moment],
    retriever: OutOfSampleRetriever,
    n: int,
    *,
    cache: Path | None = None,
    progress: ProgressCallback | None = None,
) -> CandidateTable:
    """The first ``n`` candidates of every moment.

    ``cache`` is a folder; what it holds is used when data, moments, retriever and ``n`` are the same, and
    replaced otherwise.
    """
    facts = {
        "data": train.fingerprint,
        "moments": digest_of([[one.user_id, one.position] for one in moments]),
        "retriever": retriever.fingerprint,
        "n": n,
    }
    kept = _read(cache, facts) if cache is not None else None
    if kept is not None:
        return kept
    table = _retrieve(train, moments, retriever, n, progress)
    if cache is not None:
        with atomic_folder(cache) as staged:
            save_file({"items": table.items, "scores": table.scores}, staged / _FILE)
            write_manifest(staged, KIND, facts)
    return table


def _retrieve(
    train: Dataset,
    moments: Sequence[Moment],
    retriever: OutOfSampleRetriever,
    n: int,
    progress: ProgressCallback | None,
) -> CandidateTable:
    items = np.full((len(moments), n), -1, np.int32)
    scores = np.zeros((len(moments), n), np.float32)
    requests = Moments(train)
    for first in range(0, len(moments), BATCH):
        asked = [requests.request(moment) for moment in moments[first : first + BATCH]]
        for row, found in enumerate(retriever.retrieve(asked, n), start=first):
            items[row, : len(found)] = [train.item_positions[one.item.id] for one in found]
            scores[row, : len(found)] = [one.score for one in found]
        if progress is not None:
            progress("retrieving candidates", min(first + BATCH, len(moments)), len(moments))
    return CandidateTable(items=items, scores=scores)


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
