"""What a turn points at: places in the list last shown, the item last spoken of, titles of the catalogue."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.chat.titles import TitleFinder
from tastemaker.agent.recognise.fields import CatalogueFields
from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.agent.verify_titles import forms
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain
from tastemaker.types import Item

MAX_FUZZY = 50_000
"""Titles among which a misspelt one is looked for; of more, only among those shown and in exact spelling."""

_NEAR = 0.82
"""Least difflib ratio: "Jurasic Park" and "Jurassic Park" have .96, "Heat" and "Hearts" .8."""

MAX_PLACE = 10
"""Up to this number a bare one is asked about where the list is shorter."""

SHORT = 4
"""Characters of a bare pronoun: "it", "this", "that", "它"."""

_EDGES = " \t\"'“”‘’《》「」.,;:!?…，。；：！？、()（）"


@dataclass(slots=True)
class Found:
    """``items`` in the order of mention; ``spans`` of the text that were read as references; ``missing``:
    places that the list does not have; ``weak``: spans that may not have been meant as references.
    """

    marks: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    weak: set[tuple[int, int]] = field(default_factory=set)

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item for _, _, items in sorted(self.marks) for item in items))

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [(start, end) for start, end, _ in self.marks]

    @property
    def is_sure(self) -> bool:
        """Something was pointed at in so many words."""
        return any(mark[:2] not in self.weak for mark in self.marks)

    def free(self, start: int, end: int) -> bool:
        return all(end <= first or start >= last for first, last, _ in self.marks)

    def mark(self, start: int, end: int, items: Sequence[str]) -> None:
        if self.free(start, end):
            self.marks.append((start, end, tuple(items)))


class References:
    """Resolves references of one language in one catalogue."""

    def __init__(self, dataset: Dataset, fields: CatalogueFields, domain: Domain, words: ChatWords) -> None:
        self._dataset, self._fields, self._domain, self._words = dataset, fields, domain, words
        self._finder = TitleFinder(dataset, domain, words)

    def find(
        self,
        text: str,
        shown: Sequence[str],
        focus: str | None,
        *,
        numbers: bool,
        named: Sequence[str] = (),
    ) -> Found:
        """Every reference in ``text``.

        Args:
            numbers: "2" alone is a place of the list, as in "why 2", and "first" too.
            named: items that the turn has named before; "them" are these.
        """
        found = Found()
        for start, end, item in self._titles(text, shown):
            found.mark(start, end, [item])
        text = plain_text(text)
        if shown:
            self._several(text, shown, found)
            self._places(text, shown, found, numbers)
            self._qualities(text, shown, found)
            self._all(text, shown if len(named) < 2 else named, found)
            self._pointed(text, shown, focus, found)
        return found

    def named(self, text: str, shown: Sequence[str]) -> str | None:
        """The item whose title ``text`` is meant to be, misspelt perhaps; those shown come first."""
        wanted = text.strip(_EDGES)
        if len(wanted) < 2:
            return None
        if (exact := self._dataset.find_title(wanted)) is not None:
            return exact
        near = [self._spellings(shown)]
        if len(wanted) >= 4 and len(self._dataset.item_ids) <= MAX_FUZZY:
            near.append(self._all_spellings)
        for spellings in near:
            if found := difflib.get_close_matches(wanted, spellings, n=1, cutoff=_NEAR):
                return spellings[found[0]]
        return self._part_of_shown(wanted, shown)

    def _part_of_shown(self, wanted: str, shown: Sequence[str]) -> str | None:
        """ "The lion one": the one item of the list with such a word in its title."""
        words = set(re.findall(r"[^\W_]{4,}", wanted))
        hits = [one for one in shown if words & set(re.findall(r"[^\W_]{4,}", self._title(one).casefold()))]
        return hits[0] if len(hits) == 1 else None

    def _title(self, item: str) -> str:
        return self._dataset.item(item).title

    def _spellings(self, items: Sequence[str]) -> dict[str, str]:
        return {form.casefold(): one for one in reversed(items) for form in forms(self._title(one))}

    @cached_property
    def _all_spellings(self) -> dict[str, str]:
        # Popular ones last, so that they keep a spelling that several items share.
        order = self._dataset.item_counts.argsort(kind="stable")
        return {
            form.casefold(): self._dataset.item_ids[place]
            for place in order.tolist()
            for form in forms(self._dataset.items["title"][place].as_py())
            if len(form) > 3
        }

    def _titles(self, text: str, shown: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        plain = plain_text(text)
        for spelling, item in sorted(self._spellings(shown).items(), key=lambda one: -len(one[0])):
            for match in re.finditer(rf"(?<!\w){re.escape(spelling)}(?!\w)(?: \(\d{{4}}\))?", plain):
                if len(spelling) > 2:
                    yield *match.span(), item
        yield from self._finder.find(text)

    def _several(self, text: str, shown: Sequence[str], found: Found) -> None:
        for pattern, last in ((self._words.first_n, False), (self._words.last_n, True)):
            for match in pattern.finditer(text):
                count = self._words.counts.get(next(filter(None, match.groups())), 2)
                found.mark(*match.span(), shown[-count:] if last else shown[:count])

    def _all(self, text: str, shown: Sequence[str], found: Found) -> None:
        """ "All of them"; beside places that are named, "all" and "both" only say how many those are."""
        if found.marks:
            return
        for match in self._words.all_shown.finditer(text):
            found.weak.add(match.span())
            found.mark(*match.span(), shown)
        for match in self._words.both.finditer(text):
            found.weak.add(match.span())
            found.mark(*match.span(), shown[:2])

    def _places(self, text: str, shown: Sequence[str], found: Found, numbers: bool) -> None:
        places = [
            (*match.span(), place)
            for place, pattern in self._words.ordinals
            for match in pattern.finditer(text)
        ]
        if numbers:
            places += [
                (*match.span(), place)
                for place, pattern in self._words.bare_ordinals
                for match in pattern.finditer(text)
            ]
        places += [(*match.span(), int(match[1])) for match in self._words.numbered.finditer(text)]
        for match in self._words.bare_number.finditer(text) if numbers else ():
            # "25 or less" is no place of a list.
            if int(match[1]) <= max(len(shown), MAX_PLACE):
                found.weak.add(match.span())
                places.append((*match.span(), int(match[1])))
        for start, end, place in sorted(places, key=lambda one: (one[0] - one[1], one[0])):
            if not found.free(start, end):
                continue
            at = place - 1 if place > 0 else len(shown) + place
            if 0 <= at < len(shown):
                found.mark(start, end, [shown[at]])
            else:
                found.mark(start, end, [])
                found.missing.append(place)

    def _qualities(self, text: str, shown: Sequence[str], found: Found) -> None:
        for role, end_of, pattern in self._words.superlatives:
            for match in pattern.finditer(text):
                if (best := self._extreme(role, end_of, shown)) is not None:
                    found.mark(*match.span(), [best])
        for value, names in self._domain.concepts[self._words.language].items():
            for name in names:
                pattern = re.compile(self._words.one_of_kind.format(value=re.escape(name)))
                for match in pattern.finditer(text):
                    of_kind = [one for one in shown if value in self._dataset.item(one).genres]
                    if of_kind:
                        found.mark(*match.span(), of_kind[:1])

    def _extreme(self, role: str, end_of: str, shown: Sequence[str]) -> str | None:
        known = [
            (value, one) for one in shown if (value := self.value(role, self._dataset.item(one))) is not None
        ]
        if not known:
            return None
        return (min if end_of == "min" else max)(known, key=lambda pair: pair[0])[1]

    def value(self, role: str, item: Item) -> float | None:
        """The number behind a role ("price") of an item; None where the catalogue does not say it."""
        column = self._fields.columns.get(role)
        value = None if column is None else item.attributes.get(column)
        return float(value) if isinstance(value, (int, float)) else None

    def _pointed(self, text: str, shown: Sequence[str], focus: str | None, found: Found) -> None:
        for match in self._words.other_one.finditer(text):
            others = [one for one in shown if one != focus]
            found.mark(*match.span(), others[:1])
        named = bool(found.marks)
        for match in self._words.deictic.finditer(text):
            # "The second it is": a bare pronoun beside what is named adds nothing.
            if named and len(match[0]) <= SHORT:
                continue
            found.mark(*match.span(), [focus if focus is not None else shown[0]])
