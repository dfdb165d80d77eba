"""How a retriever's scores and a language model's scores become one ranking.

A conditional logit (McFadden 1974): the chance that an item is the next one, given that it is among the
candidates, is the softmax of ``a * retrieval + b * llm``. The weights are its maximum-likelihood fit on
validation users (``tastemaker.finetune.fit_fusion``), so the shares are calibrated. Scores keep their own
units: where the retriever hardly tells its candidates apart, the language model decides more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.config import ScoringForm
from tastemaker.errors import ArtifactError

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Logits per unit of the hybrid's score, which is a log-odds itself, and per nat of the model's score."""

    retrieval: float = 1.0
    llm: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.retrieval < np.inf and 0.0 <= self.llm < np.inf):
            raise ValueError(f"fusion weights must be finite and not negative: {self}")

    def logits(self, retrieval: Scores, llm: Scores | None) -> Scores:
        """Fused logits of shape (n,); ``llm`` None leaves the retriever alone."""
        fused = self.retrieval * retrieval
        return fused if llm is None else fused + self.llm * llm

    def llm_share(self, retrieval: Scores, llm: Scores | None) -> float:
        """The part (0..1) of the spread (standard deviation) of the logits that the language model causes."""
        if llm is None or llm.size == 0:
            return 0.0
        ours, its = self.retrieval * float(np.std(retrieval)), self.llm * float(np.std(llm))
        return its / (ours + its) if ours + its > 0 else 0.0

    def to_dict(self) -> dict[str, float]:
        return {"retrieval": self.retrieval, "llm": self.llm}

    @classmethod
    def from_dict(cls, values: Any) -> Fusion:
        try:
            return cls(retrieval=float(values["retrieval"]), llm=float(values["llm"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"fusion weights are damaged: {values!r}") from error


DEFAULT_FUSION: dict[ScoringForm, Fusion] = {
    "title": Fusion(llm=0.028),
    "answer": Fusion(llm=1.21),
    "labels": Fusion(llm=0.151),
    "match": Fusion(retrieval=1.0, llm=1.0),
}
"""The hybrid's scores are calibrated log-odds and count as they are. The untrained model's weights were
fitted on validation users of MovieLens-100K (``docs/lab.md``); ``match`` is trained on top of the hybrid.
"""


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
