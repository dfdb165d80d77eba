"""Losses over titles: of the candidates, as a list, and of a history, as language modelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tastemaker.config import ScoringForm
from tastemaker.finetune.ranker.examples import Example
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Encoded, Listing, Tools
from tastemaker.finetune.ranker.packing import Row
from tastemaker.prompts.chat import PromptIds
from tastemaker.prompts.sanitise import FIELD_SEPARATOR
from tastemaker.types import Candidate

_HISTORY_LINE = re.compile(rf"^- (.+?)(?={re.escape(FIELD_SEPARATOR)}|$)", re.MULTILINE)
"""A history line as ``tastemaker.prompts.words`` writes it; group 1 is the title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleEncoded(Encoded):
    """Two rows: the titles after the person, and after the bare instruction."""

    listing: Listing


class TitleObjective:
    """A listwise softmax over how much likelier the person makes each candidate's title.

    Both terms of the score, with and without the person, are trained, since serving computes both with the
    trained network.
    """

    form: ScoringForm = "title"
    needs_target = True

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def encode(self, example: Example) -> TitleEncoded:
        tools, request = self._tools, example.request
        prompt = tools.renderer.title_prompt(request, example.candidates)
        prior = tools.renderer.title_prior_prompt(example.candidates, request.language)
        rows = tuple(_branched(tools.layout.encode(one)) for one in (prompt, prior))
        return TitleEncoded(rows=rows, marks=tuple(map(_inside, rows)), listing=tools.listing(example))

    def loss(self, network: TrainedNetwork, batch: Sequence[TitleEncoded]) -> Tensor:
        scores = self.scores(network, batch)
        return torch.stack([one.listing.loss(own) for one, own in zip(batch, scores, strict=True)])

    def scores(self, network: TrainedNetwork, batch: Sequence[TitleEncoded]) -> list[Tensor]:
        """Differences of log-likelihoods, float32 (candidates,), per example."""
        ours = _likelihoods(network, [one.rows[0] for one in batch])
        prior = _likelihoods(network, [one.rows[1] for one in batch])
        return [own - without for own, without in zip(ours, prior, strict=True)]


def _branched(found: PromptIds) -> Row:
    return Row(prefix=found.prefix, branches=found.choices)


def _inside(row: Row) -> tuple[int, ...]:
    """Every position of a branch."""
    return tuple(range(len(row.prefix), len(row)))


def _likelihoods(network: TrainedNetwork, rows: Sequence[Row]) -> list[Tensor]:
    """Summed log-probability, float32 (branches,), of each branch's tokens, per row."""
    hidden = network.hidden(rows)
    before: list[tuple[int, int]] = []
    for number, row in enumerate(rows):
        for start, ids in zip(row.starts, row.branches, strict=True):
            # The first token follows the prefix, wherever its branch stands.
            before.append((number, len(row.prefix) - 1))
            before += [(number, at) for at in range(start, start + len(ids) - 1)]
    branches = [ids for row in rows for ids in row.branches]
    tokens = torch.tensor([token for ids in branches for token in ids], device=network.device)
    places = torch.tensor(before, device=network.device)
    found = network.log_probs(hidden[places[:, 0], places[:, 1]], tokens)
    sums = torch.stack([part.sum() for part in torch.split(found, [len(ids) for ids in branches])])
    return list(torch.split(sums, [len(row.branches) for row in rows]))


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTitleEncoded(Encoded):
    """One plain row; the loss is on the tokens at ``marks[0]``, each predicted by the one before it."""


class NextTitleObjective:
    """Language modelling of titles: those of the history, each after what came before, and the next one.

    The mean negative log-likelihood per title token. Everything else in the prompt (ratings, gaps, the
    instruction) is read and not learned.
    """

    form: ScoringForm = "title"
    needs_target = False

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def encode(self, example: Example) -> NextTitleEncoded:
        layout = self._tools.layout
        target = Candidate(item=example.target, score=0.0)
        prompt = self._tools.renderer.title_prompt(example.request, [target])
        found = layout.encode(prompt)
        text = layout.before_reply(prompt.system, prompt.user)
        history = _title_tokens(text, layout.prefix_spans(text))
        [reply] = found.choices
        ids = found.prefix + reply
        return NextTitleEncoded(
            rows=(Row(prefix=ids),), marks=((*history, *range(len(found.prefix), len(ids))),)
        )

    def loss(self, network: TrainedNetwork, batch: Sequence[NextTitleEncoded]) -> Tensor:
        hidden = network.hidden([one.rows[0] for one in batch])
        before = [(row, at - 1) for row, one in enumerate(batch) for at in one.marks[0]]
        tokens = [one.rows[0].prefix[at] for one in batch for at in one.marks[0]]
        places = torch.tensor(before, device=network.device)
        found = network.log_probs(
            hidden[places[:, 0], places[:, 1]], torch.tensor(tokens, device=network.device)
        )
        parts = torch.split(found, [len(one.marks[0]) for one in batch])
        return torch.stack([-part.mean() for part in parts])


def _title_tokens(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of the tokens that hold a character of a history title."""
    inside = [found.span(1) for found in _HISTORY_LINE.finditer(text)]
    return [
        at
        for at, (start, end) in enumerate(spans)
        if at > 0 and any(start < last and end > first for first, last in inside)
    ]
