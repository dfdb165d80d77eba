"""How a retriever's scores and a language model's scores become one ranking.

Both are brought to mean 0 and deviation 1 over the candidates of a request (``Scale``), weighted and
added; the sums are the logits of a softmax over the candidates. The weights are the maximum-likelihood
fit of that softmax on validation users (``tastemaker.finetune.fit_fusion``), so the shares are calibrated
chances that an item is the next one, given that it is among the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import ArtifactError

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Mean and deviation that standardise the scores of one request; a constant score becomes 0."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, scores: Scores) -> Scale:
        if scores.size == 0:
            return cls(mean=0.0, deviation=1.0)
        mean, deviation = float(scores.mean()), float(scores.std())
        # Below this the differences are rounding noise of float32 sums, not preferences.
        noise = 1e-6 * max(1.0, abs(mean))
        return cls(mean=mean, deviation=deviation if deviation > noise else np.inf)

    def __call__(self, scores: Scores) -> Scores:
        return (scores - self.mean) / self.deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Weights of the two standardised scores. Their ratio sets the order, their size the sharpness.

    The defaults were fitted on ml-100k for the untrained default model: see ``docs/lab.md``.
    """

    retrieval: float = 1.0
    llm: float = 0.3

    def __post_init__(self) -> None:
        if not (0.0 <= self.retrieval < np.inf and 0.0 <= self.llm < np.inf):
            raise ValueError(f"fusion weights must be finite and not negative: {self}")

    def logits(self, retrieval: Scores, llm: Scores | None, scales: tuple[Scale, Scale]) -> Scores:
        """Fused logits of shape (n,). ``scales`` come from the unaltered request, see ``scales_of``."""
        fused = self.retrieval * scales[0](retrieval)
        return fused if llm is None else fused + self.llm * scales[1](llm)

    def llm_share(self, retrieval: Scores, llm: Scores | None) -> float:
        """The part (0..1) of the spread of the fused logits that the language model causes."""
        if llm is None or llm.size == 0:
            return 0.0
        scales = scales_of(retrieval, llm)
        ours = self.retrieval * float(np.std(scales[0](retrieval)))
        its = self.llm * float(np.std(scales[1](llm)))
        return its / (ours + its) if ours + its > 0 else 0.0

    def to_dict(self) -> dict[str, float]:
        return {"retrieval": self.retrieval, "llm": self.llm}

    @classmethod
    def from_dict(cls, values: Any) -> Fusion:
        try:
            return cls(retrieval=float(values["retrieval"]), llm=float(values["llm"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"fusion weights are damaged: {values!r}") from error


def scales_of(retrieval: Scores, llm: Scores | None) -> tuple[Scale, Scale]:
    return Scale.of(retrieval), Scale.of(llm if llm is not None else np.zeros(0))


def softmax(logits: Scores) -> Scores:
    """Shares that sum to 1, shape (n,); empty for no logits."""
    if logits.size == 0:
        return logits
    powers = np.exp(logits - logits.max())
    shares: Scores = powers / powers.sum()
    return shares


def log_odds(logits: Scores) -> Scores:
    """log(p / (1 - p)) of each softmax share, shape (n,), in nats, within -30..30."""
    shares = np.clip(softmax(logits), 1e-13, 1 - 1e-13)
    odds: Scores = np.log(shares) - np.log1p(-shares)
    return odds
