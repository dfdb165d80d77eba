"""The training loop of the sequential user encoder: full softmax, early stop, exact resume.

Every random draw of step s comes from a generator seeded by (seed, s) and the order of the data by (seed,
epoch), so that a run that was killed goes on from its last checkpoint to the very same weights: bit-equal on
a CPU with the same number of threads and the same torch, close on a GPU, whose sums have no fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tastemaker.errors import ConfigError
from tastemaker.finetune.sequential_checkpoint import Checkpoint
from tastemaker.finetune.sequential_data import Codes, NextItem, epoch_batches
from tastemaker.index.sequential_model import EncoderShape, UserEncoder, pad_left
from tastemaker.machine import settle_threads
from tastemaker.protocols import FloatArray, ProgressCallback

Tensors = dict[str, Tensor]

_STAGE = "training the user encoder"
_VALIDATION_BATCH = 256
_PADDING = -1
_MAX_LOGITS = 50_000_000
"""Inputs times items of a step: 200 MB in each of some four copies. Beyond 31,250 items steps get smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTraining:
    """Everything that fixes a training run beside the data. The defaults are those of docs/lab.md.

    ``dropout`` and ``input_dropout``: see ``UserEncoder``. ``text_only``: share of the items that do without
    their free vector, drawn anew each step, so that a text alone places an item well. ``average``: decay of
    the moving average of the weights that is validated and kept. ``positions``: inputs per step.
    ``patience``: epochs without a better NDCG@10 after which training stops. Of more than
    ``validation_users`` a random part is asked. ``checkpoint_steps``: what a crash can cost at most.
    """

    shape: EncoderShape = field(default_factory=EncoderShape)
    epochs: int = 60
    patience: int = 8
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    dropout: float = 0.3
    input_dropout: float = 0.3
    text_only: float = 0.1
    average: float = 0.98
    positions: int = 1_600
    validation_users: int = 10_000
    checkpoint_steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "patience",
            "warmup_steps",
            "positions",
            "validation_users",
            "checkpoint_steps",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; at least 1 is wanted")
        for name in ("dropout", "input_dropout", "text_only", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a share from 0 to below 1 is wanted")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """``sequences`` and ``questions`` hold catalogue positions, ``texts`` is float32 (n_items, d)."""

    sequences: Sequence[Codes]
    questions: Sequence[NextItem]
    texts: FloatArray

    @property
    def trained(self) -> Codes:
        """Sorted positions of the items that have a free vector: those of the sequences."""
        return np.unique(np.concatenate(self.sequences))


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run has come: ``batch`` batches of ``epoch`` are done, ``step`` in all. JSON values only."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best(self) -> dict[str, float]:
        """The epoch with the highest NDCG@10, the earliest of equals."""
        return max(self.history, key=lambda row: (row["ndcg@10"], -row["epoch"]))


class Trainer:
    """One run over one data set; ``weights`` are the best epoch's once ``run`` has returned."""

    def __init__(self, data: TrainingData, config: SequentialTraining, device: torch.device) -> None:
        settle_threads()
        self.config = config
        self.progress = Progress()
        self.weights: Tensors = {}
        self._data = data
        self._device = device
        trained = data.trained
        self._texts = torch.from_numpy(data.texts).to(device)  # (n_items, text dimension)
        self._trained = torch.from_numpy(trained).to(device)
        self._row = np.full(len(data.texts) + 1, _PADDING, np.int64)  # position (-1: padding) -> trained row
        self._row[trained] = np.arange(len(trained))
        with _seeded(device, config.seed, 0):
            self.model = UserEncoder(
                config.shape,
                text_dimension=data.texts.shape[1],
                items=len(trained),
                dropout=config.dropout,
                input_dropout=config.input_dropout,
            ).to(device)
        moving = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self.model, multi_avg_fn=moving)
        self._optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate, betas=(0.9, 0.98))

    def run(self, checkpoint: Checkpoint, progress: ProgressCallback | None = None) -> None:
        """Train until the epochs are over or the metric has stopped rising."""
        while not self._finished():
            self._epoch(checkpoint, progress)

    def restore(self, checkpoint: Checkpoint) -> bool:
        """Go on where ``checkpoint`` was written; False when there is none.

        Raises:
            ArtifactError: it belongs to another run, or is damaged.
        """
        found = checkpoint.load()
        if found is None:
            return False
        tensors, facts = found
        self.progress = Progress(**facts)
        self.model.load_state_dict(_part(tensors, "model"))
        self._average.load_state_dict(_part(tensors, "average"))
        self._optimizer.load_state_dict(
            {**self._optimizer.state_dict(), "state": _nested(_part(tensors, "adam"))}
        )
        self.weights = _part(tensors, "best")
        return True

    def epoch_batches(self, epoch: int) -> list[list[Codes]]:
        config = self.config
        positions = min(config.positions, max(1, _MAX_LOGITS // len(self._trained)))
        return epoch_batches(
            self._data.sequences, config.shape.length, positions, seed=config.seed, epoch=epoch
        )

    def step(self, batch: Sequence[Codes]) -> float:
        """One optimizer step over a batch of windows; the mean loss in nats per target."""
        state, config = self.progress, self.config
        with _seeded(self._device, config.seed, 1 + state.step):
            self.model.train()
            loss = self._loss(batch)
            for group in self._optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1.0, (state.step + 1) / config.warmup_steps)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(self.model.parameters(), 1.0)
            self._optimizer.step()
            self._average.update_parameters(self.model)
        return loss.item()

    def _finished(self) -> bool:
        done, config = self.progress, self.config
        if not done.history:
            return False
        return done.epoch >= config.epochs or done.epoch - done.best["epoch"] >= config.patience

    def _epoch(self, checkpoint: Checkpoint, progress: ProgressCallback | None) -> None:
        state, batches = self.progress, self.epoch_batches(self.progress.epoch)
        for batch in batches[state.batch :]:
            state.loss += self.step(batch)
            state.batch += 1
            state.step += 1
            if progress is not None:
                progress(_STAGE, state.epoch * len(batches) + state.batch, self.config.epochs * len(batches))
            if state.step % self.config.checkpoint_steps == 0:
                self._save(checkpoint)
        state.epoch += 1
        found = {"epoch": state.epoch, "loss": state.loss / len(batches), **self.validate()}
        state.history.append(found)
        if state.best is found:
            self.weights = {name: value.clone() for name, value in self._averaged.state_dict().items()}
        state.batch, state.loss = 0, 0.0

    def _loss(self, batch: Sequence[Codes]) -> Tensor:
        """Mean cross-entropy of every next item of the batch against all trained items."""
        inputs = self._rows(pad_left([window[:-1] for window in batch], _PADDING))
        targets = self._rows(pad_left([window[1:] for window in batch], _PADDING))
        items = len(self._trained)
        kept = torch.rand(items, 1, device=self._device) >= self.config.text_only
        vectors = self.model.item_vectors(self._texts[self._trained], self.model.free * kept)
        real = inputs != _PADDING
        hidden = self.model(vectors[inputs.clamp(min=0)], real)[real]  # (targets, dimension)
        return functional.cross_entropy(hidden @ vectors.T, targets[real])

    def _rows(self, positions: Tensor) -> Tensor:
        return torch.from_numpy(self._row[positions.numpy()]).to(self._device)

    @property
    def _averaged(self) -> UserEncoder:
        return cast(UserEncoder, self._average.module)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Metrics of the averaged weights over the whole catalogue without each user's history."""
        model = self._averaged.eval()
        vectors = model.catalogue_vectors(self._texts, self._trained)
        questions = self._data.questions
        ranks: list[int] = []
        for start in range(0, len(questions), _VALIDATION_BATCH):
            asked = questions[start : start + _VALIDATION_BATCH]
            histories = pad_left([one.history[-self.config.shape.length :] for one in asked], _PADDING)
            histories = histories.to(self._device)
            hidden = model(vectors[histories.clamp(min=0)], histories != _PADDING)[:, -1]
            ranks += _ranks((hidden @ vectors.T).cpu().numpy(), asked)
        return _metrics(np.array(ranks))

    def _save(self, checkpoint: Checkpoint) -> None:
        parts: dict[str, Mapping[str, Tensor]] = {
            "model": self.model.state_dict(),
            "average": self._average.state_dict(),
            "adam": _flat(self._optimizer.state_dict()["state"]),
            "best": self.weights,
        }
        tensors = {f"{part}.{name}": value for part, held in parts.items() for name, value in held.items()}
        checkpoint.save(tensors, asdict(self.progress))


def _ranks(scores: FloatArray, asked: Sequence[NextItem]) -> list[int]:
    """Rank of each target among the items that its user has not had, behind those of equal score."""
    found = []
    for row, question in zip(scores, asked, strict=True):
        reached = row[question.target]
        row[question.history] = -np.inf
        found.append(int((row >= reached).sum()))
    return found


def _metrics(ranks: np.ndarray) -> dict[str, float]:
    gains = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)
    return {
        "ndcg@10": float(gains.mean()),
        "recall@10": float((ranks <= 10).mean()),
        "recall@20": float((ranks <= 20).mean()),
    }


@contextmanager
def _seeded(device: torch.device, seed: int, step: int) -> Iterator[None]:
    """Draw from the generator of (seed, step) inside, and leave the caller's generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1))
        yield


def _part(tensors: Mapping[str, Tensor], part: str) -> Tensors:
    """The tensors whose names begin with ``part.``, without it."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _flat(state: Mapping[int, Mapping[str, Tensor]]) -> Tensors:
    """The optimizer's state by parameter number as ``number.name``."""
    return {f"{number}.{name}": value for number, held in state.items() for name, value in held.items()}


def _nested(flat: Mapping[str, Tensor]) -> dict[int, Tensors]:
    """The inverse of ``_flat``."""
    state: dict[int, Tensors] = {}
    for key, value in flat.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    return state
