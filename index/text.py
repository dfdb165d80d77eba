"""What the embedding model reads of an item. One function, so that build, update and search agree."""

from __future__ import annotations

from tastemaker.data.texts import clean_text
from tastemaker.types import AttributeValue, Item

MAX_DESCRIPTION_CHARS = 600
"""Small sentence encoders read 256 tokens; 600 characters of text are about half of that."""

MAX_ATTRIBUTE_CHARS = 120
MAX_TEXT_CHARS = 1_200
_NAMED_APART = frozenset({"year", "genres"})


def item_text(item: Item) -> str:
    """``Alien (1979). Horror, Sci-Fi. director: Ridley Scott. In deep space ...``

    Title with year, genres, attributes that hold words (``name: value``, sorted by name), description.
    Numbers other than the year, addresses and empty values are left out: they move the vector of a
    sentence encoder without meaning anything to it.
    """
    parts = [item.display_title.strip(), ", ".join(item.genres)]
    for name in sorted(set(item.attributes) - _NAMED_APART):
        words = _words(item.attributes[name])
        if words:
            parts.append(f"{name}: {words[:MAX_ATTRIBUTE_CHARS]}")
    parts.append(" ".join(item.description[: 4 * MAX_DESCRIPTION_CHARS].split())[:MAX_DESCRIPTION_CHARS])
    return clip_text(". ".join(part for part in parts if part))


def clip_text(text: str) -> str:
    """``text`` as far as an embedding model reads it; a page of 10,000 characters costs no more.

    Invisible characters are left out: a lone surrogate, which JSON can hold, makes tokenizers fail.
    """
    return clean_text(text[:MAX_TEXT_CHARS])


def _words(value: AttributeValue) -> str:
    texts = value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
    return ", ".join(text for text in texts if any(map(str.isalpha, text)) and "://" not in text)
