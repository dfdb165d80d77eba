"""Training curves for TensorBoard (extra ``train``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastemaker.errors import MissingExtraError
from tastemaker.finetune.ranker.engine import StepReport


class TensorBoardLog:
    """Writes every step's loss, learning rate and speed, and every evaluation's measures.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(package="tensorboard", extra="train") from error
        writer: Any = SummaryWriter
        self._writer = writer(str(folder))

    def __call__(self, report: StepReport) -> None:
        values = {
            "train/loss": report.loss,
            "train/learning_rate": report.learning_rate,
            "train/tokens_per_second": report.tokens_per_second,
            **{f"validation/{name}": value for name, value in report.metrics.items()},
        }
        for name, value in values.items():
            self._writer.add_scalar(name, value, report.step)

    def close(self) -> None:
        self._writer.close()
