"""From a request and its candidates to a prompt, under a token budget. Training and serving both use this.

What has to give way gives way in this order: the oldest history entries, then the facts behind candidate
titles, then the ends of long titles, contexts and wishes. Instruction, labels and question always stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tastemaker.errors import ConfigError
from tastemaker.prompts.budget import fit_texts, newest_that_fit
from tastemaker.prompts.filling import fill
from tastemaker.prompts.labels import LABELS, CountTokens
from tastemaker.prompts.packs import Pack, load_pack
from tastemaker.prompts.sanitise import FIELD_SEPARATOR, clean_field, clean_text, shorten
from tastemaker.prompts.template import Template, load_template
from tastemaker.prompts.timeline import describe_timeline
from tastemaker.prompts.words import MAX_TITLE_CHARS, describe_context, describe_history
from tastemaker.types import (
    MAX_WISH_CHARS,
    Candidate,
    Item,
    Language,
    Prompt,
    Request,
    UserHistory,
)

MIN_TITLE_TOKENS = 4
"""Candidate titles are never cut below this to make room for others."""

MAX_EXPLAINED = 8
"""Clauses that an explanation prompt lists at most."""

_FACT_ATTRIBUTES = ("genres", "categories", "tags")
_MAX_FACTS = 3
_MAX_FACT_CHARS = 24
_MAX_CONTEXT_CHARS = 500
_MAX_CLAUSE_CHARS = 1_000
_MAX_MATCH_CHARS = 96
# Texts counted apart may take a token or two more where they are joined.
_SLACK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderReport:
    """What one prompt had to leave out. ``tokens`` is what stands before the choices, chat markup aside.

    ``history_total`` counts the user's entries, ``history_kept`` those in the prompt; ``history_dropped``
    those within ``history_length`` that the budget pushed out. ``cut`` counts shortened titles, ``wish_cut``
    and ``context_cut`` tell whether those were shortened.
    """

    template: str
    tokens: int
    history_total: int = 0
    history_kept: int = 0
    history_dropped: int = 0
    titles_cut: int = 0
    wish_cut: bool = False
    context_cut: bool = False

    @property
    def truncated(self) -> bool:
        return bool(self.history_dropped or self.titles_cut or self.wish_cut or self.context_cut)


ReportCallback = Callable[[RenderReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsPrompt:
    """A prompt whose choice ``i`` is the label of ``candidates[order[i]]``."""

    prompt: Prompt
    order: tuple[int, ...]


class PromptRenderer:
    """Makes every prompt. Safe to share between threads if ``count_tokens`` and ``on_report`` are.

    Args:
        count_tokens: of the model that will read the prompt; called a few times per prompt, with many
            texts each time.
        history_length: most recent history entries shown at most.
        prompt_tokens: budget for system and user text together, before choices that follow the prompt.
        title_tokens: longer titles are cut.
        domain: name or folder of a domain pack; which nouns and verbs are used.
        on_report: called with a ``RenderReport`` for every prompt made.
    """

    def __init__(
        self,
        count_tokens: CountTokens,
        *,
        history_length: int = 15,
        prompt_tokens: int = 1_536,
        title_tokens: int = 32,
        domain: str = "generic",
        on_report: ReportCallback | None = None,
    ) -> None:
        self._count = count_tokens
        self._history_length = history_length
        self._prompt_tokens = prompt_tokens
        self._title_tokens = title_tokens
        self._domain = domain
        self._on_report = on_report or _ignore
        self.pack("en")  # an unknown domain is an error now, not at the first request

    def pack(self, language: Language) -> Pack:
        return load_pack(language, self._domain)

    def labels_prompt(
        self, request: Request, candidates: Sequence[Candidate], order: Sequence[int] | None = None
    ) -> LabelsPrompt:
        """All candidates under letters, shown in ``order`` (positions in ``candidates``; None: as given).

        The choices are the letters, one per candidate.

        Raises:
            ValueError: more than 20 candidates, or ``order`` is no permutation of them.
            ConfigError: ``prompt_tokens`` cannot hold instruction and candidates.
        """
        shown = tuple(range(len(candidates)) if order is None else order)
        if sorted(shown) != list(range(len(candidates))) or len(shown) > len(LABELS):
            raise ValueError(
                f"order {shown} is no permutation of {len(candidates)} (of at most {len(LABELS)})"
            )
        template = load_template("rerank-labels", request.language)
        labels = LABELS[: len(shown)]
        items = [candidates[position].item for position in shown]
        # Half of the budget for the candidates; a label and its line break take about three tokens.
        share = self._prompt_tokens // 2 // max(len(items), 1) - 3
        texts, cut = self._with_facts(items, max(MIN_TITLE_TOKENS, min(self._title_tokens, share)))
        lines = [
            fill(template.choice, label=label, text=text) for label, text in zip(labels, texts, strict=True)
        ]
        prompt = self._prompt(template, request, choices=labels, titles_cut=cut, candidates="\n".join(lines))
        return LabelsPrompt(prompt=prompt, order=shown)

    def answer_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt:
        """Each candidate, with its genres, follows the shared part alone; yes against no is its score."""
        template = load_template("rerank-answer", request.language)
        word = self.pack(request.language).domain.candidate
        texts, cut = self._with_facts([candidate.item for candidate in candidates], self._title_tokens)
        choices = tuple(fill(template.choice, candidate=word, text=text) for text in texts)
        return self._prompt(template, request, choices=choices, titles_cut=cut)

    def title_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt:
        """Each candidate's title is scored as the reply to the shared part."""
        template = load_template("rerank-title", request.language)
        choices, cut = self._title_choices(template, candidates)
        return self._prompt(template, request, choices=choices, titles_cut=cut)

    def title_prior_prompt(self, candidates: Sequence[Candidate], language: Language) -> Prompt:
        """``title_prompt`` for nobody: the same choices after the bare instruction."""
        template = load_template("rerank-title-prior", language)
        choices, cut = self._title_choices(template, candidates)
        noun = self.pack(language).domain.noun
        system, user = fill(template.system, noun=noun), fill(template.user, noun=noun)
        report = RenderReport(template=template.id, tokens=sum(self._count([system, user])), titles_cut=cut)
        self._on_report(report)
        return Prompt(system=system, user=user, choices=choices, template=template.id)

    def match_prompt(self, request: Request, candidates: Sequence[Candidate]) -> Prompt:
        """The history as a timeline that has come to the next item; each candidate's title and genres.

        Raises:
            ConfigError: the wish alone does not fit ``prompt_tokens``.
        """
        return self.match_timeline(request, candidates)[0]

    def match_timeline(
        self, request: Request, candidates: Sequence[Candidate]
    ) -> tuple[Prompt, tuple[int, ...]]:
        """``match_prompt``, and where in its user text each history entry and the next item are asked for."""
        template = load_template("rerank-match", request.language)
        pack = self.pack(request.language)
        told = with_rejections(request)
        kept = min(self._history_length, len(told))
        while True:
            line = describe_timeline(told, pack, context=request.context, wish=request.wish, limit=kept)
            user = fill(template.user, nouns=pack.domain.nouns, profile=line.text)
            tokens = self._count([user])[0]
            if tokens <= self._prompt_tokens:
                break
            if not kept:
                raise ConfigError(
                    f"prompt_tokens is {self._prompt_tokens}, but the wish alone needs {tokens}",
                    hint="raise prompt_tokens",
                )
            kept = min(kept - 1, kept * self._prompt_tokens // tokens)
        start = len(user) - len(line.text)
        self._on_report(
            RenderReport(
                template=template.id,
                tokens=tokens,
                history_total=len(told),
                history_kept=kept,
                history_dropped=min(self._history_length, len(told)) - kept,
            )
        )
        choices = tuple(fill(template.choice, text=match_text(one.item)) for one in candidates)
        prompt = Prompt(
            system=template.system, user=user, choices=choices, match=bool(choices), template=template.id
        )
        return prompt, tuple(start + at for at in line.asks)

    def explain_prompt(
        self, facts: Sequence[str], example_facts: Sequence[str], example: str, language: Language
    ) -> Prompt:
        """True clauses to be joined into a sentence, behind one example of that; no choices.

        Each clause is cut to four titles' length, and ``MAX_EXPLAINED`` of them are shown at most.
        """
        template = load_template("explain", language)
        cleaned = [clean_text(fact, _MAX_CLAUSE_CHARS) for fact in facts[:MAX_EXPLAINED]]
        shown, cut = fit_texts(cleaned, [4 * self._title_tokens] * len(cleaned), self._count)
        noun = self.pack(language).domain.noun
        system = fill(template.system, noun=noun)
        user = fill(
            template.user,
            noun=noun,
            example_facts="\n".join(f"- {fact}" for fact in example_facts),
            example=example,
            facts="\n".join(f"- {fact}" for fact in shown),
        )
        self._on_report(
            RenderReport(template=template.id, tokens=sum(self._count([system, user])), titles_cut=cut)
        )
        return Prompt(system=system, user=user, template=template.id)

    def _prompt(
        self,
        template: Template,
        request: Request,
        *,
        choices: tuple[str, ...],
        titles_cut: int,
        **values: str,
    ) -> Prompt:
        """Fill ``template`` with as much of the request as the budget holds."""
        words = self.pack(request.language).domain
        frame = _Frame(template, {**values, "noun": words.noun, "nouns": words.nouns})
        profile = self._profile(request, frame)
        kept = len(profile.lines)
        [fixed] = self._count([frame.system])
        # Lines were counted apart; joined they may merge differently, so the whole is counted as well.
        while (
            tokens := fixed + self._count([frame.user(profile.text(kept))])[0]
        ) > self._prompt_tokens and kept:
            kept -= 1
        if tokens > self._prompt_tokens:
            raise ConfigError(
                f"prompt_tokens is {self._prompt_tokens}, but instruction, wish and candidates need {tokens}",
                hint="raise prompt_tokens, or lower candidates or title_tokens",
            )
        self._on_report(
            RenderReport(
                template=template.id,
                tokens=tokens,
                history_total=len(request.history) + len(request.rejected),
                history_kept=kept,
                history_dropped=profile.shown - kept,
                titles_cut=titles_cut + profile.titles_cut,
                wish_cut=profile.wish_cut,
                context_cut=profile.context_cut,
            )
        )
        return Prompt(
            system=frame.system,
            user=frame.user(profile.text(kept)),
            choices=choices,
            answers=template.answers if choices else None,
            template=template.id,
        )

    def _profile(self, request: Request, frame: _Frame) -> _Profile:
        pack = self.pack(request.language)
        wish = clean_text(request.wish, MAX_WISH_CHARS)
        now = clean_text(pack.join(describe_context(request.context, pack)), _MAX_CONTEXT_CHARS)
        told = with_rejections(request)
        entries = told.entries[-self._history_length :] if self._history_length else ()
        titles = [clean_field(entry.title, MAX_TITLE_CHARS) for entry in entries]
        bare = _Profile(pack=pack, wish="-" if wish else "", now="-" if now else "", lines=("",))
        room = self._prompt_tokens - _SLACK - sum(self._count([frame.system, frame.user(bare.text(1))]))
        limits = [max(room * 2 // 3, 1), max(room // 3, 1)] + [self._title_tokens] * len(titles)
        [kept_wish, kept_now, *kept_titles], _ = fit_texts([wish, now, *titles], limits, self._count)
        history = replace(
            told,
            entries=tuple(
                replace(entry, title=title) for entry, title in zip(entries, kept_titles, strict=True)
            ),
        )
        lines = describe_history(history, pack, now=request.context.time, limit=len(entries))
        taken = self._count([kept_wish, kept_now, *(line + "\n" for line in lines)])
        fitting = newest_that_fit(taken[2:], room - sum(taken[:2]))
        return _Profile(
            pack=pack,
            wish=kept_wish,
            now=kept_now,
            lines=tuple(lines[len(lines) - fitting :]),
            shown=len(lines),
            titles_cut=sum(a != b for a, b in zip(titles, kept_titles, strict=True)),
            wish_cut=kept_wish != wish,
            context_cut=kept_now != now,
        )

    def _title_choices(
        self, template: Template, candidates: Sequence[Candidate]
    ) -> tuple[tuple[str, ...], int]:
        titles = [_title(candidate.item) for candidate in candidates]
        fitted, cut = fit_texts(titles, [self._title_tokens] * len(titles), self._count)
        return tuple(fill(template.choice, title=title) for title in fitted), cut

    def _with_facts(self, items: Sequence[Item], limit: int) -> tuple[list[str], int]:
        """Titles with genres behind them where both fit ``limit`` tokens, and how many titles were cut."""
        titles = [_title(item) for item in items]
        full = [
            FIELD_SEPARATOR.join(part for part in (title, _facts(item)) if part)
            for title, item in zip(titles, items, strict=True)
        ]
        counts = self._count(full) if full else []
        chosen = [
            long if count <= limit else title for long, title, count in zip(full, titles, counts, strict=True)
        ]
        return fit_texts(chosen, [limit] * len(chosen), self._count)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A template with everything filled but the profile."""

    template: Template
    values: dict[str, str]

    @property
    def system(self) -> str:
        return fill(self.template.system, **self.values)

    def user(self, profile: str) -> str:
        return fill(self.template.user, profile=profile, **self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """What the prompt may say about the person, and what was left out to get there."""

    pack: Pack
    wish: str
    now: str
    lines: tuple[str, ...]
    shown: int = 0
    titles_cut: int = 0
    wish_cut: bool = False
    context_cut: bool = False

    def text(self, kept: int) -> str:
        """The last ``kept`` history lines, situation and wish, each line ended; "" when nothing is known."""
        history = self.lines[len(self.lines) - kept :]
        block = [self.pack.domain.history_line, *history] if history else []
        if self.now:
            block.append(fill(self.pack.context_line, value=self.now))
        if self.wish:
            block.append(fill(self.pack.wish_line, value=self.wish))
        return "".join(line + "\n" for line in block)


def with_rejections(request: Request) -> UserHistory:
    """The history with what was turned down in this session where it belongs in time, else behind it."""
    if not request.rejected:
        return request.history
    entries = (*request.history.entries, *request.rejected)
    if all(entry.timestamp is not None for entry in entries):
        entries = tuple(sorted(entries, key=lambda entry: entry.timestamp or 0.0))
    return replace(request.history, entries=entries)


def match_text(item: Item) -> str:
    """What an item's vector is made from: its title and genres, whatever the domain and language."""
    title = shorten(_title(item), _MAX_MATCH_CHARS)
    return FIELD_SEPARATOR.join(part for part in (title, _facts(item)) if part)


def _ignore(report: RenderReport) -> None:
    pass


def _title(item: Item) -> str:
    # A title of invisible characters alone still needs a name that can be read and scored.
    return clean_field(item.display_title, MAX_TITLE_CHARS) or clean_field(item.id, MAX_TITLE_CHARS) or "?"


def _facts(item: Item) -> str:
    """The first genres, categories or tags, e.g. ``Animation, Comedy``."""
    for name in _FACT_ATTRIBUTES:
        value = item.attributes.get(name)
        values = value if isinstance(value, tuple) else (str(value),) if value is not None else ()
        cleaned = [clean_field(one, _MAX_FACT_CHARS) for one in values[:_MAX_FACTS]]
        if kept := [one for one in cleaned if one]:
            return ", ".join(kept)
    return ""
