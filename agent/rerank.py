"""The reranker: candidates -> prompts -> language-model scores -> fusion -> a permutation.

Whatever the model does, what comes out is a permutation of what went in. A model that fails leaves the
retriever's order and says so in ``Ranking.degraded``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from tastemaker.config import ScoringForm
from tastemaker.errors import ModelError
from tastemaker.fusion import Fusion, Scores, softmax
from tastemaker.prompts.labels import MAX_LABELS
from tastemaker.prompts.render import LabelsPrompt
from tastemaker.protocols import LanguageModel
from tastemaker.types import Candidate, Language, Prompt, Ranked, Ranking, Request


class ScoringRenderer(Protocol):
    """The part of ``tastemaker.prompts.render.PromptRenderer`` that scoring needs."""

    def labels_prompt(self, request: Request, candidates: Sequence[Candidate]) -> LabelsPrompt: ...

    def answer_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt: ...

    def title_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt: ...

    def match_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt: ...

    def title_prior_prompt(self, candidates: Sequence[Candidate], language: Language) -> Prompt: ...


class RetrievalReranker:
    """Keeps the retriever's order: the reranker when no language model is configured."""

    def __init__(self, reason: str, fusion: Fusion | None = None) -> None:
        self._reason = reason
        self._fusion = fusion or Fusion()

    def rerank(self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]) -> list[Ranking]:
        return [
            fuse(found, None, self._fusion, Ranking(items=(), degraded=self._reason))
            for _, found in zip(requests, candidates, strict=True)
        ]


class LLMReranker:
    """Scores candidates with a language model in one of four forms and fuses with the retriever.

    labels
        Up to 20 candidates stand in the prompt under letters; the score is the letter's log-probability
        in nats. More candidates are dealt over several prompts, like cards, so that each holds strong and
        weak ones; log(number of letters) is added to make their scores comparable.
    answer
        Each candidate is read alone after the shared part; the score is the log-odds of yes against no.
    title
        The log-probability of the title after history, context and wish, minus its log-probability after
        the bare instruction: how much likelier the person makes this title.
    match
        The model's state where the history has come to the next item is compared with a vector of each
        candidate, by a trained head; one reading of the history serves any number of candidates.
    """

    def __init__(
        self, model: LanguageModel, renderer: ScoringRenderer, *, form: ScoringForm, fusion: Fusion
    ) -> None:
        self._model = model
        self._renderer = renderer
        self._form: ScoringForm = form
        self._priors: dict[tuple[str, str], float] = {}
        self.fusion = fusion

    @property
    def reads_once(self) -> bool:
        """Whether one reading of a request scores any number of candidates."""
        return self._form == "match"

    def rerank(self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]) -> list[Ranking]:
        try:
            scored = self.scores(requests, candidates)
        except ModelError as error:
            fallback = RetrievalReranker(f"language model failed: {error}", self.fusion)
            return fallback.rerank(requests, candidates)
        outline = Ranking(items=(), model=self._model.name, adapter=self._model.adapter)
        # A server tells how many it made up for the whole batch, not for whom.
        made_up = self._model.take_repairs()
        rankings = []
        for found, (scores, template) in zip(candidates, scored, strict=True):
            mended, repairs = mend(scores)
            told = replace(outline, template=template, repairs=repairs + made_up)
            rankings.append(fuse(found, mended, self.fusion, told))
        return rankings

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        """The model's score of every candidate, float64 (n,) in the order given, and the template's id."""
        rows = [row for row, found in enumerate(candidates) if found]
        asked = self._ask([requests[row] for row in rows], [candidates[row] for row in rows])
        out: list[tuple[Scores, str]] = [(np.zeros(0), "")] * len(requests)
        for row, answer in zip(rows, asked, strict=True):
            out[row] = answer
        return out

    def _ask(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        """The same for requests that all have candidates."""
        if self._form == "labels":
            return self._label_scores(requests, candidates)
        makers = {
            "answer": self._renderer.answer_prompt,
            "title": self._renderer.title_prompt,
            "match": self._renderer.match_prompt,
        }
        make = makers[self._form]
        prompts = [make(request, found) for request, found in zip(requests, candidates, strict=True)]
        scored = [array.astype(np.float64) for array in self._model.score(prompts)]
        if self._form == "title":
            priors = self._title_priors(requests, candidates, prompts)
            scored = [array - prior for array, prior in zip(scored, priors, strict=True)]
        return [(array, prompt.template) for array, prompt in zip(scored, prompts, strict=True)]

    def _label_scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        jobs: list[tuple[int, list[int], LabelsPrompt]] = []
        for row, (request, found) in enumerate(zip(requests, candidates, strict=True)):
            for dealt in deal(len(found), MAX_LABELS):
                shown = self._renderer.labels_prompt(request, [found[i] for i in dealt])
                jobs.append((row, dealt, shown))
        out = [np.zeros(len(found)) for found in candidates]
        templates = [""] * len(candidates)
        for (row, dealt, shown), scores in zip(
            jobs, self._model.score([job[2].prompt for job in jobs]), strict=True
        ):
            # shown.order[i] is the position, among the dealt ones, of the candidate under label i.
            out[row][[dealt[i] for i in shown.order]] = scores + np.log(len(dealt))
            templates[row] = shown.prompt.template
        return list(zip(out, templates, strict=True))

    def _title_priors(
        self,
        requests: Sequence[Request],
        candidates: Sequence[Sequence[Candidate]],
        prompts: Sequence[Prompt],
    ) -> list[Scores]:
        """Log-probabilities without the person. They depend on the title alone, so each is computed once."""
        missing: dict[Language, dict[str, Candidate]] = {}
        for request, found, prompt in zip(requests, candidates, prompts, strict=True):
            for candidate, title in zip(found, prompt.choices, strict=True):
                if (request.language, title) not in self._priors:
                    missing.setdefault(request.language, {})[title] = candidate
        for language, wanted in missing.items():
            prior = self._renderer.title_prior_prompt(list(wanted.values()), language)
            scores = self._model.score([prior])[0]
            for title, score in zip(prior.choices, scores, strict=True):
                self._priors[language, title] = float(score)
        return [
            np.array([self._priors[request.language, title] for title in prompt.choices])
            for request, prompt in zip(requests, prompts, strict=True)
        ]


def deal(n: int, hand: int) -> list[list[int]]:
    """Positions 0..n-1 dealt like cards over the fewest prompts of at most ``hand`` candidates each."""
    hands = -(-n // hand)
    return [list(range(first, n, hands)) for first in range(hands)]


def mend(scores: Scores) -> tuple[Scores, int]:
    """Replace what is not a finite number by the worst finite score, and count how many there were."""
    good = np.isfinite(scores)
    if good.all():
        return scores, 0
    worst = float(scores[good].min()) if good.any() else 0.0
    return np.where(good, scores, worst), int((~good).sum())


def fuse(candidates: Sequence[Candidate], llm: Scores | None, fusion: Fusion, outline: Ranking) -> Ranking:
    """Rank ``candidates`` by the fused logits; equal ones keep the retriever's order.

    ``outline`` carries what is known of the model; its items are filled in.
    """
    retrieval = np.array([candidate.score for candidate in candidates], dtype=np.float64)
    logits = fusion.logits(retrieval, llm)
    shares = softmax(logits)
    order = np.argsort(-logits, kind="stable")
    items = tuple(
        Ranked(
            rank=rank,
            candidate=candidates[i],
            score=float(shares[i]),
            llm_score=None if llm is None else float(llm[i]),
        )
        for rank, i in enumerate(order, start=1)
    )
    return replace(outline, items=items, llm_share=fusion.llm_share(retrieval, llm))
