"""What a catalogue can be asked: which column is meant by "price", and which texts are its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow.compute as pc

from tastemaker.data.dataset import Dataset
from tastemaker.index.filters import ANYTHING, FieldKind, field_kinds
from tastemaker.prompts.domains import Domain
from tastemaker.types import Filter, Language

MAKERS = ("brand", "director", "artist", "source")
"""Roles whose values are names that people say alone: "from Lumo"."""

MAX_VALUES = 5_000
"""A column with more different texts holds no values that people name."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ARTICLE = re.compile(r",\s*(?:the|a|an|le|la|les|l'|el|il|der|die|das)\s*$")
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_MAX_WORDS = 4
_MAX_CHARACTERS = 12


class PhraseTable:
    """Titles of two words and more, found in a text by their first word."""

    def __init__(self, titles: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for title in titles:
            name = _YEAR.sub("", title).casefold()
            # "Winter Guest, The" is "The Winter Guest" to people; the article may be missing.
            for spoken in {name, _ARTICLE.sub("", name)}:
                words = tuple(_WORD.findall(spoken))
                if len(words) > 1:
                    self._by_first.setdefault(words[0], []).append(words)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where a text in lower case names a title, the longest first of those that begin in one place."""
        found = list(_WORD.finditer(text))
        spoken = [match[0] for match in found]
        out: list[tuple[int, int]] = []
        for place, word in enumerate(spoken):
            fitting = [
                len(words)
                for words in self._by_first.get(word, ())
                if tuple(spoken[place : place + len(words)]) == words
            ]
            if fitting:
                out.append((found[place].start(), found[place + max(fitting) - 1].end()))
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFields:
    """Columns and values behind the roles of a domain pack.

    ``columns``: by role. ``kinds``: of each column. ``values``: by text in lower case, the role whose value
    it is and how the catalogue writes it.
    """

    columns: Mapping[str, str]
    kinds: Mapping[str, FieldKind]
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    titles: PhraseTable = field(default_factory=lambda: PhraseTable(()))

    @classmethod
    def of_domain(cls, domain: Domain) -> CatalogueFields:
        """Without a catalogue: every role is its own column, and the pack's concepts are the values."""
        kinds: dict[str, FieldKind] = {
            role: "values" if meaning.unit == "value" else "number" for role, meaning in domain.fields.items()
        }
        return cls(columns={role: role for role in kinds}, kinds=kinds, values=_concept_values(domain, kinds))

    @classmethod
    def of_dataset(cls, dataset: Dataset, domain: Domain) -> CatalogueFields:
        kinds = field_kinds(dataset.items.schema)
        columns = {}
        for role, meaning in domain.fields.items():
            wanted = "number" if meaning.unit != "value" else None
            for name in meaning.columns:
                if name in kinds and (kinds[name] == "number") == (wanted == "number"):
                    columns[role] = name
                    break
        values: dict[str, tuple[str, str]] = {}
        # What is both a maker and a category is the maker: later ones stay.
        for role, name in sorted(columns.items(), key=lambda one: one[0] in MAKERS):
            if kinds[name] != "number":
                values |= {text.casefold(): (role, text) for text in _texts(dataset, name, kinds[name])}
        titles = PhraseTable(dataset.items["title"].to_pylist())
        return cls(columns=columns, kinds=kinds, values=values, titles=titles)

    def condition(self, asked: Filter) -> Filter | None:
        """The same condition on the column behind its role; None where the catalogue has none."""
        column = self.columns.get(asked.field)
        return None if column is None else Filter(field=column, op=asked.op, value=asked.value)

    def value(self, text: str) -> tuple[str, str] | None:
        """Role and spelling of a value of the catalogue."""
        return self.values.get(text.casefold())

    def exclusion(self, thing: str) -> tuple[Filter, ...]:
        """What must hold so that ``thing`` is not there: no value of the catalogue and not in the title; or,
        where it is no value, in no text at all.
        """
        known = self.value(thing)
        if known is None:
            return (Filter(field=ANYTHING, op="lacks", value=thing),)
        lacks = Filter(field=self.columns[known[0]], op="lacks", value=known[1])
        # A card of a shop that sells it under its own name has that name in the title.
        return lacks, Filter(field="title", op="lacks", value=known[1])

    def value_at(self, text: str, at: int, language: Language) -> tuple[str, str, int] | None:
        """Role, spelling and end of the longest value that begins at ``text[at:]``."""
        if language == "zh":
            ends: Iterable[int] = range(min(len(text), at + _MAX_CHARACTERS), at, -1)
        else:
            words = list(re.compile(r"[\w'&.-]+").finditer(text, at))[:_MAX_WORDS]
            ends = (
                [word.end() for word in reversed(words)]
                if words and not text[at : words[0].start()].strip()
                else []
            )
        for end in ends:
            if (known := self.value(text[at:end].strip())) is not None:
                return known[0], known[1], end
        return None


def _texts(dataset: Dataset, name: str, kind: FieldKind) -> list[str]:
    column = dataset.items[name]
    flat = pc.list_flatten(column.combine_chunks()) if kind == "values" else column
    found = [text for text in pc.unique(flat).to_pylist() if text]
    return found if len(found) <= MAX_VALUES else []


def _concept_values(domain: Domain, kinds: Mapping[str, FieldKind]) -> dict[str, tuple[str, str]]:
    first = next((role for role, kind in kinds.items() if kind == "values"), "")
    names = {value for by_language in domain.concepts.values() for value in by_language}
    return {name.casefold(): (first, name) for name in names}
