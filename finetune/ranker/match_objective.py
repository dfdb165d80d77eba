"""The loss of the scoring form ``match``: a listwise softmax over candidates' vectors at each ask."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tastemaker.config import ScoringForm
from tastemaker.finetune.ranker.match_head import MatchHead
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Encoded, Tools
from tastemaker.finetune.ranker.packing import Row
from tastemaker.finetune.ranker.stretches import Ask, Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchEncoded(Encoded):
    """One plain row; after the token at ``marks[0][i]`` the question ``asks[i]`` is asked."""

    asks: tuple[Ask, ...]


class MatchObjective:
    """Cross entropy (nats, mean over a stretch's questions) of what came, among what was retrieved.

    The retriever's scores, times ``Recipe.retrieval_weight``, are added to the head's, so that the model
    learns what the retriever does not know.

    Args:
        texts: of all items by position, float32 (n, text); see ``MatchHead.items``.
        factors: float32 (folds + 1, n, factors); a question reads those of its ``Ask.fold``.
    """

    form: ScoringForm = "match"
    needs_target = True

    def __init__(self, tools: Tools, head: MatchHead, texts: Tensor, factors: Tensor) -> None:
        self._tools, self._head = tools, head
        self._texts, self._factors = texts, factors

    def encode(self, example: Stretch) -> MatchEncoded:
        prompt, starts = self._tools.renderer.match_timeline(example.request, ())
        layout = self._tools.layout
        head, _ = layout.around_user_end(prompt.system, prompt.user)
        [ids] = layout.prefix_ids([head])
        ends = [end for _, end in layout.prefix_spans(head)]
        before = len(head) - len(prompt.user)
        # The renderer may have dropped the oldest lines.
        dropped = len(example.request.history) + 1 - len(starts)
        asked = [(ask, before + starts[ask.place - dropped]) for ask in example.asks if ask.place >= dropped]
        places = [(ask, bisect_left(ends, end)) for ask, end in asked]
        told = [(ask, at) for (ask, at), (_, end) in zip(places, asked, strict=True) if ends[at] == end]
        return MatchEncoded(
            rows=(Row(prefix=ids),),
            marks=(tuple(at for _, at in told),),
            asks=tuple(ask for ask, _ in told),
        )

    def loss(self, network: TrainedNetwork, batch: Sequence[MatchEncoded]) -> Tensor:
        hidden = network.hidden([one.rows[0] for one in batch])
        places = [(row, at) for row, one in enumerate(batch) for at in one.marks[0]]
        asks = [ask for one in batch for ask in one.asks]
        if not asks:
            return hidden.sum(dim=(1, 2)) * 0
        rows = torch.tensor(places, device=network.device)
        losses = self.losses(hidden[rows[:, 0], rows[:, 1]], asks)
        parts = torch.split(losses, [len(one.asks) for one in batch])
        return torch.stack([part.mean() if len(part) else losses.sum() * 0 for part in parts])

    def losses(self, states: Tensor, asks: Sequence[Ask]) -> Tensor:
        """One loss per question, float32 (len(asks),), for the states (len(asks), d) where they are asked."""
        device = self._head.device
        width, size = max(len(ask.items) for ask in asks), len(self._texts)
        items = torch.zeros(len(asks), width, dtype=torch.long)
        offsets = torch.full((len(asks), width), -torch.inf)
        for row, ask in enumerate(asks):
            items[row, : len(ask.items)] = torch.from_numpy(ask.items.astype("int64")) + ask.fold * size
            scores = torch.from_numpy(ask.scores)
            offsets[row, : len(ask.items)] = self._tools.retrieval_weight * scores
        needed, places = torch.unique(items, return_inverse=True)
        texts, factors = self._texts[needed % size], self._factors.flatten(0, 1)[needed]
        vectors = self._head.items(texts.to(device), factors.to(device))
        scores = (self._head.users(states.to(device)) @ vectors.T).gather(1, places.to(device))
        targets = torch.tensor([ask.target for ask in asks], device=device)
        return torch.nn.functional.cross_entropy(scores + offsets.to(device), targets, reduction="none")
