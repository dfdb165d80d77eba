"""Turns that nobody can understand: marks alone, keys pressed at random.

A word is only called nonsense if it looks typed at random and neither a dictionary nor the catalogue holds
it: names, slang and words of other languages look like words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
from spellchecker import SpellChecker

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.data.dataset import Dataset

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
MIN_WALK = 4
"""Keys beside each other, in one direction, that nobody presses for a word: "asdf", "poiu"."""

MIN_MASHED = 5
RARE = 30
"""Words of the dictionary (of 160,000) that hold three letters in a row, below which these are rare."""

MASHED = 0.6
"""Share of rare threes from which a word without vowels, all on one row of keys, is typed at random: "sdkfjh"
has 1. Names have vowels ("Kafka", .6) or use other rows ("Krzysztof", "lgbtq").
"""

VOWELS = 0.2
"""Share of vowels up to which a word has none to speak of: "alskd"."""

LONG_NUMBER = 5
"""Digits from which a number alone is no place of a list, no year and no greeting ("886")."""

_TOKEN = re.compile(r"[^\W_]+")


class Sense:
    """Whether a text of one language can mean anything in one catalogue. Safe to share between threads."""

    def __init__(self, dataset: Dataset, words: ChatWords) -> None:
        self._items, self._words = dataset.items, words

    def has_none(self, text: str) -> bool:
        """Nothing but marks, or beside words of no weight nothing but keys pressed at random."""
        plain = plain_text(text)
        tokens = _TOKEN.findall(self._words.fillers.sub(" ", plain))
        if not tokens:
            marks = not _TOKEN.search(plain) and all(unicodedata.category(one) != "So" for one in plain)
            return marks or self._words.gibberish.fullmatch(plain.strip()) is not None
        number = len(tokens) == 1 and len(tokens[0]) >= LONG_NUMBER and not re.search(r"[^\W\d_]", plain)
        set_phrase = self._words.gibberish.fullmatch(plain.strip()) is not None
        if not (number or set_phrase or all(map(_is_mashed, tokens))):
            return False
        return not any(map(self._in_catalogue, tokens))

    def _in_catalogue(self, word: str) -> bool:
        """Any text of an item holds the word."""
        pattern = rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word)
        for column in self._items.columns:
            flat = column.combine_chunks()
            while pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type):
                flat = flat.flatten()
            if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
                found = pc.match_substring_regex(flat, pattern, ignore_case=True)
                if pc.any(found).as_py():
                    return True
        return False


def _is_mashed(word: str) -> bool:
    """It looks like keys pressed at random."""
    if not (word.isascii() and word.isalpha()):
        return False
    if len(word) >= MIN_WALK and (len(set(word)) == 1 or _walks(word)):
        return True
    unit = re.fullmatch(r"(.{3,}?)\1+", word)
    if unit is not None and _walks(unit[1]):
        return True
    if len(word) < MIN_MASHED or _dictionary().known([word]):
        return False
    threes = _threes(word)
    rare = sum(_counts()[one] < RARE for one in threes)
    vowels = sum(one in "aeiouy" for one in word)
    within = all(any(one in row and other in row for row in ROWS) for one, other in pairwise(word))
    return within and vowels <= VOWELS * len(word) and rare >= MASHED * len(threes)


def _walks(word: str) -> bool:
    return any(word in row or word[::-1] in row for row in ROWS)


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en", distance=1)


def _threes(word: str) -> list[str]:
    """Each three letters in a row, the edges of the word being letters too."""
    edged = f"^{word}$"
    return [edged[at : at + 3] for at in range(len(edged) - 2)]


@cache
def _counts() -> Counter[str]:
    known = _dictionary().word_frequency.dictionary
    return Counter(three for word in known if word.isascii() and word.isalpha() for three in _threes(word))
