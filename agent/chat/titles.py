"""Titles of the catalogue inside free text, as people say them: without article, subtitle or capitals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from spellchecker import SpellChecker

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.verify_titles import ARTICLES, forms
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain

RARE = 1e-5
"""Share of running text above which a word is more likely a word than a title: "aliens" has 1.1e-5, "heat"
3.6e-5, "casablanca" 4e-8. A capital inside a sentence makes a title of either.
"""

MIN_LETTERS = 3
LONG = 8
"""Letters from which a word that only one title has may stand for it, if it is rare."""

_WORD = re.compile(r"[^\W_\u3400-\u9fff]+(?:'[^\W_\u3400-\u9fff]+)?|[\u3400-\u9fff]")
_SAID_OF = re.compile(r" (?:is|was|has|had|rules|rocks|sucks)\b")
_SENTENCE = re.compile(r"(?:^|[.!?…。！？:：\n])\s*[\"'“‘(]*$")

Words = tuple[str, ...]


class TitleFinder:
    """Finds titles of one catalogue; of several items with a title, that with the most interactions."""

    def __init__(self, dataset: Dataset, domain: Domain, words: ChatWords) -> None:
        self._fillers = words.fillers
        self._frequency = SpellChecker(language="en").word_usage_frequency
        self._concepts = {
            name.casefold() for names in domain.concepts.values() for one in names.values() for name in one
        } | {value.casefold() for names in domain.concepts.values() for value in names}
        self._items: dict[Words, str] = {}
        self._by_first: dict[str, list[Words]] = {}
        titles = dataset.items["title"].to_pylist()
        short = Counter(form for title in titles for form in set(_shortened(title)))
        for place in (-dataset.item_counts).argsort(kind="stable").tolist():
            # What several titles begin with names none of them: "no Star Trek".
            own = (form for form in _shortened(titles[place]) if short[form] == 1)
            for spoken in (*_spoken(titles[place]), *own):
                if spoken not in self._items and self._tells(spoken):
                    self._items[spoken] = dataset.item_ids[place]
                    self._by_first.setdefault(spoken[0], []).append(spoken)
        for known in self._by_first.values():
            known.sort(key=len, reverse=True)

    def _tells(self, spoken: Words) -> bool:
        """Something that nobody says without meaning a title: no "gift cards", no "comedy"."""
        name = " ".join(spoken)
        if name in self._concepts or not re.sub(r"[\W_]+", "", self._fillers.sub(" ", name)):
            return False
        return len(spoken) > 1 or len(name) >= MIN_LETTERS

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and item of each title, in the order of the text."""
        found = [(match.start(), match.end(), match[0]) for match in _WORD.finditer(text)]
        told = [word.casefold() for _, _, word in found]
        # Where everything begins with a capital, capitals tell nothing.
        telling = any(word.islower() for _, _, word in found)
        at = 0
        while at < len(found):
            spoken = next(
                (
                    one
                    for one in self._by_first.get(told[at], ())
                    if tuple(told[at : at + len(one)]) == one
                    and self._is_meant(one, text, found[at], telling)
                ),
                None,
            )
            if spoken is None:
                at += 1
                continue
            yield found[at][0], found[at + len(spoken) - 1][1], self._items[spoken]
            at += len(spoken)

    def _is_meant(self, spoken: Words, text: str, first: tuple[int, int, str], telling: bool) -> bool:
        if len(spoken) > 1 or not spoken[0].isascii():
            return True
        start, end, word = first
        opens = _SENTENCE.search(text[:start]) is not None
        if telling and word[0].isupper() and (not opens or _SAID_OF.match(text, end)):
            return True
        return float(self._frequency(spoken[0])) <= RARE


def _spoken(title: str) -> Iterator[Words]:
    """Its forms as words: whole, and without its article."""
    for form in forms(title):
        words = tuple(_WORD.findall(form.casefold()))
        yield words
        if len(words) > 1 and words[0] in ARTICLES:
            yield words[1:]


def _shortened(title: str) -> Iterator[Words]:
    """What may stand for it alone: what is before a colon, "Terminator 2", and a long word, "Shawshank"."""
    for form in forms(title):
        head = tuple(_WORD.findall(form.partition(":")[0].casefold()))
        if ":" in form and len(head) > 1:
            yield head
        words = _WORD.findall(form.casefold())
        if len(words) > 1:
            yield from ((word,) for word in words if len(word) >= LONG and word.isascii())
