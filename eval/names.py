"""What is a name in an explanation: the words that change with the items while the sentence stays.

``text_metrics.skeleton`` masks these; it masks numbers (years, decades, prices) by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tastemaker.agent.verify_lexicon import load_lexicon
from tastemaker.agent.verify_titles import forms
from tastemaker.types import Item, Language

NAMED = ("genres", "categories", "tags", "brand")
"""Attributes whose values a writer may quote and that are no numbers."""


def names_of(items: Sequence[Item], language: Language) -> frozenset[str]:
    """Names that a text about ``items``, the recommended and the cited ones, may hold, as written there.

    Titles without the year, as catalogued, with the article in front ("Matrix, The" is also "The Matrix")
    and by each name in brackets; the values of ``NAMED`` as catalogued; genres by all their words in
    ``language`` too ("Comedy" is also "comedies", or "喜剧片"). For a past item that the catalogue lacks,
    hand over an item of its typed title.
    """
    return frozenset(name for item in items for name in (*forms(item.title), *_values(item, language)))


def _values(item: Item, language: Language) -> Iterator[str]:
    known = load_lexicon(language).genres
    between = "" if language == "zh" else " "
    for attribute in NAMED:
        value = item.attributes.get(attribute, ())
        for one in map(str, value if isinstance(value, tuple) else (value,)):
            yield one
            yield from map(between.join, known.get(one, ()))
