"""Finding an item by a typed title."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tastemaker.data.texts import alias_keys, split_year, title_key

MAX_NEAR = 20_000
"""Titles that a misspelt one is compared with, the most popular: of a million it would take a minute."""


class TitleIndex:
    """Titles of a catalogue by their key (``texts.title_key``), the most popular first under each key."""

    def __init__(
        self,
        ids: Sequence[str],
        titles: Sequence[str],
        years: Sequence[int | None] | None,
        counts: NDArray[np.int64],
    ) -> None:
        self._ids = ids
        self._titles = titles
        self._years = years
        self._full: dict[str, list[int]] = {}
        self._alias: dict[str, list[int]] = {}
        for position in np.argsort(-counts, kind="stable").tolist():
            title = titles[position]
            self._full.setdefault(title_key(title), []).append(position)
            if title.count("(") > 1 or ("(" in title and split_year(title)[1] is None):
                for key in alias_keys(title):
                    self._alias.setdefault(key, []).append(position)

    def find(self, text: str) -> str | None:
        """Id of the best match of ``text``: a full title before a name in brackets; None for no match."""
        wanted = text.strip()
        if not wanted:
            return None
        year = split_year(wanted)[1]
        key = title_key(wanted)
        for index in (self._full, self._alias):
            for position in index.get(key, ()):
                if year is None or self._year(position) == year or self._titles[position] == wanted:
                    return self._ids[position]
        return None

    def near(self, text: str, n: int = 3) -> list[str]:
        """At most ``n`` titles that are written much like ``text``, the nearest first."""
        keys = list(islice(self._full, MAX_NEAR))
        found = difflib.get_close_matches(title_key(text), keys, n=n)
        return [self._titles[self._full[key][0]] for key in found]

    def _year(self, position: int) -> int | None:
        year = None if self._years is None else self._years[position]
        return split_year(self._titles[position])[1] if year is None else year
