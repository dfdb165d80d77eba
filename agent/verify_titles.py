"""How a title may be said: ``Usual Suspects, The (1995)`` is also *The Usual Suspects*.

Knows the habits of catalogues (article behind the comma, year and other names in brackets), not which
items exist.
"""

from __future__ import annotations

import re

ARTICLES = frozenset(
    "the a an il la lo le les l' i gli el los las un une der die das den det de het o os".split()  # noqa: SIM905
)
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
_BRACKETS = re.compile(r"\s*\(([^()]*)\)")
_ALSO_KNOWN = re.compile(r"^(?:a\.k\.a\.|aka)\s+", re.IGNORECASE)


def split_year(title: str) -> tuple[str, int | None]:
    """``Alien (1979)`` -> (``Alien``, 1979); the year is None when the title does not end with one."""
    found = _YEAR.search(title)
    return (title[: found.start()].strip(), int(found[1])) if found else (title.strip(), None)


def article_first(title: str) -> str:
    """``Usual Suspects, The`` -> ``The Usual Suspects``; other titles stay as they are."""
    head, comma, tail = title.rpartition(", ")
    if not comma or tail.casefold() not in ARTICLES:
        return title
    return f"{tail}{head}" if tail.endswith("'") else f"{tail} {head}"


def spoken(title: str, *, year: int | None = None) -> str:
    """The title as a person would write it: article first, other names left out, the year behind it.

    >>> spoken("Usual Suspects, The (1995)"), spoken("Seven (Se7en)", year=1995)
    ('The Usual Suspects (1995)', 'Seven (1995)')
    """
    bare, own_year = split_year(title)
    name = article_first(_BRACKETS.sub("", bare).strip()) or bare
    shown = own_year if own_year is not None else year
    return name if shown is None else f"{name} ({shown})"


def forms(title: str) -> tuple[str, ...]:
    """Every way to write a title without its year: as catalogued, spoken, and each name in brackets."""
    bare, _ = split_year(title)
    main = _BRACKETS.sub("", bare).strip()
    others = [_ALSO_KNOWN.sub("", name).strip() for name in _BRACKETS.findall(bare)]
    names = [bare, main, *others]
    return tuple(dict.fromkeys(form for name in names for form in (name, article_first(name)) if form))
