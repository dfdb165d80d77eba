"""A causal network taken apart into trunk and head, with gradients: what losses are computed from.

The counterpart of ``tastemaker.agent.llm_network``, which scores without gradients and with a cache; a test
holds the two together. The trunk runs in mixed precision where the base is bfloat16, logits that a loss reads
are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tastemaker.finetune.ranker.packing import Packed, Row, pack

HEAD_ROWS = 64
"""Positions turned into logits at once: 64 x 152k float32 are 39 MiB, computed again in the backward pass."""


class TrainedNetwork:
    """What objectives see of the network under training."""

    def __init__(self, causal: Any, pad_id: int) -> None:
        self.causal = causal
        self.device: torch.device = causal.device
        self._pad = pad_id
        self._trunk = causal.base_model
        self._head = causal.get_output_embeddings()
        config = causal.config.get_text_config()
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._window: int | None = getattr(config, "sliding_window", None)
        self._kinds = frozenset(getattr(config, "layer_types", None) or ("full_attention",))
        self._mixed = self._head.weight.dtype == torch.bfloat16

    def hidden(self, rows: Sequence[Row]) -> Tensor:
        """Last hidden states, float32 (rows, longest, d); what stands at padding means nothing."""
        packed = pack(rows, self._pad, self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._mixed):
            output = self._trunk(
                input_ids=packed.ids,
                attention_mask=self._mask(packed),
                position_ids=packed.positions,
                use_cache=False,
            )
        states: Tensor = output.last_hidden_state
        return states.float()

    def _mask(self, packed: Packed) -> Tensor | dict[str, Tensor]:
        if not packed.branched:
            return packed.filled
        return {
            kind: packed.visible(self._window if kind == "sliding_attention" else None)
            for kind in self._kinds
        }

    def logits_of(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Logits, float32 (n, k), of ``tokens`` (n, k) after hidden states (n, d).

        Only these rows of the head are multiplied, in float32: a bfloat16 logit has steps of an eighth.
        """
        logits = torch.einsum("nd,nkd->nk", hidden, self._head.weight[tokens].float())
        return self._capped(logits)

    def log_probs(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability, float32 (n,), of ``tokens`` (n,) after hidden states (n, d), over all tokens."""
        normalisers = [
            checkpoint(self._normaliser, part, use_reentrant=False) for part in torch.split(hidden, HEAD_ROWS)
        ]
        return self.logits_of(hidden, tokens[:, None])[:, 0] - torch.cat(normalisers)

    def _normaliser(self, hidden: Tensor) -> Tensor:
        return self._capped(self._head(hidden.to(self._head.weight.dtype)).float()).logsumexp(dim=1)

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self._softcap is None else torch.tanh(logits / self._softcap) * self._softcap
