"""The head of the scoring form ``match``: a state of the network against a vector per item.

A state (what the network knows where the next item is asked for) goes through a small network; an item's
vector is a linear map of what the lower layers, which LoRA leaves alone, make of its title and genres, and of
factors of who had it together with what. Factors are kept for the items that were trained on, by title; an
item without them is matched by its text alone, and training hides factors at random so that this works.

The score is the inner product, in nats: a logit to be added to a retriever's log-odds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, normalize

from tastemaker.errors import ArtifactError
from tastemaker.prompts.sanitise import FIELD_SEPARATOR

PREFIX = "match_head."
"""Of the head's parameter names among those of the network."""

_CLIP = 8.0
"""Some dimensions of a decoder's states are hundreds of deviations away from the rest on single tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchShape:
    """``layer``: how many of the network's layers an item's text goes through; ``history``: lines read."""

    state: int
    text: int
    factors: int
    layer: int
    history: int
    hidden: int = 512
    vector: int = 128
    length: float = 4.0


class Standardise(nn.Module):
    """Removes mean and spread per dimension, and cuts what is left at ``_CLIP`` deviations."""

    mean: Tensor
    spread: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    @torch.no_grad()
    def fit(self, values: Tensor) -> None:
        self.mean.copy_(values.mean(dim=0))
        self.spread.copy_(values.std(dim=0).clamp(min=1e-4))

    def forward(self, values: Tensor) -> Tensor:
        return ((values - self.mean) / self.spread).clamp(-_CLIP, _CLIP)


class MatchHead(nn.Module):
    """See the module. Train mode drops parts of states, hidden units and whole items' factors."""

    def __init__(
        self,
        shape: MatchShape,
        *,
        drop: tuple[float, float] = (0.4, 0.3),
        factor_drop: float = 0.2,
        known: dict[int, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.known = known if known is not None else {}
        self._drop, self._factor_drop = drop, factor_drop
        self.inner = nn.Linear(shape.state, shape.hidden)
        self.outer = nn.Linear(shape.hidden, shape.vector)
        self.item = nn.Linear(shape.text + shape.factors, shape.vector)
        # Starts at nearly no opinion, so that training starts from the retriever's.
        nn.init.normal_(self.outer.weight, std=0.02 / shape.hidden**0.5)
        nn.init.zeros_(self.outer.bias)
        self.state_scale = Standardise(shape.state)
        self.text_scale = Standardise(shape.text)

    def calibrate(self, states: Tensor, texts: Tensor) -> None:
        """Take means and spreads of states (n, d) and text features (m, e) as the ones to remove."""
        self.state_scale.fit(states)
        self.text_scale.fit(texts)

    def users(self, states: Tensor) -> Tensor:
        """Vectors, float32 (n, vector), of states (n, state)."""
        first, second = self._drop
        values = self.state_scale(states)
        hidden = gelu(self.inner(dropout(values, first, self.training)))
        return self.outer(dropout(hidden, second, self.training))  # type: ignore[no-any-return]

    def items(self, texts: Tensor, factors: Tensor) -> Tensor:
        """Vectors, float32 (m, vector), of text features (m, text) and factors (m, factors)."""
        values = normalize(self.text_scale(texts), dim=1)
        if self.training and self._factor_drop:
            kept = torch.rand(len(factors), 1, device=factors.device) >= self._factor_drop
            factors = factors * kept
        found = normalize(self.item(torch.cat([values, factors], dim=1)), dim=1)
        return found * self.shape.length

    def factors_of(self, texts: Sequence[str]) -> Tensor:
        """Factors, float32 (len(texts), factors), of items by their match texts; zeros for unknown ones."""
        nothing = torch.zeros(self.shape.factors)
        rows = [self.known.get(item_key(text), nothing) for text in texts]
        return torch.stack(rows).float() if rows else torch.zeros(0, self.shape.factors)

    @property
    def device(self) -> torch.device:
        return self.outer.weight.device

    @property
    def learned(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())

    def save(self, path: Path, learned: dict[str, Tensor]) -> None:
        """Write ``learned`` parameters with the buffers, the shape and the known items' factors."""
        keys = sorted(self.known)
        tensors = {
            **{name: value.detach().cpu().contiguous() for name, value in learned.items()},
            **{name: value.detach().cpu().contiguous() for name, value in self.named_buffers()},
            "known_keys": torch.tensor(keys, dtype=torch.int64),
            "known_factors": torch.stack([self.known[key] for key in keys]).half()
            if keys
            else torch.zeros(0, self.shape.factors, dtype=torch.float16),
        }
        # One entry: several would be written in random order, and the same head in other bytes.
        save_file(tensors, path, metadata={"shape": json.dumps(asdict(self.shape), sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> MatchHead:
        """Read a head, ready to score.

        Raises:
            ArtifactError: the file is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                shape = MatchShape(**json.loads(file.metadata()["shape"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            keys = tensors.pop("known_keys").tolist()
            head = cls(shape, known=dict(zip(keys, tensors.pop("known_factors"), strict=True)))
            head.load_state_dict({name: value.float() for name, value in tensors.items()})
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ArtifactError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error
        return head.eval()


def item_key(text: str) -> int:
    """A signed 64-bit key of the title in a match text, whatever genres stand behind it."""
    title = text.split(FIELD_SEPARATOR, 1)[0].casefold()
    digest = hashlib.sha256(title.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
