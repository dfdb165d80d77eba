"""What a turn does: acts upon items, and a rest that is a wish."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tastemaker.agent.chat.kinds import ITEM_KINDS, ClauseKind, KindReader, Scores, best
from tastemaker.agent.chat.lexicon import ChatWords, Verb
from tastemaker.agent.chat.references import Found, References
from tastemaker.agent.chat.sense import Sense
from tastemaker.agent.chat.state import ChatState
from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.agent.recognise.spelling import mended
from tastemaker.types import FilterOp

Kind = (
    Verb
    | Literal[
        "ask",
        "refine",
        "critique",
        "lift",
        "more",
        "undo",
        "reset",
        "small_talk",
        "off_topic",
        "unclear",
        "yes",
        "no",
    ]
)
QUESTIONS = ("why", "why_not", "compare")
FEEDBACK = ("seen", "dislike", "like", "reject")
Aside = Literal["reset", "undo", "more", "small_talk", "off_topic"]
ASIDES: tuple[Aside, ...] = get_args(Aside)
CHATTER: tuple[Aside, ...] = ("off_topic", "small_talk")
_LETTERS = re.compile(r"(?<![^\W_])[a-z]{3,}(?![^\W_])")
SURE = 0.5
"""Difference of scores from which labelled clauses count for more than a word that was found."""

CLOSE = 0.2
"""Difference of scores up to which a clause that points at an item is about it."""

NO_IDEA = -0.9
"""A score that no labelled clause speaks for."""

_EDGES = re.compile(r"^[\s\W_]+|[\s\W_]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that a turn does. ``items``: ids that it is about. ``missing``: a place that the list lacks.

    ``unknown``: a title that the catalogue lacks. ``role`` and ``op``: how a quality must move in a
    critique; "==" keeps it. ``text``: what a lift is about. ``bare``: nothing is said of the items.
    ``weak``: what points at them, "them" or "all", may be no reference.
    """

    kind: Kind
    items: tuple[str, ...] = ()
    role: str = ""
    op: FilterOp | None = None
    missing: int | None = None
    unknown: str = ""
    text: str = ""
    bare: bool = False
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """``acts`` in the order of the text, and ``rest``: the wish that is left, as it was written."""

    text: str
    acts: tuple[Act, ...]
    rest: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    """A clause and what is said of it by words that were found and by labelled clauses.

    ``moved``: role, operator and place of a critique.
    """

    text: str
    plain: str
    scores: Scores
    likely: ClauseKind
    verb: tuple[Verb, tuple[int, int]] | None
    moved: tuple[str, FilterOp, tuple[int, int]] | None
    found: Found

    def sooner(self, than: ClauseKind) -> bool:
        """The labelled clauses speak against a word that was found."""
        return self.scores[self.likely] - self.scores[than] > SURE


def _as_aside(kind: ClauseKind) -> Aside | None:
    return kind if kind in ASIDES else None


class TurnReader:
    """Recognises turns of one language.

    What a clause does is decided by its likeness to labelled clauses (``kinds``) and by words that leave no
    doubt; what it is about, by what it points at.

    Args:
        asks: whether a text says what an item must be or not be, and whether it says a situation: then it is
            a wish, whatever it sounds like.
        sense: which texts nobody can understand.
    """

    def __init__(
        self,
        words: ChatWords,
        references: References,
        kinds: KindReader,
        asks: Callable[[str], tuple[bool, bool]],
        sense: Sense,
    ) -> None:
        self._words, self._references, self._kinds = words, references, kinds
        self._asks, self._sense = asks, sense

    def read(self, text: str, state: ChatState, lifted: Sequence[tuple[int, int, str]]) -> Turn:
        """Recognise a turn.

        Args:
            lifted: stretches of the text that end something, with what they end (``Memory.lifts``).
        """
        text = self._mended(text)
        plain = plain_text(text)
        bare = self._bare(plain)
        if (kind := self._at_once(plain, bare, state)) is not None:
            return Turn(text=text, acts=(Act(kind=kind),), rest="", kind=kind)
        acts = [(start, Act(kind="lift", text=thing)) for start, _, thing in lifted]
        asides: list[Aside] = []
        rest: list[str] = []
        focus, named = state.focus, tuple[str, ...]()
        clauses = self._telling(plain, [(first, last) for first, last, _ in lifted])
        turn_scores, asks_all = self._kinds.scores(text), self._asks(text)[0]
        for start, end in clauses:
            scores = turn_scores if len(clauses) == 1 else self._kinds.scores(text[start:end])
            clause = self._clause(text[start:end], state, focus, named, scores)
            if (aside := self._aside(clause, state, turn_scores, asks_all)) is not None:
                asides.append(aside)
                continue
            act, left = self._done(clause, state, focus, named, turn_scores)
            if act is not None:
                acts.append((start, act))
                focus = act.items[0] if len(act.items) == 1 else focus
                named = (*named, *act.items)
            rest += [text[start + first : start + last] for first, last in left]
        wish = self._joined(rest)
        if self._sense.has_none(wish if acts else text):
            if not acts:
                return Turn(text=text, acts=(Act(kind="unclear"),), rest="", kind="unclear")
            wish = ""
        if (aside := self._counts(asides, acts, wish, turn_scores)) is not None:
            if aside in ("undo", "reset") or not (acts or wish):
                # "Undo that, and make it a comedy": what asks for something is asked after it.
                wish = wish if aside in ("undo", "reset") and self._asks(wish)[0] else ""
                return Turn(text=text, acts=(Act(kind=aside),), rest=wish, kind=aside)
            acts.append((len(text), Act(kind=aside)))
        wish = wish or ("" if acts else text.strip())
        done = self._settled([act for _, act in sorted(acts, key=lambda one: one[0])], wish)
        return Turn(text=text, acts=done, rest=wish, kind=self._kind(done, plain, state))

    def _at_once(self, plain: str, bare: str, state: ChatState) -> Kind | None:
        """What a turn does as a whole, without a look at its clauses."""
        if state.doubt is not None and (answer := self._answer(plain, bare)) is not None:
            return answer
        if (whole := self._whole(bare, state)) is not None and not (whole == "more" and self._points(plain)):
            return whole
        # Nothing was asked: "yes" is no wish.
        return "unclear" if self._words.yes.fullmatch(bare) else None

    def _telling(self, plain: str, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The clauses, without a "no" between them: "with friends, no, with my kids" asks for no list."""
        clauses = self._clauses(plain, taken)
        if len(clauses) == 1:
            return clauses
        corrects = self._words.corrects
        return [one for one in clauses if not corrects.fullmatch(self._bare(plain[slice(*one)]) + ",")]

    def _settled(self, acts: Sequence[Act], wish: str) -> tuple[Act, ...]:
        """Of what clauses do, what the turn does with items that it only names.

        "The second, but older" moves from it; "the second, but from the eighties" wants others like it.
        """
        asks = bool(wish) and self._asks(wish)[0]
        sure = {act.kind for act in acts if act.items and not act.weak}
        acts = [
            act for act in acts if not act.weak or not (act.kind in sure or (asks and act.kind in QUESTIONS))
        ]
        if any(act.kind == "critique" for act in acts):
            return tuple(act for act in acts if not act.bare)
        if asks:
            return tuple(replace(act, kind="more_like") if act.bare else act for act in acts)
        return tuple(acts)

    def _answer(self, plain: str, bare: str) -> Kind | None:
        """Yes or no to a question that was asked: alone, or before a reason for it."""
        first = self._bare(self._words.clauses.split(plain.strip(), maxsplit=1)[0])
        for said in (bare, first):
            if self._words.yes.fullmatch(said) or self._words.says_yes.match(said):
                return "yes"
            if self._words.no.fullmatch(said):
                return "no"
        return None

    def _points(self, plain: str) -> bool:
        """ "More like that one": it sounds like "more" and points at something."""
        return self._words.verbs["more_like"].search(plain) is not None and any(
            pattern.search(plain)
            for pattern in (self._words.deictic, *(pattern for _, pattern in self._words.ordinals))
        )

    def _clause(
        self, text: str, state: ChatState, focus: str | None, named: Sequence[str], scores: Scores
    ) -> _Clause:
        plain = plain_text(text)
        verb = self._verb(plain)
        moved = self._critique(plain) if state.shown else None
        likely = best(scores, scores)
        bare = self._words.bare_number.sub(" ", plain)
        for _, pattern in self._words.bare_ordinals:
            bare = pattern.sub(" ", bare)
        only_numbers = bare != plain and self._is_empty(bare, [])
        numbers = verb is not None or moved is not None or likely in ITEM_KINDS or only_numbers
        found = self._references.find(text, state.shown, focus, numbers=numbers, named=named)
        return _Clause(
            text=text, plain=plain, scores=scores, likely=likely, verb=verb, moved=moved, found=found
        )

    def _aside(self, clause: _Clause, state: ChatState, turn_scores: Scores, asks_all: bool) -> Aside | None:
        """What a clause does that is about no item and no wish; None for all others."""
        bare = self._bare(clause.plain)
        whole = self._whole(bare, state) if bare else "small_talk"
        if whole is None and self._is_off_topic(clause):
            return "off_topic"
        kind: Aside | None = whole if whole is not None else _as_aside(clause.likely)
        if kind is None or (kind == "more" and (not state.shown or self._points(clause.plain))):
            return None
        sounds = best(turn_scores, turn_scores)
        sure = clause.scores[kind] > 0 and not self._asks(clause.text)[0]
        if whole is None and kind in ("undo", "reset") and not sure and (sounds != kind or asks_all):
            # What takes so much back has to be what the whole turn sounds like, and all that it says.
            return None
        if whole is None and clause.found.marks:
            item_kind = best(clause.scores, ITEM_KINDS)
            near = clause.scores[kind] - clause.scores[item_kind] < SURE
            if clause.verb is not None or near:
                return None
        if whole is None and any(self._asks(clause.text)):
            return None
        return kind

    def _is_off_topic(self, clause: _Clause) -> bool:
        """Words that leave no doubt, outside of titles: there is a film called Monty Python."""
        inside = [
            any(first <= match.start() and match.end() <= last for first, last in clause.found.spans)
            for match in self._words.off_topic.finditer(clause.plain)
        ]
        return not all(inside) and not self._asks(clause.text)[0]

    def _counts(
        self, asides: Sequence[Aside], acts: Sequence[object], wish: str, turn_scores: Scores
    ) -> Aside | None:
        """The one aside that counts: what changes most; chatter only where nothing else was said."""
        for kind in ("reset", "undo", "more"):
            if kind in asides:
                return kind
        if not asides or acts or wish:
            return None
        return best(turn_scores, CHATTER) if len(set(asides)) > 1 else asides[0]

    def _mended(self, text: str) -> str:
        """The text with slips in the words that turns hang on put right: "teh secnd one"."""
        if not self._words.mended:
            return text
        return _LETTERS.sub(lambda found: mended(found[0], self._words.mended) or found[0], text)

    def _bare(self, plain: str) -> str:
        bare = plain.strip()
        for mark in "!?.,~…！？。，":
            bare = bare.replace(mark, " ")
        return " ".join(bare.split())

    def _whole(self, bare: str, state: ChatState) -> Aside | None:
        for kind in ASIDES[:-1]:
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

    def _done(
        self,
        clause: _Clause,
        state: ChatState,
        focus: str | None,
        named: Sequence[str],
        turn_scores: Scores,
    ) -> tuple[Act | None, list[tuple[int, int]]]:
        """The act of a clause, and which stretches of it are left over as a wish."""
        plain, found = clause.plain, clause.found
        if not plain.strip():
            return None, []
        if self._words.releases.search(plain) and clause.likely == "lift" and not found.is_sure:
            # "Horror is fine after all", where nobody had ruled it out.
            return Act(kind="lift", text=clause.text), []
        moves = clause.likely == "ask" or not clause.sooner("critique")
        if clause.moved is not None and found.free(*clause.moved[2]) and moves:
            return self._moving(plain, clause.moved, found, named)
        kind = None if self._rules_out(clause) else self._item_kind(clause, turn_scores)
        verb = clause.verb
        at = verb[1] if verb is not None and verb[0] == kind else (0, 0)
        act = None if kind is None else self._doing(plain, kind, at, found, state, focus, named)
        if act is None:
            return None, [(0, len(plain))]
        if verb is None and self._is_empty(plain, found.spans):
            act = replace(act, bare=True)
        act = replace(act, weak=bool(found.marks) and not found.is_sure)
        if kind in QUESTIONS:
            return act, []
        return act, self._wished(clause.text, self._left(plain, (at, *found.spans)))

    def _rules_out(self, clause: _Clause) -> bool:
        """ "Anything with steak is out", "25 or less": what may be a reference stands in a wish."""
        one = self._words.deictic.search(clause.plain) or self._words.single.search(clause.plain)
        rejects = clause.verb is None or clause.verb[0] in ("reject", "dislike")
        return not clause.found.is_sure and rejects and one is None and self._asks(clause.text)[0]

    def _item_kind(self, clause: _Clause, turn_scores: Scores) -> Verb | None:
        """What is done with what a clause points at; None where it is a wish."""
        found, scores = clause.found, clause.scores
        if self._words.negated.search(clause.plain):
            # "I haven't seen it", "I don't hate it": nothing to be noted; tell about it.
            return "why" if found.is_sure else None
        # One item is compared with nothing.
        kinds = [kind for kind in ITEM_KINDS if kind != "compare" or len(found.items) != 1]
        item_kind = best(scores, kinds)
        verb = clause.verb
        if verb is not None and (found.free(*verb[1]) or verb[0] not in FEEDBACK):
            other = clause.likely in ITEM_KINDS and clause.sooner(verb[0])
            return item_kind if other and found.marks else verb[0]
        if not found.marks:
            return None
        if found.is_sure and clause.likely == "ask" and not any(self._asks(clause.text)):
            # "Clueless pls", "Citizen Kane?": nothing else is asked for.
            return item_kind
        if self._is_empty(clause.plain, found.spans):
            # "The second one": what the whole turn does with it; alone, it is asked about.
            whole = best(turn_scores, ITEM_KINDS)
            return whole if turn_scores[whole] > NO_IDEA else "why"
        if clause.likely == "critique" and not self._words.compares.search(clause.plain):
            # "The fourth is too scary": said of an item, it is no wish for others like it.
            return item_kind
        near = scores[clause.likely] - scores[item_kind] < CLOSE
        return item_kind if clause.likely in ITEM_KINDS or near else None

    def _wished(self, clause: str, left: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of what is left of a clause about an item, what asks for something: "the second, but from 1980"."""
        return [(start, end) for start, end in left if self._asks(clause[start:end])[0]]

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
                # Nor is "1990 or newer" a move.
                behind = re.search(r"\d\s*(?:or|and|or even)\s*$", clause[: match.start()])
                if not re.match(r"\s*[$¥€£]?\s*\d{2,}", after) and behind is None:
                    return role, op, match.span()
        for role, pattern in self._words.same.items():
            if (same := pattern.search(clause)) is not None:
                return role, "==", same.span()
        return None

    def _moving(
        self,
        clause: str,
        moved: tuple[str, FilterOp, tuple[int, int]],
        found: Found,
        named: Sequence[str],
    ) -> tuple[Act, list[tuple[int, int]]]:
        role, op, at = moved
        than = self._words.than.match(clause, at[1])
        spans = [at, *found.spans, *([than.span()] if than else [])]
        missing = found.missing[0] if found.missing else None
        items = found.items[:1] or tuple(named[-1:])
        act = Act(kind="critique", role=role, op=op, items=items, missing=missing)
        return act, self._left(clause, spans)

    def _doing(
        self,
        clause: str,
        verb: Verb,
        at: tuple[int, int],
        found: Found,
        state: ChatState,
        focus: str | None,
        named: Sequence[str],
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
            both = tuple(named) if len(named) > 1 else tuple(state.shown[:2])
            return Act(kind=verb, items=both) if self._is_empty(clause, [at]) else None
        told = self._name(behind) or self._name(clause[: at[0]])
        if told and (item := self._references.named(told, state.shown)) is not None:
            first = clause.index(told)
            found.mark(first, first + len(told), [item])
            return Act(kind=verb, items=(item,))
        if self._is_empty(clause, [at]) and state.shown:
            if focus is None and verb in FEEDBACK:
                # "No.", "boring": of nothing in particular.
                return None if verb == "like" else Act(kind="more")
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
