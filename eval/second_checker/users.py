"""Clauses that say something of the user: a wish, a history, ratings, a taste."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tastemaker.eval.second_checker.claims import Sentence, number_of
from tastemaker.eval.second_checker.clauses import Fact, is_negated, owner_of
from tastemaker.eval.second_checker.titles import norms_of
from tastemaker.types import Item

MIN_TASTE = 2
"""So many past items make a taste: one liked comedy is no liking of comedies."""

_TASTES = frozenset({"liked", "loved", "disliked", "watched", "bought", "read", "listened"})
_SERVES = re.compile(
    r"\b(?:for|makes?|made|suggests?|to|recommend|behind|why|so|led|as)\b[^‹]*$|推荐|适合|选"
)
_REFUSED = re.compile(r"\b(?:not|no|nothing|without)\b|不|没")
_ATTRIBUTE = re.compile(r"\b(?:an?|the|and) (?P<word>[a-z][a-z-]+)(?= ‹g\d+›)")
_ANY_RATING = re.compile(r"\d+(?:\.\d+)?(?:[ -]?stars?| out of|/| ?分)")
_TITLE_TAG = re.compile(r"‹[it]\d*›")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """A verb of liking or having: its place in the clause, what it means and its words."""

    start: int
    end: int
    name: str
    words: str


_MET = Stance(start=0, end=0, name="met", words="")


class AboutUser(Sentence):
    """Reads clauses whose subject is the user."""

    # Wishes

    def _wish(self, text: str, match: re.Match[str]) -> None:
        """What "you asked for" names must stand in the wish; ``match`` is the verb."""
        if not self._matter.wish:
            negated = is_negated(text, match.start(), self._grammar)
            self._say("wish", match[0], negated, "nothing was wished")
            return
        told = text[match.end() :]
        self._say(
            "wish", match[0], not is_negated(text, match.start(), self._grammar), "something was wished"
        )
        self._wished_things(told)
        self._facts = [fact for fact in self._facts_in(text) if fact.kind == "label"] or self._facts
        plain = re.sub(r"‹\w+›", " ", told)
        if self._masked.chinese:
            for rest in self._strange_chinese(plain):
                self._say("wish", rest, self._matter.wish.quotes(rest), "compared with the wish")
        else:
            self._wished_words(plain)

    def _wished_things(self, told: str) -> None:
        for match in re.finditer(r"‹([gc])(\d+)›", told):
            if match[1] == "g":
                said = self._masked.labels[int(match[2])]
                holds = said in self._matter.wished_labels
            else:
                name, said = self._masked.contexts[int(match[2])]
                now = self._matter.situation.get(name, frozenset())
                holds = (name, said) in self._matter.wished_contexts or said in now
            self._say("wish", said, holds, "compared with the wish")

    def _wished_words(self, plain: str) -> None:
        wish, refused = self._matter.wish, _REFUSED.search(plain) is not None
        for word in norms_of(plain):
            if not self._is_known(word):
                holds = wish.has(word) or (refused and wish.has(word, negated=True))
                self._say("wish", word, holds, "compared with the wish")

    # Histories

    def _stances_in(self, text: str) -> list[Stance]:
        """The verbs of liking or having, in order; where two overlap the stronger stands."""
        found: list[Stance] = []
        for name, pattern in self._grammar.stances:
            for match in pattern.finditer(text):
                if not any(one.start < match.end() and match.start() < one.end for one in found):
                    found.append(Stance(start=match.start(), end=match.end(), name=name, words=match[0]))
        return sorted(found, key=lambda one: one.start)

    def _history(self, text: str) -> None:
        """ "You liked X", "you gave X 5 stars", "you like comedies"."""
        stances = self._stances_in(text)
        for ref in _TITLE_TAG.finditer(text):
            item = self._item_of(ref[0])
            recommended = item.id == self._matter.item.id and _SERVES.search(text[: ref.start()]) is not None
            if not recommended:
                self._history_of(text, ref, item, stances)
        found = self._facts_in(text)
        loose: list[Fact] = []
        for fact in found:
            owner, _ = owner_of(text, fact.start, fact.end)
            if owner is None or self._ends_with(text, fact):
                loose.append(fact)
            if owner is not None:
                self._tell(fact, self._items_of(owner))
        self._facts = found or self._facts
        if stances:
            self._taste(text, loose, stances[0])
        for match in _ATTRIBUTE.finditer(text):
            if not self._is_known(match["word"]):
                self._say("quality", match["word"], self._matter.wish.has(match["word"]), "nothing shows it")

    def _ends_with(self, text: str, fact: Fact) -> bool:
        """Whether a Chinese clause ends with the label: its object, "你喜欢《X》这样的喜剧片"."""
        return self._masked.chinese and re.fullmatch(r" ?(?:片|电影)?", text[fact.end :]) is not None

    def _history_of(self, text: str, ref: re.Match[str], item: Item, stances: Sequence[Stance]) -> None:
        """Check what a clause says of one past item."""
        past = self._matter.past
        before = [one for one in stances if one.start < ref.start()]
        stance = (before[-1:] or stances[:1] or [_MET])[0]
        name = stance.name
        if name == "rated" and self._grammar.high_rating.search(text):
            name = "liked"
        said, negated = f"{stance.words} {item.title}", self._is_denied(text, stance)
        if item.id not in past.entries:
            self._say("history", said, negated, "it is not in the history")
            return
        self._say("history", said, past.holds(item.id, name) != negated, f"the history against “{name}”")
        self._times(text, item)
        self._rating(text, ref, item)
        recent = self._grammar.recently.search(text)
        if recent is not None:
            self._say("time", recent[0], self._is_recent(item, recent), "the times of the history")

    def _is_denied(self, text: str, stance: Stance) -> bool:
        return is_negated(text, stance.end, self._grammar)

    def _is_recent(self, item: Item, match: re.Match[str]) -> bool:
        now = self._matter.request.context.time
        return self._matter.past.is_recent(item.id, str(match.lastgroup), now)

    def _times(self, text: str, item: Item) -> None:
        """ "twice", "three times" against the number of entries."""
        match = self._grammar.times.search(text)
        if match is None or (match["once"] and re.search(r"you once|曾", text)):
            return
        count = len(self._matter.past.entries[item.id])
        if match["many"]:
            holds = count > 1
        else:
            holds = count == (1 if match["once"] else 2 if match["twice"] else number_of(match["n"]))
        self._say("count", match[0], holds, f"{count} times")

    # Ratings

    def _rating(self, text: str, ref: re.Match[str], item: Item) -> None:
        """Check the rating told of ``item``: the one between it and the next title, else the only one."""
        past = self._matter.past
        behind = _TITLE_TAG.search(text, ref.end())
        stretch = text[ref.end() : behind.start() if behind else len(text)]
        match = self._rating_in(stretch)
        if match is None and len(_ANY_RATING.findall(text)) <= 1:
            match = self._rating_in(text)
        if match is not None:
            top = number_of(match.groupdict().get("max"))
            if top is not None:
                self._say("rating", match[0], top == past.top, f"the scale ends at {past.top}")
            holds = number_of(match["v"]) in past.values(item.id)
            self._say("rating", match[0], holds, "compared with the history")
        if self._grammar.top_rating.search(stretch if match else text):
            self._say("rating", "top", past.top in past.values(item.id), "compared with the history")

    def _rating_in(self, text: str) -> re.Match[str] | None:
        return next((match for one in self._grammar.ratings if (match := one.search(text))), None)

    # Tastes

    def _taste(self, text: str, loose: Sequence[Fact], stance: Stance) -> None:
        """ "You like comedies", "you liked three thrillers", by the past items that fit all of it."""
        past = self._matter.past
        named = [item for item in self._items_of(text) if item.id in past.items]
        counted = self._grammar.counted.search(text)
        if counted is not None:
            pool = named or past.with_stance(stance.name)
            rating = self._rating_in(text[counted.end() :])
            if rating is not None:
                pool = [item for item in pool if number_of(rating["v"]) in past.values(item.id)]
            fitting = _fitting(pool, loose)
            self._say("count", counted[0], number_of(counted["n"]) == len(fitting), f"{len(fitting)} such")
            return
        if not loose or stance.name not in _TASTES:
            return
        fitting = _fitting(past.with_stance(stance.name), loose)
        recent = self._grammar.recently.search(text)
        if recent is not None and not named:
            fitting = [item for item in fitting if self._is_recent(item, recent)]
        for fact in loose:
            self._tell(fact, named)
        one_will_do = bool(named) or self._grammar.singular.search(text) is not None
        wanted = 1 if one_will_do else MIN_TASTE
        holds = (len(fitting) >= wanted) != self._is_denied(text, stance)
        self._say("taste", " ".join(fact.text for fact in loose), holds, f"{len(fitting)} such")


def _fitting(items: Sequence[Item], facts: Sequence[Fact]) -> list[Item]:
    return [item for item in items if all(fact.test(item) for fact in facts)]
