"""What a claim is, what it is checked against, and what every reader of a sentence needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tastemaker.eval.second_checker import facts
from tastemaker.eval.second_checker.clauses import Fact, is_negated, refs_in
from tastemaker.eval.second_checker.facts import Past, Wish
from tastemaker.eval.second_checker.grammar import Grammar
from tastemaker.eval.second_checker.mask import Masked
from tastemaker.eval.second_checker.titles import labels_of
from tastemaker.eval.second_checker.words import CREATORS, ROLE_WORDS
from tastemaker.types import Item, Request

_BY = re.compile(r"\b(?:by|made|of)(?: ‹p\d+›,?| and)* $")
_NUMERALS = {char: float(value) for value, char in enumerate("零一二三四五六七八九十")}
_NUMERALS |= {"两": 2.0, "a": 1.0, "one": 1.0}
_ENDINGS = ("", "s", "es", "ed", "d", "ing", "ly", "er")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that a sentence says. ``reason`` tells why it does or does not hold."""

    kind: str
    text: str
    holds: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What a text is checked against. ``items`` also holds the item at hand and typed titles, by id."""

    item: Item
    request: Request
    past: Past
    wish: Wish
    wished_labels: frozenset[str]
    wished_contexts: frozenset[tuple[str, str]]
    situation: Mapping[str, frozenset[str]]
    items: Mapping[str, Item]
    counts: Mapping[str, int]


class Sentence:
    """A masked sentence that is being read: the titles in it, what was said so far, and the claims."""

    def __init__(self, matter: Matter, masked: Masked, grammar: Grammar, named: Sequence[Item]) -> None:
        """``named`` are the past items that earlier sentences of the text named, oldest first."""
        self.claims: list[Claim] = []
        self._matter = matter
        self._masked = masked
        self._grammar = grammar
        self._named = named
        self._refs = [self._item_meant(span.ids, span.year) for span in masked.titles]
        self._subjects: tuple[Item, ...] = (matter.item,)
        # Of the clauses so far: past items of the last that names any, and the last titles of all.
        self._last_named: tuple[Item, ...] = ()
        self._last_group: tuple[Item, ...] = ()
        self._facts: list[Fact] = []
        self._likes: list[Item] = []
        self._unlikes: list[Item] = []

    def _say(self, kind: str, text: str, holds: bool, reason: str) -> None:
        self.claims.append(Claim(kind=kind, text=text.strip(), holds=holds, reason=reason))

    # Titles

    def _item_meant(self, ids: Sequence[str], year: int | None) -> Item:
        """Of the items with a title the one that fits the year; then the item at hand, then a past one."""
        known = [self._matter.items[one] for one in ids if one in self._matter.items]
        fitting = [one for one in known if year is None or facts.year_of(one) in (None, year)]
        return min(fitting or known, key=self._distance)

    def _distance(self, item: Item) -> int:
        """0 for the item at hand, 1 for a past item, 2 for any other."""
        if item.id == self._matter.item.id:
            return 0
        return 1 if item.id in self._matter.past.items else 2

    def _tagged(self) -> str:
        """The text, with titles that mean the item at hand under its own tag."""
        text = self._masked.text
        for number, item in enumerate(self._refs):
            if item.id == self._matter.item.id:
                text = text.replace(f"‹t{number}›", "‹i›")
        return text

    def _item_of(self, ref: str) -> Item:
        return self._matter.item if ref == "‹i›" else self._refs[int(ref[2:-1])]

    def _items_of(self, group: str) -> tuple[Item, ...]:
        return tuple(unique(map(self._item_of, refs_in(group))))

    def _others_here(self) -> list[Item]:
        """Items other than the one at hand that the sentence names."""
        return [item for item in unique(self._refs) if item.id != self._matter.item.id]

    def _others_told(self) -> list[Item]:
        """The same, or the last one that an earlier sentence named."""
        return self._others_here() or list(self._named[-1:])

    # Facts

    def _facts_in(self, text: str) -> list[Fact]:
        """Labels, years, decades and names of a clause."""
        return [self._fact(text, match) for match in re.finditer(r"‹([gydp])(\d+)›", text)]

    def _fact(self, text: str, match: re.Match[str]) -> Fact:
        kind, number = match[1], int(match[2])
        test: Callable[[Item], bool]
        if kind == "g":
            name, said = "label", self._masked.labels[number]
            test = partial(_has_label, key=said)
        elif kind == "p":
            name, said = "name", self._masked.names[number]
            test = partial(_has_name, name=said, roles=_roles_at(text, match.start(), match.end()))
        else:
            name, said = "year", str(number)
            test = partial(_of_time, number=number, decade=kind == "d")
        negated = is_negated(text, match.start(), self._grammar)
        return Fact(kind=name, text=said, test=test, start=match.start(), end=match.end(), negated=negated)

    def _tell(self, fact: Fact, items: Sequence[Item]) -> None:
        """Claim the fact of each item."""
        for item in items:
            self._say(fact.kind, fact.text, fact.test(item) != fact.negated, f"said of {item.title}")

    def _tell_again(self, items: Sequence[Item], *, negated: bool) -> None:
        """Claim the facts told last of ``items``: "…, and so is X", "X is not"."""
        for fact in self._facts:
            self._tell(replace(fact, negated=negated), items)

    def _is_known(self, word: str) -> bool:
        """Whether common wording has ``word``, in one of its usual endings."""
        known = self._grammar.known
        for ending in _ENDINGS:
            root = word.removesuffix(ending)
            if word.endswith(ending) and (root in known or f"{root}e" in known or _undoubled(root) in known):
                return True
        return False

    def _strange_chinese(self, text: str) -> list[str]:
        """What common wording leaves of the Chinese characters of ``text``: its runs, in order."""
        known = self._grammar.known
        longest = max(map(len, known))
        out: list[str] = []
        for run in re.findall("[\u4e00-\u9fff]+", text):
            at, left = 0, [""]
            while at < len(run):
                lengths = range(min(longest, len(run) - at), 0, -1)
                length = next((n for n in lengths if run[at : at + n] in known), 0)
                left += [""] if length else []
                left[-1] += "" if length else run[at]
                at += max(length, 1)
            out += filter(None, left)
        return out


def unique(items: Iterable[Item]) -> list[Item]:
    """Each item once, in order."""
    return list({item.id: item for item in items}.values())


def number_of(text: str | None) -> float | None:
    """A number in ASCII digits or as one numeral ("a", "两"); None for anything else."""
    if text is None or text in _NUMERALS:
        return None if text is None else _NUMERALS[text]
    return float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII) else None


def _undoubled(root: str) -> str:
    """ "stopp" -> "stop"."""
    return root[:-1] if len(root) > 3 and root[-1] == root[-2] else root


def _roles_at(text: str, start: int, end: int) -> tuple[str, ...]:
    """The roles that the words beside a name tell: the nearest before it, else behind it; () for none."""
    before, after = text[:start], text[end:]
    told = [(match.end(), role) for role, words in ROLE_WORDS for match in re.finditer(words, before)]
    if told:
        return (max(told)[1],)
    told = [(match.start(), role) for role, words in ROLE_WORDS for match in re.finditer(words, after)]
    if told:
        return (min(told)[1],)
    return CREATORS if _BY.search(before) else ()


def _has_label(item: Item, *, key: str) -> bool:
    return key in labels_of(item)


def _has_name(item: Item, *, name: str, roles: tuple[str, ...]) -> bool:
    return facts.has_name(item, name, roles)


def _of_time(item: Item, *, number: int, decade: bool) -> bool:
    year = facts.year_of(item)
    return year is not None and (year // 10 * 10 == number if decade else year == number)
