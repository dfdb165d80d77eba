"""Arithmetic of scoring on a transformers network: prefixes run once, continuations branch off them.

A *prefix* is a sequence of token ids; a *continuation* follows it. All prefixes of a batch run in one
left-padded forward pass whose key-value cache is then copied to each continuation, so that a prefix
costs the same for one continuation and for a hundred. Hidden states become logits only where a score is
read. This module knows token ids, not texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tastemaker.batching import length_batches
from tastemaker.finetune.ranker.text_features import pooled_states

PREFIX_TOKENS = 8_192
"""Padded tokens of one forward pass over prefixes: bounds activations to some hundred MiB."""

BRANCH_TOKENS = 16_384
"""Cached plus new tokens of one pass over continuations: 400 MiB of cache in float32 for a 0.5B model."""

PASS_COST = 64
"""One more pass over continuations in tokens: it reads all weights again (about .35 s for 2 GB on two cores),
in which time some 50 to 100 tokens are computed."""

HEAD_ROWS = 128
"""Positions turned into logits at once: 128 x 152k float32 are 78 MiB."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What follows a prefix and what is asked about it.

    Without ``answers``: the summed log-probability of ``tokens``. With: the logit of ``answers[0]`` minus
    that of ``answers[1]`` (equal to the difference of their log-probabilities) after all ``tokens``.
    """

    tokens: tuple[int, ...]
    answers: tuple[int, int] | None = None

    @property
    def inputs(self) -> tuple[int, ...]:
        """The tokens that must be read: nothing is predicted after the last one of a title."""
        return self.tokens if self.answers else self.tokens[:-1]


@dataclass(frozen=True, slots=True)
class Job:
    """One prefix and all its continuations."""

    prefix: tuple[int, ...]
    continuations: tuple[Continuation, ...]


class Network:
    """A causal language model taken apart into trunk and head."""

    def __init__(self, causal: Any, pad_id: int) -> None:
        self.causal = causal
        self.device = causal.device
        self._trunk = causal.base_model
        self._head = causal.get_output_embeddings()
        self._softcap: float | None = getattr(causal.config, "final_logit_softcapping", None)
        self._pad = pad_id
        self._windowed = "sliding_attention" in (getattr(causal.config, "layer_types", None) or ())

    @torch.inference_mode()
    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """One score per continuation of each job, in nats, in order."""
        out: list[list[float]] = [[] for _ in jobs]
        for batch in length_batches([len(job.prefix) for job in jobs], PREFIX_TOKENS):
            for index, scores in zip(batch, self._score_batch([jobs[i] for i in batch]), strict=True):
                out[index] = scores
        return out

    @torch.inference_mode()
    def states(self, prefixes: Sequence[tuple[int, ...]]) -> Tensor:
        """What the network knows at the end of each prefix: last hidden states, float32 (prefixes, d)."""
        out = torch.zeros(len(prefixes), self.causal.config.get_text_config().hidden_size)
        trunk = branch_off(prefixes)
        if trunk is not None:
            return self._branch_states(prefixes, *trunk)
        for batch in length_batches([len(ids) for ids in prefixes], PREFIX_TOKENS, pass_cost=PASS_COST):
            ids, mask = pad_left([prefixes[i] for i in batch], self._pad, self.device)
            out[batch] = self._hidden(ids, mask, None)[:, -1].float().cpu()
        return out

    def _branch_states(
        self, rows: Sequence[tuple[int, ...]], trunk: tuple[int, ...], shared: Sequence[int]
    ) -> Tensor:
        """``states`` of rows that begin with ``shared[i]`` tokens of ``trunk``, which is read once."""
        out = torch.zeros(len(rows), self.causal.config.get_text_config().hidden_size)
        cache = DynamicCache()
        start = torch.tensor([trunk], device=self.device)
        self._hidden(start, torch.ones_like(start), cache)
        rests = [row[own:] for row, own in zip(rows, shared, strict=True)]
        for batch in length_batches([len(rest) for rest in rests], PREFIX_TOKENS, pass_cost=PASS_COST):
            kept = [shared[i] for i in batch]
            branch, before = _cut(cache, kept, self.device)
            ids, own_mask = pad_right([rests[i] for i in batch], self._pad, self.device)
            hidden = self._hidden(ids, torch.cat([before, own_mask], dim=1), branch)
            ends = own_mask.sum(dim=1) - 1
            out[batch] = hidden[torch.arange(len(batch)), ends].float().cpu()
        return out

    def pooled(self, rows: Sequence[tuple[int, ...]], *, lead: int, layer: int) -> Tensor:
        """See ``tastemaker.finetune.ranker.text_features.pooled_states``."""
        return pooled_states(self._trunk, rows, lead=lead, layer=layer)

    def _score_batch(self, jobs: Sequence[Job]) -> list[list[float]]:
        branches = [(row, item) for row, job in enumerate(jobs) for item in job.continuations]
        ids, mask, cache = self._read_shared_start([job.prefix for job in jobs])
        last = self._hidden(ids, mask, cache)[:, -1]  # (jobs, d)
        scores = self._score_ends(last, branches)
        deep = [i for i, (_, item) in enumerate(branches) if item.inputs]
        widths = [mask.shape[1] + len(branches[i][1].inputs) for i in deep]
        for batch in length_batches(widths, BRANCH_TOKENS, pass_cost=PASS_COST):
            chosen = [deep[i] for i in batch]
            scores[chosen] += self._score_branches(cache, mask, [branches[i] for i in chosen])
        flat = iter(scores.tolist())
        return [[next(flat) for _ in job.continuations] for job in jobs]

    def _read_shared_start(self, rows: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor, DynamicCache]:
        """Read the tokens with which all rows begin (instruction, history, examples) once.

        Not where layers see a window only: the padding between that beginning and the rest would fill it.

        Returns:
            What is left to read, left-padded int64 (rows, rest); the mask (rows, start + rest) of it
            all; and the cache of the start for every row.
        """
        shared = 0 if self._windowed else shared_start(rows)
        cache = DynamicCache()
        if shared:
            start = torch.tensor([rows[0][:shared]], device=self.device)
            self._hidden(start, torch.ones_like(start), cache)
            cache.batch_repeat_interleave(len(rows))
        ids, mask = pad_left([row[shared:] for row in rows], self._pad, self.device)
        return ids, torch.cat([mask.new_ones(len(rows), shared), mask], dim=1), cache

    def _score_ends(self, last: Tensor, branches: Sequence[tuple[int, Continuation]]) -> Tensor:
        """What the prefix's last position says: the first token of titles, the answers of empty branches."""
        scores = torch.zeros(len(branches), dtype=torch.float32)
        first = [i for i, (_, item) in enumerate(branches) if item.tokens and item.answers is None]
        rows = torch.tensor([branches[i][0] for i in first], dtype=torch.long)
        targets = torch.tensor([branches[i][1].tokens[0] for i in first], dtype=torch.long)
        if first:
            scores[first] = self._log_probs(last, rows, targets)
        for i, (row, item) in enumerate(branches):
            if item.answers and not item.tokens:
                scores[i] = self._log_odds(last[row : row + 1], [item.answers])[0]
        return scores

    def _score_branches(
        self, cache: DynamicCache, mask: Tensor, branches: Sequence[tuple[int, Continuation]]
    ) -> Tensor:
        """Scores (branches,) of what lies inside the branches, which all have at least one input."""
        rows = torch.tensor([row for row, _ in branches], device=self.device)
        branch = DynamicCache()
        layers: Any = cache.layers
        for number, layer in enumerate(layers):
            branch.update(layer.keys[rows], layer.values[rows], number)
        ids, own_mask = pad_right([item.inputs for _, item in branches], self._pad, self.device)
        hidden = self._hidden(ids, torch.cat([mask[rows], own_mask], dim=1), branch)  # (branches, s, d)
        scores = torch.zeros(len(branches), dtype=torch.float32)
        asked = [i for i, (_, item) in enumerate(branches) if item.answers]
        if asked:
            ends = own_mask.sum(dim=1)[asked] - 1
            pairs = [item.answers for _, item in branches if item.answers]
            scores[asked] = self._log_odds(hidden[asked, ends], pairs)
        told = [i for i, (_, item) in enumerate(branches) if item.answers is None]
        if told:
            kept = hidden[told][own_mask[told].bool()]  # (sum of lengths, d)
            owners = [i for i in told for _ in branches[i][1].inputs]
            targets = [token for i in told for token in branches[i][1].tokens[1:]]
            found = self._log_probs(kept, torch.arange(len(targets)), torch.tensor(targets))
            scores.index_add_(0, torch.tensor(owners), found)
        return scores

    def _hidden(self, ids: Tensor, mask: Tensor, cache: DynamicCache | None) -> Tensor:
        """Last hidden states (b, s, d) of ``ids`` (b, s); ``mask`` also covers what is cached."""
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._trunk(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            cache=cache,
            use_cache=cache is not None,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        """float32 (n, vocabulary) for hidden states (n, d)."""
        return self._capped(self._head(hidden.to(self._head.weight.dtype)).float())

    def _logits_of(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """float32 (n, k) for tokens (n, k) after hidden states (n, d).

        A bfloat16 head rounds its logits to steps of an eighth, in which many candidates would tie, so
        the rows that are asked for are multiplied in float32.
        """
        if type(self._head) is not torch.nn.Linear:  # an adapter or quantisation has changed the head
            return self._logits(hidden).gather(1, tokens)
        rows = self._head.weight[tokens].float()  # (n, k, d)
        logits = torch.einsum("nd,nkd->nk", hidden.float(), rows)
        return self._capped(logits if self._head.bias is None else logits + self._head.bias[tokens].float())

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self._softcap is None else torch.tanh(logits / self._softcap) * self._softcap

    def _log_probs(self, hidden: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        """Log-probability, float32 (m,), of token ``targets[i]`` after hidden state ``rows[i]``."""
        normaliser = torch.cat(
            [self._logits(part).logsumexp(dim=1) for part in torch.split(hidden, HEAD_ROWS)]
        )
        out = [
            self._logits_of(hidden[some], tokens[:, None])[:, 0] - normaliser[some]
            for some, tokens in zip(
                torch.split(rows.to(self.device), HEAD_ROWS),
                torch.split(targets.to(self.device), HEAD_ROWS),
                strict=True,
            )
        ]
        return torch.cat(out).cpu()

    def _log_odds(self, hidden: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Logit of the first minus logit of the second token of each pair, float32 (n,)."""
        wanted = torch.tensor(pairs, device=self.device)
        both = torch.cat(
            [
                self._logits_of(part, tokens)
                for part, tokens in zip(
                    torch.split(hidden, HEAD_ROWS), torch.split(wanted, HEAD_ROWS), strict=True
                )
            ]
        )
        return (both[:, 0] - both[:, 1]).cpu()

    @torch.inference_mode()
    def generate(self, prompts: Sequence[tuple[int, ...]], max_new_tokens: int) -> list[list[int]]:
        """Greedy continuations as token ids, cut before the first stop token.

        The tokens with which all prompts of a batch begin are read once.
        """
        out: list[list[int]] = [[] for _ in prompts]
        stops = set(self.stop_ids)
        for batch in length_batches([len(ids) + max_new_tokens for ids in prompts], BRANCH_TOKENS):
            rows = [prompts[i] for i in batch]
            _, mask, cache = self._read_shared_start(rows)
            # generate() wants every token, also those that the cache holds, and the padding in its place.
            ids = torch.full_like(mask, self._pad)
            ids[mask.bool()] = torch.tensor([token for row in rows for token in row], device=self.device)
            replies = self.causal.generate(
                input_ids=ids,
                attention_mask=mask,
                cache=cache if cache.get_seq_length() else None,
                max_new_tokens=max_new_tokens,
            )
            for index, reply in zip(batch, replies[:, ids.shape[1] :].tolist(), strict=True):
                end = next((at for at, token in enumerate(reply) if token in stops), len(reply))
                out[index] = reply[:end]
        return out

    @property
    def stop_ids(self) -> list[int]:
        found = self.causal.generation_config.eos_token_id
        if found is None:
            return []
        return list(found) if isinstance(found, (list, tuple)) else [int(found)]

    @torch.inference_mode()
    def deviation(self, ids: tuple[int, ...]) -> float:
        """How far scoring as done here is from the network's own logits, as a share of their spread.

        Some networks scale their logits in ways of their own, or keep a state that is no key-value
        cache; for those the two differ grossly.
        """
        whole = torch.tensor([ids], device=self.device)
        own = self.causal(input_ids=whole, use_cache=False).logits[0, -1].float()  # (vocabulary,)
        cache = DynamicCache()
        mask = torch.ones_like(whole)
        self._hidden(whole[:, :-2], mask[:, :-2], cache)
        ours = self._logits(self._hidden(whole[:, -2:], mask, cache)[0, -1:])[0]
        return float((own - ours).abs().max() / (own.max() - own.min()).clamp(min=1e-6))


def shared_start(rows: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all rows begin with, leaving every row at least one of its own."""
    if len(rows) < 2:
        return 0
    longest = min(len(row) for row in rows) - 1
    return next((at for at in range(longest) if len({row[at] for row in rows}) > 1), max(longest, 0))


def branch_off(rows: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[int]] | None:
    """The tokens to read once for all rows, and how many of them each row begins with.

    Rows that lack one line of a text each have much in common with the row that lacks the last one. None
    where reading the rows one by one takes no more tokens. A row keeps at least one token of its own.
    """
    if len(rows) < 2:
        return None
    best: tuple[int, tuple[int, ...], list[int]] | None = None
    for trunk in dict.fromkeys(rows):
        shared = [_common(row, trunk) for row in rows]
        longest = max(shared)
        saved = sum(shared) - longest
        if best is None or saved > best[0]:
            best = saved, trunk[:longest], shared
    assert best is not None
    saved, trunk, shared = best
    return (trunk, shared) if saved > PASS_COST else None


def _common(row: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens both begin with, one of ``row`` left out."""
    most = min(len(row) - 1, len(other))
    return next((at for at in range(most) if row[at] != other[at]), most)


def _cut(cache: DynamicCache, lengths: Sequence[int], device: Any) -> tuple[DynamicCache, Tensor]:
    """The first ``lengths[i]`` cached tokens of the only row for each row, padded before; and their mask."""
    width = max(lengths)
    offsets = width - torch.tensor(lengths)[:, None]
    places = (torch.arange(width)[None] - offsets).clamp(min=0).to(device)
    mask = (torch.arange(width)[None] >= offsets).long()
    cut = DynamicCache()
    layers: Any = cache.layers
    for number, layer in enumerate(layers):
        kept = [whole[0][:, places].transpose(0, 1).contiguous() for whole in (layer.keys, layer.values)]
        cut.update(*kept, number)
    return cut, mask.to(device)


def pad_left(rows: Sequence[tuple[int, ...]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Ids and 0/1 mask, both int64 (rows, longest), with the padding before each row."""
    width = max(len(row) for row in rows)
    ids = [[pad] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def pad_right(rows: Sequence[tuple[int, ...]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """The same with the padding behind each row."""
    width = max(len(row) for row in rows)
    ids = [list(row) + [pad] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
