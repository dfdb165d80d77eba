"""Misspelt words of the recogniser's own vocabulary.

Only words that no dictionary knows are touched, and only by one edit of a word of the vocabulary, so that
"raining" stays and "horror" is found in "horor". What is mended is read; what is kept stays as it was
written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache, lru_cache

from spellchecker import SpellChecker

from tastemaker.agent.recognise.lexicon import Words, load_words
from tastemaker.prompts.domains import Domain
from tastemaker.types import Language

MIN_LETTERS = 5
_WORD = re.compile(r"[a-z]+")


LONG = 8
"""From so many letters on two edits are looked for."""

_ALIKE = 0.7
"""Share of letters in common, in order: two edits of eight letters leave .75 and more."""


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en", distance=1)


@cache
def _wider() -> SpellChecker:
    return SpellChecker(language="en", distance=2)


def _has_near(word: str, own: Iterable[str]) -> bool:
    """Whether a word of the vocabulary is about two edits away: asked first, since to look through all words
    of the dictionary takes half a second a word.
    """
    return any(
        abs(len(word) - len(one)) <= 2
        and SequenceMatcher(None, word, one).real_quick_ratio() > _ALIKE
        and SequenceMatcher(None, word, one).ratio() > _ALIKE
        for one in own
    )


@cache
def _near(language: Language, concepts: tuple[str, ...]) -> Mapping[str, str]:
    """Every string one edit away from a word of the vocabulary, and that word; doubtful ones are left out."""
    own = _own(language, concepts)
    near: dict[str, str] = {}
    doubtful: set[str] = set()
    for word in sorted(own):
        for edit in _dictionary().edit_distance_1(word) - own:
            if near.setdefault(edit, word) != word:
                doubtful.add(edit)
    return {edit: word for edit, word in near.items() if edit not in doubtful}


@cache
def _own(language: Language, concepts: tuple[str, ...]) -> frozenset[str]:
    words = {part for name in concepts for part in _WORD.findall(name)} | load_words(language).vocabulary
    return frozenset(word for word in words if len(word) >= MIN_LETTERS)


@lru_cache(maxsize=4_096)
def _mended(word: str, language: Language, concepts: tuple[str, ...]) -> str | None:
    """The word of the vocabulary that is meant; None for a word of the dictionary, or where none is likely.

    What the dictionary holds likeliest comes first: "suprise" is a surprise, not a sunrise.
    """
    if len(word) < MIN_LETTERS - 1 or word in _own(language, concepts) or _dictionary().known([word]):
        return None
    near = _near(language, concepts).get(word)
    if near is not None and _is_slip(word, near):
        return near
    likely = _dictionary().correction(word)
    if likely is None or likely == word:
        # Two slips in a long word: "begginer".
        wide = len(word) >= LONG and _has_near(word, _own(language, concepts))
        likely = _wider().correction(word) if wide else None
        return near if near is not None else likely if likely in _own(language, concepts) else None
    return likely if likely in _own(language, concepts) else None


@cache
def mended(word: str, known: frozenset[str]) -> str | None:
    """The one known word that a lower case word is a slip of; None where it is a word itself, or none is."""
    if word in known or _dictionary().known([word]):
        return None
    near = _dictionary().edit_distance_1(word) & known
    return near.pop() if len(near) == 1 else None


def _is_slip(word: str, meant: str) -> bool:
    """A doubled letter written once or the other way round, or two letters that changed places."""
    single = [re.sub(r"(.)\1", r"\1", one) for one in (word, meant)]
    return single[0] == single[1] or sorted(word) == sorted(meant)


def corrected(
    text: str, words: Words, domain: Domain, kept: Sequence[tuple[int, int]] = ()
) -> tuple[str, list[int]]:
    """The text with misspelt words of the vocabulary mended, and where each of its places was before.

    Args:
        kept: stretches that stay as they are.

    Returns:
        The text; for each place in it, and for its end, the place in the original.
    """
    concepts = tuple(name for names in domain.concepts[words.language].values() for name in names)
    out, origin, at = [], list[int](), 0
    for match in _WORD.finditer(text):
        word = match[0]
        if any(first <= match.start() and match.end() <= last for first, last in kept):
            continue
        mended = _mended(word, words.language, concepts)
        if mended is None:
            continue
        out += [text[at : match.start()], mended]
        origin += range(at, match.start())
        origin += [min(match.start() + place, match.end() - 1) for place in range(len(mended))]
        at = match.end()
    out.append(text[at:])
    origin += range(at, len(text) + 1)
    return "".join(out), origin
