"""Train the sequential user encoder of a data set and write it as an artefact that serving loads.

Only the training part and the validation events are read: nothing of the test events reaches the artefact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import save_file

from tastemaker.artifacts import atomic_folder, digest_of, recover_folder, write_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout
from tastemaker.errors import DataError
from tastemaker.finetune.sequential_checkpoint import Checkpoint
from tastemaker.finetune.sequential_data import training_sequences, validation_questions
from tastemaker.finetune.sequential_train import SequentialTraining, Trainer, TrainingData
from tastemaker.index.sequential import (
    ITEMS_FILE,
    KIND,
    WEIGHTS_FILE,
    text_vectors,
    training_fingerprint,
)
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import ProgressCallback

_TIMED_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialReport:
    """Validation metrics of the best epoch and of every epoch, and the seconds this process took."""

    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]
    resumed: bool
    seconds: float


class SequentialRun:
    """A training run over one data set, about to start.

    Example::

        split = leave_one_out(dataset)
        run = SequentialRun(split.train, split.validation, index)
        report = run.train(workspace.retriever / "sequential")
    """

    def __init__(
        self,
        train: Dataset,
        validation: Sequence[Holdout],
        index: ItemIndex,
        config: SequentialTraining | None = None,
    ) -> None:
        """
        Args:
            validation: each user's next events after ``train``; the first of them is asked for.
            index: text vectors of all items of ``train``.

        Raises:
            DataError: there is nothing to learn from, or nothing to validate on.
            ArtifactError: the index lacks an item.
        """
        self.config = config if config is not None else SequentialTraining()
        self._item_ids = train.item_ids
        self._data = TrainingData(
            sequences=training_sequences(train),
            questions=validation_questions(train, validation, self.config.validation_users, self.config.seed),
            texts=text_vectors(train, index),
        )
        if not self._data.sequences or not self._data.questions:
            raise DataError(
                f"{len(self._data.sequences)} users have two training events or more and "
                f"{len(self._data.questions)} a validation event; at least one of each is needed"
            )
        self._made_for = {
            "embedder": index.embedder_name,
            "embedder_fingerprint": index.embedder_fingerprint,
            "training_fingerprint": training_fingerprint(train),
            "config": asdict(self.config),
        }

    def plan(self) -> dict[str, Any]:
        """What training would do, with seconds per epoch as a few steps of it take here. Writes nothing."""
        trainer = self._trainer()
        batches = trainer.epoch_batches(0)
        started = time.perf_counter()
        for batch in batches[:_TIMED_STEPS]:
            trainer.step(batch)
        per_step = (time.perf_counter() - started) / min(len(batches), _TIMED_STEPS)
        return {
            "users": len(self._data.sequences),
            "validation_users": len(self._data.questions),
            "items": len(self._item_ids),
            "trained_items": len(self._data.trained),
            "targets_per_epoch": sum(len(items) - 1 for items in self._data.sequences),
            "steps_per_epoch": len(batches),
            "seconds_per_epoch": round(per_step * len(batches), 1),
            "most_epochs": self.config.epochs,
            "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
        }

    def train(
        self, folder: Path, *, resume: bool = False, progress: ProgressCallback | None = None
    ) -> SequentialReport:
        """Train, keep the epoch with the best NDCG@10 on the validation events, and write it to ``folder``.

        Checkpoints lie beside ``folder`` until the run is over; ``resume`` goes on from them, to the same
        weights. Without it they are overwritten. What was in ``folder`` stays until the end.

        Raises:
            ArtifactError: ``resume`` and the checkpoint is of another run (data, model, settings) or damaged.
            StorageError: the disk is full or read-only.
        """
        started = time.perf_counter()
        trainer = self._trainer()
        checkpoint = Checkpoint(folder.with_name(f".{folder.name}.checkpoint"), self._made_for)
        resumed = resume and trainer.restore(checkpoint)
        trainer.run(checkpoint, progress)
        self._write(folder, trainer)
        checkpoint.discard()
        return SequentialReport(
            metrics=trainer.progress.best,
            history=tuple(trainer.progress.history),
            resumed=resumed,
            seconds=time.perf_counter() - started,
        )

    def ensure(self, root: Path, *, progress: ProgressCallback | None = None) -> Path:
        """The encoder of exactly this run under ``root``: found there, or trained now.

        Its folder is named by a hash of data, embedding model and settings, so that one ``root`` serves many
        runs; one that was cut off goes on.

        Raises:
            ArtifactError: what lies there is damaged.
            StorageError: the disk is full or read-only.
        """
        folder = root / digest_of(self._made_for)
        recover_folder(folder)
        if not folder.is_dir():
            self.train(folder, resume=True, progress=progress)
        return folder

    def _trainer(self) -> Trainer:
        return Trainer(self._data, self.config, Accelerator().device)

    def _write(self, folder: Path, trainer: Trainer) -> None:
        item_ids = [self._item_ids[position] for position in self._data.trained.tolist()]
        facts = {
            **self._made_for,
            "shape": asdict(self.config.shape),
            "seed": self.config.seed,
            "items": len(item_ids),
            "metrics": trainer.progress.best,
            "history": trainer.progress.history,
        }
        with atomic_folder(folder) as staged:
            weights = {name: weight.cpu().contiguous() for name, weight in trainer.weights.items()}
            save_file(weights, staged / WEIGHTS_FILE)
            (staged / ITEMS_FILE).write_text(json.dumps(item_ids) + "\n", encoding="utf-8")
            write_manifest(staged, KIND, facts)
