"""Losses over an example's candidates: by letters, and one candidate at a time.

Both are the softmax cross entropy of the very scores that serving fuses (``tastemaker.agent.rerank``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tastemaker.config import ScoringForm
from tastemaker.finetune.ranker.examples import Example
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Encoded, Listing, Tools
from tastemaker.finetune.ranker.packing import Row
from tastemaker.prompts.labels import check_single_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEncoded(Encoded):
    """``reads``: per choice, the tokens whose logits make its score."""

    reads: tuple[tuple[int, ...], ...]
    listing: Listing


class LabelsObjective:
    """LlamaRec's form: cross entropy over the label logits after the prompt (Yue et al. 2023, 3.3).

    The candidates stand in the example's own random order, so that no letter is favoured.
    """

    form: ScoringForm = "labels"
    needs_target = True

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def encode(self, example: Example) -> ListEncoded:
        tools = self._tools
        shown = tools.renderer.labels_prompt(example.request, example.candidates, example.order)
        check_single_tokens(lambda texts: [len(ids) for ids in tools.layout.ids(texts)], shown.prompt.choices)
        found = tools.layout.encode(shown.prompt)
        return ListEncoded(
            rows=(Row(prefix=found.prefix),),
            marks=((len(found.prefix) - 1,),),
            reads=found.choices,
            listing=tools.listing(example, shown.order),
        )

    def loss(self, network: TrainedNetwork, batch: Sequence[ListEncoded]) -> Tensor:
        hidden = network.hidden([one.rows[0] for one in batch])
        losses = []
        for row, one in enumerate(batch):
            labels = torch.tensor([[label for (label,) in one.reads]], device=network.device)
            losses.append(one.listing.loss(network.logits_of(hidden[row, one.marks[0]], labels)[0]))
        return torch.stack(losses)


class AnswerObjective:
    """Isolated scoring: a listwise softmax over the candidates' log-odds of yes against no.

    All candidates of an example are branches of one packed sequence.
    """

    form: ScoringForm = "answer"
    needs_target = True

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def encode(self, example: Example) -> ListEncoded:
        prompt = self._tools.renderer.answer_prompt(example.request, example.candidates)
        found = self._tools.layout.encode(prompt)
        assert found.answers is not None  # the template has them
        row = Row(prefix=found.prefix, branches=found.choices)
        ends = tuple(start + len(ids) - 1 for start, ids in zip(row.starts, row.branches, strict=True))
        return ListEncoded(
            rows=(row,),
            marks=(ends,),
            reads=(found.answers,) * len(found.choices),
            listing=self._tools.listing(example),
        )

    def loss(self, network: TrainedNetwork, batch: Sequence[ListEncoded]) -> Tensor:
        scores = self.scores(network, batch)
        return torch.stack([one.listing.loss(own) for one, own in zip(batch, scores, strict=True)])

    def scores(self, network: TrainedNetwork, batch: Sequence[ListEncoded]) -> list[Tensor]:
        """Log-odds, float32 (candidates,), per example."""
        hidden = network.hidden([one.rows[0] for one in batch])
        out = []
        for row, one in enumerate(batch):
            answers = torch.tensor(one.reads, device=network.device)
            logits = network.logits_of(hidden[row, one.marks[0]], answers)
            out.append(logits[:, 0] - logits[:, 1])
        return out
