"""A LoRA adapter multiplied into its base: one 16-bit model folder that any program loads without peft.

Rounding the sums to 16 bits changes the scores a little. How much is measured and bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import kendalltau

from tastemaker.errors import ModelError
from tastemaker.finetune.peft_library import peft
from tastemaker.protocols import FloatArray

KIND = "merged-model"
HalfDtype = Literal["bfloat16", "float16"]

MAX_DIFFERENCE = 1.0
"""Nats by which a score may move. Rounding alone is far below; a wrong merge is far above."""

MIN_TAU = 0.9
"""Mean Kendall tau over the prompts between the order of candidates before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alike two sets of scores are: largest difference in nats; mean Kendall tau-b over prompts."""

    prompts: int
    max_difference: float
    mean_difference: float
    kendall_tau: float

    def require(self, max_difference: float = MAX_DIFFERENCE, min_tau: float = MIN_TAU) -> None:
        """Raise ModelError where the merged model ranks otherwise than the adapter."""
        if not (self.max_difference <= max_difference and self.kendall_tau >= min_tau):
            raise ModelError(
                f"the merged model scores otherwise than the adapter: scores move by up to "
                f"{self.max_difference:.3f} nats ({max_difference:g} are allowed), Kendall tau is "
                f"{self.kendall_tau:.3f} (at least {min_tau:g} is wanted); nothing was written",
                hint="--dtype float16 rounds eight times finer; or serve the adapter itself",
            )


def agreement(before: Sequence[FloatArray], after: Sequence[FloatArray]) -> Agreement:
    """Compare the scores (choices,) of each prompt. Prompts whose scores are all alike have no order."""
    differences = np.concatenate([np.abs(a - b) for a, b in zip(before, after, strict=True)])
    taus = [kendalltau(a, b).statistic for a, b in zip(before, after, strict=True) if np.ptp(a) and np.ptp(b)]
    return Agreement(
        prompts=len(before),
        # max() would swallow a NaN score; amax hands it on, and `require` refuses it.
        max_difference=float(np.amax(differences)),
        mean_difference=float(differences.mean()),
        kendall_tau=float(np.mean(taus)) if taus else float("nan"),
    )


def merge_adapter(causal: Any, adapter: Path, folder: Path, dtype: HalfDtype) -> None:
    """Add ``adapter`` to the float32 network ``causal`` (which changes) and save it in ``dtype``."""
    merged = peft.PeftModel.from_pretrained(causal, adapter).merge_and_unload()
    merged.to(getattr(torch, dtype)).save_pretrained(folder)
