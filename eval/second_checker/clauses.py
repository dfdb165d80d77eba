"""A masked sentence in clauses, and what each fact of a clause is said of."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tastemaker.eval.second_checker.grammar import FACT, GROUP, REF, Grammar
from tastemaker.eval.second_checker.words import NOUNS
from tastemaker.types import Item

_LISTED = re.compile(r"‹([gptc])\d+›\W*$")
_LISTED_NEXT = re.compile(r"^(?:and |or |nor )?(?:the )?‹([gptic])\d*›")
_REF_AHEAD = re.compile(
    rf"(?:[\s\-/]|and (?=‹[gyd])|‹[gyd]\d+›|{NOUNS}|of (?:the )?|called|的|片|电影|作品)*?"
    rf"(?P<refs>{GROUP})(?!\s*(?:的|and))"
)
_TITLE = re.compile(REF)
_ONLY_TITLES = re.compile(rf"\s*(?:and |but |because |since |so |as )?(?:both )?{GROUP}\s*")
_TOUCHES = re.compile(rf"[\s,\-]*(?:(?:and|的|这样的)\s*)?(?:{FACT}[\s\-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that may be true of an item; ``start`` and ``end`` are its place in the clause."""

    kind: str
    text: str
    test: Callable[[Item], bool]
    start: int
    end: int
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A stretch of a sentence with one subject."""

    text: str
    first: bool


def clauses_of(text: str, grammar: Grammar) -> list[Clause]:
    """Split ``text`` where a new subject or an aside may begin; lists of tags stay whole."""
    pieces: list[str] = []
    at = 0
    for match in grammar.clause_break.finditer(text):
        if match.start() == 0 and match.end() == 0:
            continue
        left, right = text[at : match.start()], text[match.end() :]
        if _is_list(left, right) and re.search(r"[,，]", match[0]):
            continue
        if _ONLY_TITLES.fullmatch(left) and match[0].isspace():
            continue
        if left.strip():
            pieces.append(left.strip())
        at = match.end()
    pieces.append(text[at:].strip(" .!?。！？"))
    return [
        Clause(text=piece, first=not number) for number, piece in enumerate(filter(_says_something, pieces))
    ]


def _says_something(piece: str) -> bool:
    return re.fullmatch(r"(?:and|but|or|so|,|\s)*", piece) is None


def _is_list(left: str, right: str) -> bool:
    """``‹g0› , ‹g1› and ‹g2›`` is one list; ``‹t0› , ‹i› is`` is none."""
    before, after = _LISTED.search(left), _LISTED_NEXT.match(right)
    if before is None or after is None:
        return False
    return before[1] == after[1] and (
        before[1] != "t" or re.match(rf"(?:and )?{REF}\s*(?:,|and|$)", right) is not None
    )


def groups_of(text: str) -> list[re.Match[str]]:
    """Runs of coordinated titles: "‹t0› and ‹i›" is one."""
    return list(re.finditer(GROUP, text))


def refs_in(text: str) -> list[str]:
    return _TITLE.findall(text)


def owner_of(clause: str, start: int, end: int) -> tuple[str | None, bool]:
    """The group of titles that the fact at ``start:end`` belongs to, and whether the two touch.

    It stands in front of the group ("the ‹g0› film ‹t0›") or, else, behind it ("‹t0› from ‹y1995›").
    """
    ahead = _REF_AHEAD.match(clause, end)
    nearest = [match for match in groups_of(clause) if match.end() <= start]
    if nearest and _TOUCHES.fullmatch(clause, nearest[-1].end(), start):
        return nearest[-1][0], True
    if ahead is not None:
        return str(ahead["refs"]), True
    return (nearest[-1][0], False) if nearest else (None, False)


def is_negated(clause: str, start: int, grammar: Grammar) -> bool:
    """Whether a negation stands before ``start`` in the clause, and no "but" between them."""
    before = clause[:start]
    found = list(grammar.negation.finditer(before))
    return bool(found) and re.search(r"\bbut\b|而是|but also", before[found[-1].end() :]) is None


def lead_of(clause: str) -> str:
    """What stands before the first verb-like turn, where the subject is looked for."""
    match = re.search(r"\b(?:is|are|was|were|has|have|came|costs?|shares?)\b|比|是|属于|上映", clause)
    return clause if match is None else clause[: match.start()]
