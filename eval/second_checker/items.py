"""Clauses that say something of items: facts, comparisons, what two of them share, and qualities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tastemaker.eval.second_checker import facts
from tastemaker.eval.second_checker.claims import Sentence, number_of, unique
from tastemaker.eval.second_checker.clauses import Clause, Fact, groups_of, is_negated, lead_of, owner_of
from tastemaker.eval.second_checker.titles import labels_of, norms_of
from tastemaker.eval.second_checker.words import ROLE_WORDS
from tastemaker.types import Item

MANY_STRANGE_WORDS = 3
"""So many content words about an item that nothing explains are a tale of their own."""

_NO_RECORD = "neither the item's record nor the wish shows it"
_AMOUNT_APART = re.compile(r"([\d.]+\d) (?:more|less)")
_NO_FIGURE = re.compile(r"[\d.]+ (?:more|less) than|\b\d+ (?:items?|of (?:them|these))|[\d一两]+[部件]")
_WORD = re.compile(r"[a-z][a-z'-]+")
_PICK = r"(?:pick|match|choice|option|fit|suggestion|recommendation)\b"


class AboutItems(Sentence):
    """Reads clauses whose subject is the recommended item or a past one."""

    def _about_items(self, clause: Clause, hope: re.Match[str] | None) -> None:
        """Read a clause; ``hope`` is its "you might like", if any."""
        text = clause.text
        self._target(text, hope)
        subjects = self._subjects_of(clause)
        compared = self._comparison(text, subjects)
        shared = self._shared(text, subjects)
        sharing = self._grammar.shared.search(text) if shared else None
        found = self._facts_in(text)
        for fact in found:
            owner, touches = owner_of(text, fact.start, fact.end)
            own = self._items_of(owner) if owner else ()
            if sharing is not None and fact.start > sharing.start():
                own = ()
            beside = len(own) == 1 and (touches or (own[0] not in subjects and not compared and not shared))
            self._tell_compared(fact, own if beside else shared or subjects)
        self._facts = found or self._facts
        self._alike(text, subjects)
        self._titles_counted(text, subjects)
        self._figures(text, subjects)
        if not hope or found:
            self._residue(text, subjects)
        self._subjects = subjects

    # Subjects

    def _subjects_of(self, clause: Clause) -> tuple[Item, ...]:
        """The items that the facts of the clause are said of."""
        grammar, text = self._grammar, clause.text
        another = grammar.another.search(text)
        if another is not None:
            several = number_of(another["n"]) is not None
            return tuple(self._others_told()) if several else (self._matter.item, *self._others_told())
        groups = groups_of(text)
        if grammar.both.search(text):
            named = self._items_of(" ".join(group[0] for group in groups))
            if len(named) >= 2:
                return named
            if not groups:
                return self._pair()
        if grammar.apposition.match(text) and not clause.first and self._last_group:
            return self._last_group
        return self._leading(clause, groups)

    def _leading(self, clause: Clause, groups: Sequence[re.Match[str]]) -> tuple[Item, ...]:
        """The titles before the verb; without any, the subject goes on from the clause before."""
        lead = lead_of(clause.text)
        led = groups_of(lead) or (groups if lead == clause.text else [])
        if led:
            return self._items_of(led[0][0])
        return (self._matter.item,) if clause.first else self._subjects

    def _pair(self) -> tuple[Item, ...]:
        """What "both" means without titles: the two just named, or the item and what was named with it."""
        named = self._others_told()
        if len(named) >= 2 and not self._likes:
            return tuple(named)
        return (self._matter.item, *named)

    def _tell_compared(self, fact: Fact, items: Sequence[Item]) -> None:
        """The fact of ``items``, and what "like X" and "unlike X" make of it."""
        self._tell(fact, items)
        if self._matter.item in items:
            self._tell(fact, [item for item in self._likes if item not in items])
            for item in self._unlikes:
                holds = fact.test(item) == fact.negated
                self._say(fact.kind, fact.text, holds, f"{item.title} must differ")

    def _target(self, text: str, hope: re.Match[str] | None) -> None:
        """Only the item at hand may be recommended."""
        grammar = self._grammar
        targets: list[Item] = []
        for match in grammar.target_verb.finditer(text):
            targets += self._items_of(match["refs"])
        if hope is not None and (ahead := groups_of(text[hope.end() :])):
            targets += self._items_of(ahead[0][0])
        said = grammar.target_said.search(text)
        if said is not None and (groups := groups_of(text[: said.start()])):
            targets += self._items_of(groups[0][0])
        for item in targets:
            holds = item.id == self._matter.item.id
            self._say("recommended", item.title, holds, "compared with the recommended item")

    # Comparisons

    def _comparison(self, text: str, subjects: Sequence[Item]) -> bool:
        """Check "newer than X", "cheaper than X" and the like; True when one with titles was read."""
        found = False
        for match in self._grammar.comparison.finditer(text):
            if match["refs"]:
                found = True
                self._compare_all(text, match, subjects)
        for match in self._grammar.between.finditer(text):
            self._between(subjects, self._items_of(match["refs"]), match[0])
        vague = self._grammar.vague_comparison.search(text)
        if not found and vague is not None:
            self._say("comparison", vague[0], False, "nothing in the catalogue measures it")
        return found

    def _compare_all(self, text: str, match: re.Match[str], subjects: Sequence[Item]) -> None:
        before = text[: match.start()]
        groups = groups_of(before)
        left = self._items_of(groups[0][0]) if groups else tuple(subjects)
        measure = next(key for key, value in match.groupdict().items() if value and key != "refs")
        negated = is_negated(text, match.start(), self._grammar) or before.rstrip().endswith("不")
        for one in left:
            for other in self._items_of(match["refs"]):
                if one.id != other.id:
                    self._compare(one, other, measure, match[0], negated=negated)
                    self._years_apart(one, other, measure, text)

    def _compare(self, one: Item, other: Item, name: str, said: str, *, negated: bool) -> None:
        """``name`` is a measure and a direction: "year_up", "price_down", "year_new" ("as new as") …"""
        measure, _, direction = name.partition("_")
        left, right = self._measure(one, measure), self._measure(other, measure)
        if left is None or right is None:
            self._say("comparison", said, False, f"the {measure} is not known")
            return
        gap = left - right if direction in ("up", "new") else right - left
        same = direction in ("new", "old")
        holds = (gap < 0 if negated else gap == 0) if same else (gap > 0) != negated
        self._say("comparison", said, holds, f"{left:g} against {right:g}")
        amount = _AMOUNT_APART.search(said)
        if measure == "price" and amount is not None:
            self._say("comparison", amount[0], abs(gap - float(amount[1])) < 0.005, f"{gap:g} apart")

    def _years_apart(self, one: Item, other: Item, name: str, text: str) -> None:
        apart = self._grammar.years_apart.search(text)
        told = next(filter(None, apart.groups()), None) if apart is not None else None
        years = number_of(told)
        left, right = facts.year_of(one), facts.year_of(other)
        if apart is None or years is None or left is None or right is None or not name.startswith("year"):
            return
        gap = left - right if name == "year_up" else right - left
        self._say("comparison", apart[0], gap == years, f"{gap} years apart")

    def _between(self, subjects: Sequence[Item], ends: Sequence[Item], said: str) -> None:
        years = sorted(year for item in ends if (year := facts.year_of(item)) is not None)
        for item in subjects:
            year = facts.year_of(item)
            holds = len(years) == 2 and year is not None and years[0] < year < years[1]
            self._say("comparison", said, holds, f"{year} against {years}")

    def _measure(self, item: Item, measure: str) -> float | None:
        return self._matter.counts.get(item.id) if measure == "count" else facts.measure_of(item, measure)

    # What items have in common

    def _shared(self, text: str, subjects: Sequence[Item]) -> tuple[Item, ...]:
        """Check "the same director as X"; return the items that a fact beside "shares" is said of, or ()."""
        match = self._grammar.shared.search(text)
        if match is None:
            return ()
        partners = [item for item in self._items_of(text) if item not in subjects]
        partners = partners or self._likes or ([] if len(subjects) > 1 else self._others_told())
        everyone = tuple(unique((*subjects, *partners)))
        if len(everyone) < 2:
            return ()
        self._shared_count(text, everyone)
        told = next((value for value in match.groupdict().values() if value), None)
        if told is None:
            # "by the …" without a role tells nothing of two items.
            return () if "by the" in match[0] else everyone
        aspect = _aspect(told)
        negated = is_negated(text, match.start(), self._grammar)
        for other in everyone[1:]:
            holds = facts.overlap(everyone[0], other, aspect) != negated
            self._say("shared", match[0], holds, f"the {aspect} of {everyone[0].title} and {other.title}")
        # In "from the 1990s by the director of X" only the director is shared.
        return () if "by the" in match[0] else everyone

    def _shared_count(self, text: str, items: Sequence[Item]) -> None:
        count = self._grammar.shared_count.search(text)
        if count is not None:
            common = frozenset.intersection(*map(labels_of, items))
            self._say("count", count[0], number_of(count["n"]) == len(common), f"shared: {sorted(common)}")

    def _alike(self, text: str, subjects: Sequence[Item]) -> None:
        """ "similar to X" wants one label, person or brand in common."""
        for match in self._grammar.alike.finditer(text):
            if match[0].strip() == match["refs"]:
                continue
            negated = bool(match["no"]) or is_negated(text, match.start(), self._grammar)
            pairs = [(one, other) for one in subjects for other in self._items_of(match["refs"])]
            for one, other in pairs:
                if one.id != other.id:
                    holds = facts.overlap(one, other, "any") != negated
                    self._say("similar", match[0], holds, f"what {one.title} and {other.title} share")

    # Numbers and other words

    def _titles_counted(self, text: str, subjects: Sequence[Item]) -> None:
        another = self._grammar.another.search(text)
        number = number_of(another["n"]) if another is not None else None
        if number is not None:
            self._say("count", text, number == len(subjects), f"{len(subjects)} titles are named")

    def _figures(self, text: str, subjects: Sequence[Item]) -> None:
        """Numbers that nothing else explains must be figures of an item in the clause."""
        grammar = self._grammar
        plain = re.sub(r"‹\w+›", " ", text)
        counting = (grammar.years_apart, grammar.shared_count, grammar.another, grammar.counted, _NO_FIGURE)
        for pattern in counting:
            plain = pattern.sub(" ", plain)
        known = {number for item in subjects for number in facts.numbers_of(item)}
        for match in re.finditer(r"\d+(?:\.\d+)?", plain):
            negated = is_negated(text, text.find(match[0]), grammar)
            holds = (float(match[0]) in known) != negated
            self._say("number", match[0], holds, "compared with the item's figures")

    def _residue(self, text: str, subjects: Sequence[Item]) -> None:
        """Words that describe or act for an item and that neither its record nor common wording explains."""
        items = (*subjects, *self._items_of(text))
        described = frozenset[str]().union(*map(facts.described_words, items))
        if self._masked.chinese:
            bare = "".join(" " if char in described else char for char in text)
            for rest in self._strange_chinese(bare):
                if len(rest) >= 2:
                    self._say("quality", rest, False, _NO_RECORD)
            return
        for word in self._describing(text):
            wished = self._matter.wish.has(word) and re.search(rf"\b{re.escape(word)} {_PICK}", text)
            if not (wished or self._is_explained(word, described)):
                self._say("quality", word, False, _NO_RECORD)
        words = set(_WORD.findall(re.sub(r"‹\w+›", " ", text)))
        strange = sorted(word for word in words if not self._is_explained(word, described))
        if len(strange) >= MANY_STRANGE_WORDS:
            self._say("unknown", " ".join(strange), False, "nothing in catalogue or request explains it")

    def _describing(self, text: str) -> Iterator[str]:
        """Words in a place where a quality of the item stands, or what it does."""
        for pattern in self._grammar.residue:
            for match in pattern.finditer(text):
                yield from filter(None, match.groupdict().values())

    def _is_explained(self, word: str, described: frozenset[str]) -> bool:
        return self._is_known(word) or set(norms_of(word)) <= described


def _aspect(told: str) -> str:
    """The aspect that a word names: a role, "label", "year" or "decade"."""
    for aspect, starts in (
        ("label", ("genre", "类型")),
        ("year", ("year", "年份")),
        ("decade", ("decade", "era", "年代")),
    ):
        if told.startswith(starts):
            return aspect
    return next((role for role, words in ROLE_WORDS if re.match(rf"(?:{words})", told)), "any")
