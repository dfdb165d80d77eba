"""What is done to every text that enters: invisible characters out, whitespace folded, length capped.

Also how titles are compared. Item texts are data from strangers; characters that a reader cannot see but
a language model can (tag characters, bidirectional overrides, zero-width runs) have no place in them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

TITLE_CHARS = 500
DESCRIPTION_CHARS = 5_000

_WHITESPACE = re.compile(r"\s+")
# Letters, marks and symbols by category, yet drawn as nothing.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
_JOINERS = ("\u200c", "\u200d")
_YEAR = re.compile(r"\(((?:1[89]|20)\d\d)(?:\s*[-–]\s*(?:\d{4})?)?\s*\)\s*")
# C, C++ and C# are three books.
_TELLING_SIGN = re.compile(r"&|(?<=[^\W\d_])[+#]|(?<=\+)\+")
_APOSTROPHE = re.compile("['’`]")
_ASCII_BREAK = re.compile(r"[^a-z0-9]+")
_ASIDE = re.compile(r"\(([^()]*)\)")
# Film lists move these behind the title: "Postino, Il".
_ARTICLES = "the|a|an|le|la|les|il|lo|gli|el|los|las|der|die|das|den|det|un|une|uno|una|l'"
_TRAILING_ARTICLE = re.compile(rf"^(.*\S),\s*({_ARTICLES})$", re.IGNORECASE)


def clean_text(text: str) -> str:
    """Return ``text`` without control and invisible characters, every run of whitespace one space.

    Zero-width joiners stay between two visible non-ASCII characters (emoji, Arabic and Indic scripts
    need them). Idempotent.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    spaced = _INVISIBLE.sub("", _WHITESPACE.sub(" ", text))
    kept = "".join(char for char in spaced if char in _JOINERS or not _is_hidden(char))
    return _WHITESPACE.sub(" ", _drop_loose_joiners(kept)).strip()


@lru_cache(maxsize=8_192)
def _is_hidden(char: str) -> bool:
    category = unicodedata.category(char)
    return category in ("Cc", "Cf", "Cs", "Co") or (category == "Cn" and ord(char) & 0xFFFE == 0xFFFE)


def _drop_loose_joiners(text: str) -> str:
    if not any(joiner in text for joiner in _JOINERS):
        return text
    kept: list[str] = []
    for position, char in enumerate(text):
        if char not in _JOINERS or (
            kept
            and position + 1 < len(text)
            and _can_be_joined(kept[-1])
            and _can_be_joined(text[position + 1])
        ):
            kept.append(char)
    return "".join(kept)


def _can_be_joined(char: str) -> bool:
    return char > "\x7f" and not char.isspace() and char not in _JOINERS


def split_year(title: str) -> tuple[str, int | None]:
    """``"Alien (1979)"`` -> ``("Alien", 1979)``; the first year of ``(2006–2007)``; None without one."""
    bracket = title.rfind("(")
    match = _YEAR.fullmatch(title, bracket) if bracket > 0 else None
    name = title[:bracket].strip()
    return (title.strip(), None) if match is None or not name else (name, int(match.group(1)))


def title_key(title: str) -> str:
    """What two spellings of one title share: no case, accents, punctuation, year, or moved article.

    ``"Matrix, The (1999)"`` and ``"the matrix"`` have the same key. A title of punctuation or emoji alone is
    its own key.
    """
    name = split_year(title)[0]
    moved = _TRAILING_ARTICLE.match(name) if "," in name else None
    if moved:
        name = f"{moved.group(2)} {moved.group(1)}"
    plain = _TELLING_SIGN.sub(_sign_name, name.casefold())
    if plain.isascii():  # three times as fast, and most titles are
        return " ".join(_ASCII_BREAK.sub(" ", _APOSTROPHE.sub("", plain)).split()) or name.casefold()
    plain = unicodedata.normalize("NFKD", plain)
    letters = "".join(char if char.isalnum() else _separator(char) for char in plain)
    return " ".join(unicodedata.normalize("NFC", letters).split()) or name.casefold()


def _sign_name(match: re.Match[str]) -> str:
    return {"&": " and ", "+": "plus", "#": "sharp"}[match.group()]


def _separator(char: str) -> str:
    if "\u0300" <= char <= "\u036f" or _APOSTROPHE.match(char):
        return ""
    # Marks of other scripts (Indic vowels, Japanese voicing) are parts of letters.
    return char if unicodedata.category(char).startswith("M") else " "


def alias_keys(title: str) -> tuple[str, ...]:
    """Keys of the names inside a title with asides: ``"Seven (a.k.a. Se7en) (1995)"`` -> seven, se7en."""
    name = split_year(title)[0]
    asides = _ASIDE.findall(name)
    main = _ASIDE.sub(" ", name).strip()
    if not asides or not main:
        return ()
    names = (main, *(re.sub(r"^a\.?k\.?a\.?\s+", "", aside, flags=re.IGNORECASE) for aside in asides))
    return tuple(dict.fromkeys(title_key(name) for name in names if name.strip()))
