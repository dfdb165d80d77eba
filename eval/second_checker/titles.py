"""What the second checker knows of a catalogue: titles, names and labels by their words.

A name is found by its run of normalised tokens, longest run first. Labels (genres, categories, tags) are
compared by a key that all wordings of one label share, so that "Sci-Fi", "science fiction" and "科幻" agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from tastemaker.eval.second_checker.words import COMMON_WORDS, LABEL_FIELDS, LABEL_FORMS
from tastemaker.types import Item

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
MAX_NAME_TOKENS = 6
"""Longer attribute values are texts, not names."""

_TOKEN = re.compile(rf"[{CJK}]|[^\W_{CJK}]+(?:['’`][^\W_{CJK}]+)*|&")
_ARTICLES = "the|a|an|le|la|les|il|el|los|las|der|die|das"
_MOVED_ARTICLE = re.compile(rf"^(?P<rest>.*?),\s*(?P<article>{_ARTICLES}|l')(?P<tail>\s*[:(].*)?$", re.I)
_FIRST_ARTICLE = re.compile(r"^(?:the|a|an)\s+", re.I)
_YEAR_BEHIND = re.compile(r"\s*\((?:1[89]|20)\d\d\)\s*$")
_ASIDE = re.compile(r"\s*\(([^()]*)\)")
_ALSO_KNOWN = re.compile(r"^a\.?k\.?a\.?\s+", re.I)
_LABEL_BREAK = re.compile(r"\s*[/&|,>]\s*|\s+and\s+")

Tokens = tuple[str, ...]
Key = TypeVar("Key")


class Catalogue(Protocol):
    """What is read of a data set: its items."""

    def iter_items(self) -> Iterator[Item]: ...


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text: its normalised form and where it stands."""

    norm: str
    start: int
    end: int


@lru_cache(maxsize=65_536)
def _norm(word: str) -> str:
    if word == "&":
        return "and"
    bare = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in bare if char not in "'’`" and not unicodedata.combining(char)) or word


def tokens_of(text: str) -> list[Token]:
    """Words, numbers and single Chinese characters of ``text`` in order; "&" counts as "and"."""
    return [Token(_norm(match[0]), match.start(), match.end()) for match in _TOKEN.finditer(text)]


def norms_of(text: str) -> Tokens:
    return tuple(map(_norm, _TOKEN.findall(text)))


@dataclass(slots=True)
class NameIndex(Generic[Key]):
    """Keys by runs of tokens; several keys may share a run."""

    _runs: dict[Tokens, list[Key]] = field(default_factory=dict)
    _longest: dict[str, int] = field(default_factory=dict)

    def add(self, run: Tokens, key: Key) -> None:
        if not run:
            return
        keys = self._runs.setdefault(run, [])
        if key not in keys:
            keys.append(key)
        self._longest[run[0]] = max(len(run), self._longest.get(run[0], 0))

    def get(self, run: Tokens) -> list[Key]:
        return self._runs.get(run, [])

    def at(self, norms: Tokens, start: int) -> Iterator[tuple[int, list[Key]]]:
        """``(length, keys)`` of every known run that starts at ``start``, longest first."""
        limit = min(self._longest.get(norms[start], 0), len(norms) - start)
        for length in range(limit, 0, -1):
            keys = self._runs.get(norms[start : start + length])
            if keys:
                yield length, keys


def _moved_back(title: str) -> Iterator[str]:
    """``title`` and, when an article stands behind it, the title with the article in front."""
    yield title
    match = _MOVED_ARTICLE.match(title)
    if match is not None:
        yield f"{match['article']} {match['rest']}{match['tail'] or ''}"


def title_wordings(title: str) -> Iterator[str]:
    """How ``title`` may be written: with and without year and brackets, the article in front or behind."""
    bare = _YEAR_BEHIND.sub("", title) or title
    plain = _ASIDE.sub("", bare).strip()
    names = [bare, *([plain] if plain else [])]
    names += [_ALSO_KNOWN.sub("", aside) for aside in _ASIDE.findall(bare)]
    for name in dict.fromkeys(names):
        yield from _moved_back(name)


def short_wordings(title: str) -> Iterator[str]:
    """Shorter forms that only an item at hand is called by: no leading article, no subtitle."""
    for name in title_wordings(title):
        yield _FIRST_ARTICLE.sub("", name)
        head = re.split(r":|\s[-–—]\s", name, maxsplit=1)[0]
        if head != name:
            yield head


_KEYS_OF_FORMS = {
    norms_of(form): key for key, forms in LABEL_FORMS.items() for form in (key, *forms.split("|"))
}


@lru_cache(maxsize=16_384)
def label_keys(value: str) -> frozenset[str]:
    """Keys of a genre, category or tag; "Action & Adventure" has that of the whole and of both parts."""
    parts = {value, *_LABEL_BREAK.split(value)}
    runs = {norms_of(part.removesuffix("片")) for part in parts}
    return frozenset(_KEYS_OF_FORMS.get(run, " ".join(run)) for run in runs if run)


def values_of(item: Item, name: str) -> tuple[str, ...]:
    """The values of an attribute as text; empty when the item lacks it."""
    value = item.attributes.get(name)
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def labels_of(item: Item) -> frozenset[str]:
    """Keys of every genre, category and tag of ``item``."""
    names = [name for name in item.attributes if name.casefold() in LABEL_FIELDS]
    return frozenset(key for name in names for value in values_of(item, name) for key in label_keys(value))


def _plurals(run: Tokens) -> Iterator[Tokens]:
    last = run[-1]
    yield run
    if last.isascii() and last.isalpha() and len(last) > 3:
        yield (*run[:-1], f"{last}s")
        if last.endswith("s"):
            yield (*run[:-1], last[:-1])
        if last.endswith("y"):
            yield (*run[:-1], f"{last[:-1]}ies")


class Shelf:
    """All items of a catalogue and the indexes of their titles, names and labels."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.items: dict[str, Item] = {}
        self.titles: NameIndex[str] = NameIndex()
        self.names: NameIndex[str] = NameIndex()
        self.labels: NameIndex[str] = NameIndex()
        for run, key in _KEYS_OF_FORMS.items():
            self.labels.add(run, key)
        seen: set[tuple[str, str]] = set()
        for item in catalogue.iter_items():
            self._add(item, seen)

    def _add(self, item: Item, seen: set[tuple[str, str]]) -> None:
        self.items[item.id] = item
        for wording in title_wordings(item.title):
            self.titles.add(norms_of(wording), item.id)
        for name, value in item.attributes.items():
            values = value if isinstance(value, tuple) else (value,)
            for one in values:
                if isinstance(one, str) and (name, one) not in seen:
                    seen.add((name, one))
                    self._add_value(name, one)

    def _add_value(self, name: str, value: str) -> None:
        run = norms_of(value)
        if not 0 < len(run) <= MAX_NAME_TOKENS or "://" in value:
            return
        if name.casefold() not in LABEL_FIELDS:
            self.names.add(run, value)
            return
        for part in {value, *_LABEL_BREAK.split(value)}:
            words = norms_of(part)
            if words and not set(words) <= COMMON_WORDS | _STOP_LABELS:
                key = _KEYS_OF_FORMS.get(words, " ".join(words))
                for form in _plurals(words):
                    self.labels.add(form, key)


_STOP_LABELS = frozenset(
    {"good", "great", "like", "nice", "fun", "watch", "best", "seen", "other", "misc", "new", "old"}
)


def own_titles(items: Iterable[Item], *others: NameIndex[str]) -> NameIndex[str]:
    """The titles of ``items``, and short forms of them that are no whole title here or in ``others``."""
    index: NameIndex[str] = NameIndex()
    kept = list(items)
    for item in kept:
        for wording in title_wordings(item.title):
            index.add(norms_of(wording), item.id)
    for item in kept:
        for wording in short_wordings(item.title):
            run = norms_of(wording)
            if not any(other.get(run) for other in (index, *others)):
                index.add(run, item.id)
    return index


def counts_of(catalogue: object) -> Mapping[str, int]:
    """Interactions per item id where the data set counts them, else empty."""
    counts, positions = getattr(catalogue, "item_counts", None), getattr(catalogue, "item_positions", None)
    if counts is None or positions is None:
        return {}
    return {item_id: int(counts[position]) for item_id, position in positions.items()}
