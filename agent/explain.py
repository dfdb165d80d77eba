"""Explanations: evidence first, words second, and nothing unsupported is ever handed out.

Evidence is picked with measured influence, worded by the language model in one batch over all items of
all requests (or by templates), and every sentence goes through the verifier, which trusts neither writer.
A sentence that does not pass is cut and counted; where nothing of the model's text is left, a template
takes its place and the explanation says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tastemaker.agent.evidence import EvidencePicker
from tastemaker.agent.explain_words import Task, TemplateWriter
from tastemaker.agent.verify import Verdict, Verifier
from tastemaker.agent.verify_facts import Catalogue
from tastemaker.errors import ModelError
from tastemaker.protocols import InfluenceProbe, LanguageModel
from tastemaker.types import Evidence, Explanation, Item, Language, Prompt, Ranked, Ranking, Request

MAX_NEW_TOKENS = 60
MAX_SENTENCES = 2
_STOPS = ".!?。！？"


class ExplainRenderer(Protocol):
    """The part of ``tastemaker.prompts.render.PromptRenderer`` that explaining needs."""

    def explain_prompt(
        self, facts: Sequence[str], example_facts: Sequence[str], example: str, language: Language
    ) -> Prompt: ...


class ItemSource(Catalogue, Protocol):
    """A catalogue that can be walked through (``tastemaker.data.dataset.Dataset``)."""

    def iter_items(self) -> Iterator[Item]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    request: Request
    ranked: Ranked
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What the model wrote for a task."""

    text: str
    task: Task


class EvidenceExplainer:
    """Explains the first ``request.k`` items of each ranking.

    Args:
        model: words the evidence; None leaves it to the templates.
        renderer: makes the model's prompts.
        probe: measures influence.
        dataset: the catalogue; its titles are read once, so that naming another item is noticed.
        max_readings: see ``EvidencePicker``.
        domain: name or folder of a domain pack: which nouns and verbs are true of the items.
    """

    def __init__(
        self,
        *,
        model: LanguageModel | None,
        renderer: ExplainRenderer,
        probe: InfluenceProbe,
        dataset: ItemSource,
        domain: str = "generic",
        max_readings: int | None = None,
    ) -> None:
        self._model = model
        self._renderer = renderer
        self._picker = EvidencePicker(probe=probe, catalogue=dataset, max_readings=max_readings)
        titles = (item.title for item in dataset.iter_items())
        self._verifier = Verifier(catalogue=dataset, titles=titles, domain=domain)
        self._templates = TemplateWriter(catalogue=dataset, domain=domain)

    def explain(
        self, requests: Sequence[Request], rankings: Sequence[Ranking]
    ) -> list[tuple[Explanation, ...]]:
        """Return one explanation per item of ``ranking.top(request.k)``, request by request.

        A model that fails is no error here: its items get template texts with ``fallback`` set.
        """
        jobs = [
            [
                _Job(request=request, ranked=ranked, evidence=evidence)
                for ranked, evidence in zip(
                    ranking.top(request.k), self._picker.pick(request, ranking), strict=True
                )
            ]
            for request, ranking in zip(requests, rankings, strict=True)
        ]
        drafts = iter(self._drafts([job for group in jobs for job in group]))
        return [tuple(self._finish(job, next(drafts)) for job in group) for group in jobs]

    def _drafts(self, jobs: Sequence[_Job]) -> list[_Draft | None]:
        """The model's text for each job, "" where it fails; None where no model is asked."""
        drafts: list[_Draft | None] = [None] * len(jobs)
        if self._model is None:
            return drafts
        asked: list[tuple[int, Task]] = []
        prompts: list[Prompt] = []
        for at, job in enumerate(jobs):
            task = self._templates.task(job.request, job.ranked, job.evidence)
            if task is not None:
                asked.append((at, task))
                prompts.append(
                    self._renderer.explain_prompt(
                        task.facts, task.example_facts, task.example, job.request.language
                    )
                )
        if not asked:
            return drafts
        try:
            replies = self._model.generate(prompts, max_new_tokens=MAX_NEW_TOKENS)
        except ModelError:
            replies = [""] * len(asked)
        lengths = self._model.count_tokens(replies)
        for (at, task), reply, length in zip(asked, replies, lengths, strict=True):
            text = first_line(reply)
            if length >= MAX_NEW_TOKENS and "\n" not in reply.strip():
                text = whole_sentences(reply.strip())
            drafts[at] = _Draft(text=text, task=task)
        return drafts

    def _finish(self, job: _Job, draft: _Draft | None) -> Explanation:
        cut = 0
        if draft is not None:
            verdict = self._verify(job, draft.text)
            kept = [one for one in verdict.statements[:MAX_SENTENCES] if one.supported]
            cut = len(verdict.statements[:MAX_SENTENCES]) - len(kept)
            joint = "" if job.request.language == "zh" else " "
            text = joint.join(ended(one.text, job.request.language) for one in kept)
            if draft.task.told_by(text):
                return Explanation(
                    text=text,
                    verified=True,
                    evidence=job.evidence,
                    writer="llm",
                    cut=cut,
                )
        return self._from_template(job, fallback=draft is not None, cut=cut)

    def _from_template(self, job: _Job, *, fallback: bool, cut: int) -> Explanation:
        text, verified = "", False
        for text in self._templates.texts(job.request, job.ranked, job.evidence):
            verified = self._verify(job, text).supported
            if verified:
                break
        return Explanation(
            text=text if verified else "",
            verified=verified,
            evidence=job.evidence,
            writer="template",
            cut=cut,
            fallback=fallback,
        )

    def _verify(self, job: _Job, text: str) -> Verdict:
        return self._verifier.verify(
            text,
            item=job.ranked.item,
            request=job.request,
            evidence=job.evidence,
            language=job.request.language,
        )


def first_line(reply: str) -> str:
    """The first line with text; small models go on with another example behind it."""
    for line in reply.splitlines():
        if line.strip():
            return line.strip()
    return ""


def whole_sentences(text: str) -> str:
    """The text up to its last stop: what a token limit has cut off is no sentence."""
    return text[: max(map(text.rfind, _STOPS)) + 1]


def ended(sentence: str, language: str) -> str:
    """The sentence with a stop at its end."""
    if sentence.rstrip("\"'”’」』)）")[-1:] in tuple(_STOPS):
        return sentence
    return sentence.rstrip(",;:，；：- ") + ("。" if language == "zh" else ".")
