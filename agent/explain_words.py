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
from tastemaker.prompts.filling import fill
from tastemaker.types import Evidence, Item, Language, Ranked, Request

_MAX_WISH_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Clauses to be joined, and an example of clauses that were."""

    facts: tuple[str, ...]
    example_facts: tuple[str, ...]
    example: str


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
        facts = [piece for piece in evidence if piece.kind == "fact"]
        yield _text(phrases, request, ranked.item, facts, variant)
        yield phrases.word("last_resort")

    def task(self, request: Request, ranked: Ranked, evidence: Sequence[Evidence]) -> Task | None:
        """What a model is asked to word: a fact and one or two reasons; None when either is missing.

        A context that cannot be said as a clause of its own is left out. Of a lone fact there is nothing to
        word: a small model then borrows a reason from the example.
        """
        phrases = self._phrases(request.language)
        clauses = list(_reasons(phrases, request, evidence))[:2]
        fact = phrases.fact(ranked.item, evidence, 0)
        if not clauses or not fact:
            return None
        kinds = "+".join(kind for kind, _, _ in clauses)
        variant = _variant(request, ranked)
        values = {"did": next((did for kind, did, _ in clauses if kind == "history"), "")}
        example = {
            name: phrases.pick(f"task.example.{name}", 0, **values) for name in ("fact", "this_is", "thing")
        }
        told = {
            kind: phrases.pick(f"task.example.{kind}", 0, **values) for kind in ("history", "wish", "context")
        }
        return Task(
            facts=(fact, *(clause for _, _, clause in clauses)),
            example_facts=(example["fact"], *(told[kind] for kind in kinds.split("+"))),
            example=phrases.pick(f"task.sentences.{kinds}", variant, **told, **example),
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
    fact = phrases.fact(item, evidence, variant, cited=cited)
    if not clauses:
        return phrases.sentence(fact or phrases.pick("none", variant))
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


def _reasons(
    phrases: Phrases, request: Request, evidence: Sequence[Evidence]
) -> Iterator[tuple[str, str, str]]:
    """Kind, deed and clause of each reason."""
    past = phrases.past(request, evidence)
    if past is not None:
        yield "history", past.did, phrases.pick("task.history", 0, did=past.did, history=past.titles)
    for piece in evidence:
        if piece.kind == "wish" and len(piece.text) <= _MAX_WISH_CHARS:
            yield "wish", "", phrases.pick("task.wish", 0, wish=piece.text)
        if piece.kind == "context" and (clause := phrases.context_clause(piece.ref, piece.text)):
            yield "context", "", clause
