"""``tastemaker train retriever``: learn what comes next from a workspace's own sequences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tastemaker.agent.cli.options import JsonOption, WorkspaceOption, out, print_json, progress_bars
from tastemaker.errors import DataError

if TYPE_CHECKING:
    from tastemaker.data.splits import Split
    from tastemaker.index.store import ItemIndex
    from tastemaker.protocols import ProgressCallback
    from tastemaker.workspace import Workspace


def retriever(
    workspace: WorkspaceOption = Path("workspace"),
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most so many passes over the training events.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run with the same data and options was cut off.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained and how long an epoch takes.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train the sequential user encoder and keep its best epoch by NDCG@10 on validation events.

    Each user's second last event is for validation; the last one stays untouched for `tastemaker eval run`.
    The encoder is written to retriever/sequential, its weight in the hybrid to retriever/weights.json, both
    used from then on.
    """
    from tastemaker.data.dataset import Dataset
    from tastemaker.data.splits import leave_one_out
    from tastemaker.finetune.sequential import SequentialRun
    from tastemaker.finetune.sequential_train import SequentialTraining
    from tastemaker.index.store import ItemIndex
    from tastemaker.workspace import Workspace

    place = Workspace(workspace)
    dataset = Dataset.load(place.require_data())
    index = ItemIndex.load(
        place.require_index(), embedder_fingerprint=None, dataset_fingerprint=dataset.fingerprint
    )
    config = SequentialTraining(seed=seed)
    config = config if epochs is None else replace(config, epochs=epochs)
    split = leave_one_out(dataset)
    run = SequentialRun(split.train, split.validation, index, config)
    if dry_run:
        _show(run.plan(), json_)
        return
    with progress_bars() as progress:
        report = run.train(place.sequential, resume=resume, progress=progress)
        weights = _fit_weights(split, place, index, seed, progress)
    facts = {
        "folder": str(place.sequential),
        "epochs": len(report.history),
        "best_epoch": int(report.metrics["epoch"]),
        "metrics": {
            name: round(value, 5) for name, value in report.metrics.items() if name not in ("epoch", "loss")
        },
        "weights": weights,
        "seed": seed,
        "resumed": report.resumed,
        "seconds": round(report.seconds, 1),
    }
    _show(facts, json_)


def _fit_weights(
    split: Split, place: Workspace, index: ItemIndex, seed: int, progress: ProgressCallback | None
) -> dict[str, float]:
    """Balance the encoder against the other parts for users with a history, and write ``weights.json``."""
    from tastemaker.artifacts import write_json
    from tastemaker.config import resolve
    from tastemaker.finetune.fit_validation import weigh_encoder
    from tastemaker.index.catalogue import Catalogue
    from tastemaker.index.sequential import load_sequential
    from tastemaker.prompts.domains import load_domain

    settings, _ = resolve(place.config)
    pack = load_domain(settings.domain)
    encoder = load_sequential(place.sequential, Catalogue(split.train), index, trained_on=None)
    try:
        weights = weigh_encoder(
            split.train,
            split.validation,
            encoder,
            index,
            weigh=pack.weight,
            repeats=pack.repeats,
            seed=seed,
            progress=progress,
        )
    except ValueError as error:
        raise DataError(f"the encoder is trained, but cannot be weighed: {error}") from error
    write_json(place.retriever / "weights.json", weights.to_dict())
    return dict(weights.history)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        out.print(f"{name.replace('_', ' '):<18} {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {figure}" for name, figure in value.items())
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
