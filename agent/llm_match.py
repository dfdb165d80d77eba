"""The scoring form ``match`` in a loaded model: states of prompts against vectors of choices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tastemaker.agent.llm_network import Network
from tastemaker.finetune.ranker.match_head import MatchHead
from tastemaker.finetune.ranker.text_features import lead_of, text_ids
from tastemaker.prompts.chat import ChatLayout
from tastemaker.protocols import FloatArray
from tastemaker.types import Prompt

KEPT_VECTORS = 200_000
"""Vectors of choices that are remembered: 100 MiB at 128 numbers each."""


class Matcher:
    """Not thread-safe by itself: the model that owns it locks."""

    def __init__(self, network: Network, layout: ChatLayout, head: MatchHead) -> None:
        self._network, self._layout, self._head = network, layout, head
        self._vectors: dict[str, Tensor] = {}
        self._lead = lead_of(layout)

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], prefixes: Sequence[tuple[int, ...]]) -> list[FloatArray]:
        """One score per choice of each prompt, in nats up to a constant of the prompt."""
        self._learn([choice for prompt in prompts for choice in prompt.choices])
        users = self._head.users(self._network.states(prefixes).to(self._head.device)).cpu()
        return [
            (torch.stack([self._vectors[choice] for choice in prompt.choices]) @ user).numpy()
            for prompt, user in zip(prompts, users, strict=True)
        ]

    def _learn(self, choices: Sequence[str]) -> None:
        """Compute the vectors that are missing."""
        if len(self._vectors) > KEPT_VECTORS:
            self._vectors.clear()
        missing = [choice for choice in dict.fromkeys(choices) if choice not in self._vectors]
        if not missing:
            return
        ids = text_ids(self._layout, missing)
        texts = self._network.pooled(ids, lead=self._lead, layer=self._head.shape.layer)
        device, factors = self._head.device, self._head.factors_of(missing)
        vectors = self._head.items(texts.to(device), factors.to(device)).cpu()
        self._vectors |= dict(zip(missing, vectors, strict=True))
