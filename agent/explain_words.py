"""Two ways from evidence to words: whole template texts, and the task that a language model is given.

Template texts are true by construction. The model's task is a list of clauses, each true, to be joined into
a sentence, behind one example of such a sentence. Which wording or example is used depends on the user and
the rank, so that a list of ten does not read like ten copies and the same request reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from tastemaker.agent.explain_phrases import Phrases
from tastemaker.agent.verify_facts import Catalogue
from tastemaker.agent.verify_titles import split_year
from tastemaker.prompts.filling import fill
from tastemaker.types import Evidence, EvidenceKind, Item, Language, Ranked, Request

_MAX_WISH_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The item and clauses to be joined, and an example of some that were.

    ``reasons``: per clause, its opening words and what it names of the request: past titles, the wish or the
    situation.
    """

    facts: tuple[str, ...]
    example_facts: tuple[str, ...]
    example: str
    reasons: tuple[tuple[str, tuple[str, ...]], ...]

    def told_by(self, text: str) -> bool:
        """Whether ``text`` tells a reason, and names none twice: a small model may drop all, or copy one."""
        text = text.casefold()
        names = [name.casefold() for _, some in self.reasons for name in some]
        return all(text.count(name) < 2 for name in names) and any(
            opening.casefold() in text and any(split_year(name.casefold())[0] in text for name in some)
            for opening, some in self.reasons
        )


class TemplateWriter:
    """Words evidence by patterns, for one catalogue and domain."""

    def __init__(self, *, catalogue: Catalogue, domain: str = "generic") -> None:
        self._catalogue = catalogue
        self._domain = domain

    def texts(self, request: Request, ranked: Ranked, evidence: Sequence[Evidence]) -> Iterator[str]:
        """Yield texts for one item, the preferred wording first, the barest last."""
        phrases = self._phrases(request.language)
        variant = _variant(request, ranked)
        for turn in range(4):
            yield _text(phrases, request, ranked.item, evidence, variant + turn)
        if fact := phrases.fact(ranked.item, evidence, variant):
            yield phrases.sentence(fact)
        yield phrases.word("last_resort")

    def task(self, request: Request, ranked: Ranked, evidence: Sequence[Evidence]) -> Task | None:
        """What a model is asked to word: a fact and one or two reasons; None when either is missing.

        A context that cannot be said as a clause of its own is left out. Of a lone fact there is nothing to
        word: a small model then borrows a reason from the example.
        """
        phrases = self._phrases(request.language)
        clauses = list(_clauses(phrases, request, evidence))[:2]
        thing = phrases.fact(ranked.item, evidence, 0, form="thing")
        if not clauses or not thing:
            return None
        kinds = "+".join(one.kind for one in clauses)
        variant = _variant(request, ranked)
        values = {"did": clauses[0].did}
        thing_told = phrases.pick("task.example.thing", 0, **values)
        told = {
            kind: phrases.pick(f"task.example.{kind}", 0, **values) for kind in ("history", "wish", "context")
        }
        example = phrases.pick(f"task.sentences.{kinds}", variant, thing=thing_told, **told)
        facts = [thing, *(one.text for one in clauses)]
        example_facts = [thing_told, *(told[one.kind] for one in clauses)]
        if example.find(thing_told) > example.find(example_facts[1]):
            # In the order of the sentence: a small model joins what it need not move.
            facts, example_facts = [*facts[1:], thing], [*example_facts[1:], thing_told]
        return Task(
            facts=tuple(facts),
            example_facts=tuple(example_facts),
            example=example,
            reasons=tuple((one.opening, one.names) for one in clauses),
        )

    def _phrases(self, language: Language) -> Phrases:
        return Phrases(language, catalogue=self._catalogue, domain=self._domain)


def _variant(request: Request, ranked: Ranked) -> int:
    return crc32((request.user_id or "").encode()) + ranked.rank


def _text(phrases: Phrases, request: Request, item: Item, evidence: Sequence[Evidence], variant: int) -> str:
    past = phrases.past(request, evidence)
    clauses = [phrases.pick("history", variant, did=past.did, history=past.titles)] if past else []
    clauses += _other_clause(phrases, evidence, "_too" if past else "", variant)
    cited = [piece.ref for piece in evidence if piece.kind == "history"] if past else []
    fact = phrases.fact(item, evidence, variant, cited=cited, form="" if clauses else "named")
    if not clauses and fact:
        return phrases.sentence(phrases.pick("alone", variant, fact=fact))
    if not clauses:
        return phrases.sentence(phrases.pick("none", variant))
    if fact:
        clauses[0] += phrases.word("clause") + fact
    return phrases.word("space").join(map(phrases.sentence, clauses))


def _other_clause(phrases: Phrases, evidence: Sequence[Evidence], suffix: str, variant: int) -> list[str]:
    """At most one clause on the wish or the context: two sentences are enough."""
    for piece in evidence:
        if piece.kind == "context":
            return [phrases.pick(f"context{suffix}", variant, context=piece.text)]
        if piece.kind == "wish" and len(piece.text) > _MAX_WISH_CHARS:
            return [phrases.pick(f"long_wish{suffix}", variant)]
        if piece.kind == "wish":
            wish = fill(phrases.word("quote"), text=piece.text)
            return [phrases.pick(f"wish{suffix}", variant, wish=wish)]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    """A reason as a clause; ``names`` is what it names, ``did`` the deed with past items."""

    kind: EvidenceKind
    text: str
    names: tuple[str, ...]
    did: str = ""

    @property
    def opening(self) -> str:
        """What stands before the first name: "you liked "."""
        return self.text[: self.text.find(self.names[0])]


def _clauses(phrases: Phrases, request: Request, evidence: Sequence[Evidence]) -> Iterator[_Clause]:
    past = phrases.past(request, evidence)
    if past is not None:
        text = phrases.pick("task.history", 0, did=past.did, history=past.titles)
        yield _Clause(kind="history", text=text, names=past.each, did=past.did)
    for piece in evidence:
        if piece.kind == "wish" and len(piece.text) <= _MAX_WISH_CHARS:
            text = phrases.pick("task.wish", 0, wish=piece.text)
            yield _Clause(kind="wish", text=text, names=(piece.text,))
        if piece.kind == "context" and (text := phrases.context_clause(piece.ref, piece.text)):
            yield _Clause(kind="context", text=text, names=(piece.text,))
