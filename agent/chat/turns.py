"""What a turn does: acts upon items, and a rest that is a wish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tastemaker.agent.chat.lexicon import ChatWords, Verb
from tastemaker.agent.chat.references import Found, References
from tastemaker.agent.chat.state import ChatState
from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.types import FilterOp

Kind = (
    Verb
    | Literal[
        "ask", "refine", "critique", "lift", "more", "undo", "reset", "small_talk", "off_topic", "yes", "no"
    ]
)
FEEDBACK = ("seen", "dislike", "like", "reject")
_EDGES = re.compile(r"^[\s\W_]+|[\s\W_]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that a turn does. ``items``: ids that it is about. ``missing``: a place that the list lacks.

    ``unknown``: a title that the catalogue lacks. ``role`` and ``op``: how a quality must move in a
    critique; "==" keeps it. ``text``: what a lift is about.
    """

    kind: Kind
    items: tuple[str, ...] = ()
    role: str = ""
    op: FilterOp | None = None
    missing: int | None = None
    unknown: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """``acts`` in the order of the text, and ``rest``: the wish that is left, as it was written."""

    text: str
    acts: tuple[Act, ...]
    rest: str
    kind: Kind


class TurnReader:
    """Recognises turns of one language. ``stands``: whether a lift's words mean anything that counts now."""

    def __init__(self, words: ChatWords, references: References) -> None:
        self._words, self._references = words, references

    def read(self, text: str, state: ChatState, lifted: Sequence[tuple[int, int, str]]) -> Turn:
        """Recognise a turn.

        Args:
            lifted: stretches of the text that end something, with what they end (``Memory.lifts``).
        """
        plain = plain_text(text)
        bare = self._bare(plain)
        if state.doubt is not None and bare in self._words.yes | self._words.no:
            kind: Kind = "yes" if bare in self._words.yes else "no"
            return Turn(text=text, acts=(Act(kind=kind),), rest="", kind=kind)
        if (whole := self._whole(bare, state)) is not None:
            return Turn(text=text, acts=(Act(kind=whole),), rest="", kind=whole)
        acts = [(start, Act(kind="lift", text=thing)) for start, _, thing in lifted]
        rest: list[str] = []
        focus = state.focus
        for start, end in self._clauses(plain, [(first, last) for first, last, _ in lifted]):
            act, left = self._clause(plain[start:end], state, focus)
            if act is not None:
                acts.append((start, act))
                focus = act.items[0] if len(act.items) == 1 else focus
            rest += [text[start + first : start + last] for first, last in left]
        wish = self._joined(rest) or ("" if acts else text.strip())
        if not acts and self._words.off_topic.search(plain):
            return Turn(text=text, acts=(Act(kind="off_topic"),), rest="", kind="off_topic")
        done = tuple(act for _, act in sorted(acts, key=lambda one: one[0]))
        return Turn(text=text, acts=done, rest=wish, kind=self._kind(done, plain, state))

    def _bare(self, plain: str) -> str:
        bare = plain.strip()
        for mark in "!?.,~…！？。，":
            bare = bare.replace(mark, " ")
        return " ".join(bare.split())

    def _whole(self, bare: str, state: ChatState) -> Kind | None:
        for kind in ("reset", "undo", "more", "small_talk"):
            if self._words.whole[kind].fullmatch(bare) and (kind != "more" or state.shown):
                return kind
        return None

    def _clauses(self, plain: str, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Stretches between the joints, without what is ``taken``."""
        found, at = [], 0
        cuts = [match.span() for match in self._words.clauses.finditer(plain)]
        for start, end in sorted([*cuts, *taken]):
            if start > at:
                found.append((at, start))
            at = max(at, end)
        return [*found, (at, len(plain))] if at < len(plain) else found

    def _clause(
        self, clause: str, state: ChatState, focus: str | None
    ) -> tuple[Act | None, list[tuple[int, int]]]:
        """The act of a clause, and which stretches of it are left over as a wish."""
        whole = [(0, len(clause))]
        if not clause.strip():
            return None, []
        verb = self._verb(clause)
        moved = self._critique(clause) if state.shown else None
        found = self._references.find(
            clause, state.shown, focus, numbers=verb is not None or moved is not None
        )
        if moved is not None and found.free(*moved[2]):
            return self._moving(clause, moved, found)
        if verb is not None:
            name, at = verb
            if found.free(*at) or name not in FEEDBACK:
                act = self._doing(clause, name, at, found, state, focus)
                if act is not None:
                    keeps = () if name in ("why", "why_not", "compare") else (at, *found.spans)
                    return act, self._left(clause, keeps) if keeps else []
        if found.marks and self._is_empty(clause, found.spans):
            # "The second one": spoken of, nothing said.
            return self._spoken_of(found), []
        return None, whole

    def _spoken_of(self, found: Found) -> Act:
        missing = found.missing[0] if found.missing else None
        return Act(kind="why", items=found.items, missing=missing)

    def _verb(self, clause: str) -> tuple[Verb, tuple[int, int]] | None:
        for name, pattern in self._words.verbs.items():
            if (match := pattern.search(clause)) is not None:
                return name, match.span()
        return None

    def _critique(self, clause: str) -> tuple[str, FilterOp, tuple[int, int]] | None:
        for role, op, pattern in self._words.critiques:
            for match in pattern.finditer(clause):
                than = self._words.than.match(clause, match.end())
                after = clause[than.end() if than else match.end() :]
                # "Older than 1980" and "cheaper than $20" are numbers, not places of the list.
                if not re.match(r"\s*[$¥€£]?\s*\d{2,}", after):
                    return role, op, match.span()
        for role, pattern in self._words.same.items():
            if (same := pattern.search(clause)) is not None:
                return role, "==", same.span()
        return None

    def _moving(
        self, clause: str, moved: tuple[str, FilterOp, tuple[int, int]], found: Found
    ) -> tuple[Act, list[tuple[int, int]]]:
        role, op, at = moved
        than = self._words.than.match(clause, at[1])
        spans = [at, *found.spans, *([than.span()] if than else [])]
        missing = found.missing[0] if found.missing else None
        act = Act(kind="critique", role=role, op=op, items=found.items[:1], missing=missing)
        return act, self._left(clause, spans)

    def _doing(
        self, clause: str, verb: Verb, at: tuple[int, int], found: Found, state: ChatState, focus: str | None
    ) -> Act | None:
        missing = found.missing[0] if found.missing else None
        if found.marks:
            items = found.items[:1] if verb in ("why_not",) else found.items
            return Act(kind=verb, items=items, missing=missing)
        behind = clause[at[1] :]
        if verb == "compare":
            parts = re.split(r"\band\b|\bor\b|\bvs\.?\b|\bversus\b|,|和|跟|与|还是", behind)
            named = [one for part in parts if (one := self._references.named(part, state.shown)) is not None]
            if named:
                return Act(kind=verb, items=tuple(named))
            return Act(kind=verb, items=tuple(state.shown[:2])) if self._is_empty(clause, [at]) else None
        told = self._name(behind) or self._name(clause[: at[0]])
        if told and (item := self._references.named(told, state.shown)) is not None:
            first = clause.index(told)
            found.mark(first, first + len(told), [item])
            return Act(kind=verb, items=(item,))
        if self._is_empty(clause, [at]) and state.shown:
            return Act(kind=verb, items=(focus if focus is not None else state.shown[0],))
        if verb == "why_not" and told:
            return Act(kind=verb, unknown=told)
        return None

    def _name(self, text: str) -> str:
        """What could be a title: the text without fillers at its ends."""
        name = _EDGES.sub("", text)
        while True:
            shorter = name
            for match in self._words.fillers.finditer(name):
                if match.start() == 0:
                    shorter = name[match.end() :]
                elif match.end() == len(name):
                    shorter = name[: match.start()]
                if shorter != name:
                    break
            shorter = _EDGES.sub("", shorter)
            if shorter == name:
                return name
            # "The Lion King" is looked for as it stands before it loses its article.
            if self._references.named(name, ()) is not None:
                return name
            name = shorter

    def _left(self, clause: str, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        left, at = [], 0
        for start, end in [*sorted(taken), (len(clause), len(clause))]:
            if start > at and not self._is_empty(clause[at:start], []):
                left.append((at, start))
            at = max(at, end)
        return left

    def _is_empty(self, clause: str, taken: Sequence[tuple[int, int]]) -> bool:
        """Nothing but fillers stands outside ``taken``."""
        for start, end in sorted(taken, reverse=True):
            clause = clause[:start] + " " + clause[end:]
        return not re.sub(r"[\W_]+", "", self._words.fillers.sub(" ", clause))

    def _joined(self, pieces: Sequence[str]) -> str:
        joint = ", " if self._words.language == "en" else "，"
        kept = [" ".join(piece.split()).strip(" ,;，；、") for piece in pieces]
        return joint.join(one for one in kept if one and not self._is_empty(plain_text(one), []))

    def _kind(self, acts: Sequence[Act], plain: str, state: ChatState) -> Kind:
        if acts:
            return acts[0].kind
        if state.shown and self._words.soft_critique.search(plain):
            return "critique"
        return "ask" if state.asks_nothing or not state.shown else "refine"
