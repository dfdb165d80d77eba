"""The parts that explanations are put together from: deeds, titles, genres, and clauses of both.

Words come from ``prompts/packs/explain.<language>.yaml``; which of several wordings of a clause is used is
the caller's choice, as a number. Every part says only what evidence, history and catalogue hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tastemaker.agent.verify_facts import Catalogue, history_ref, is_rated_as_liked
from tastemaker.agent.verify_lexicon import load_lexicon
from tastemaker.agent.verify_titles import spoken
from tastemaker.prompts.filling import fill
from tastemaker.prompts.packs import load_pack
from tastemaker.types import Evidence, HistoryEntry, Item, Language, Request

_VOWELS = frozenset("aeiouAEIOU")
_SILENT_EVENTS = frozenset({"interaction", "rating", "rate", "review", ""})
# Which facts of the item a clause names, in order of preference.
_FACT_CLAUSES = (
    ("genres_year", ("genres", "year")),
    ("genres", ("genres",)),
    ("year", ("year",)),
    ("brand", ("brand",)),
    ("price", ("price",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The cited past items that are told together: ``did`` is what the user did with all of them.

    ``each``: their titles; ``titles``: the same, joined.
    """

    did: str
    each: tuple[str, ...]
    titles: str


@cache
def _load_words(language: Language) -> Mapping[str, Any]:
    path = files("tastemaker.prompts") / "packs" / f"explain.{language}.yaml"
    words: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return words


class Phrases:
    """Parts in one language for one catalogue and domain."""

    def __init__(self, language: Language, *, catalogue: Catalogue, domain: str) -> None:
        self._language = language
        self._words = _load_words(language)
        self._pack = load_pack(language, domain)
        self._catalogue = catalogue
        self._domain = domain

    def word(self, key: str) -> str:
        return str(self._words[key])

    def pick(self, key: str, variant: int, /, **values: str) -> str:
        """A wording of ``key``, in the domain's own words where there are any. Keys nest: ``a.b``."""
        found: Any = self._words
        for part in key.split("."):
            found = found[part]
        if isinstance(found, dict):
            found = found.get(self._domain, found["generic"])
        pattern = found if isinstance(found, str) else found[variant % len(found)]
        return fill(pattern, noun=self._pack.domain.noun, **values)

    def context_clause(self, field: str, text: str) -> str:
        """The present situation as a clause for the model; "" for a field that has no clause of its own."""
        pattern = self._words["task"]["context"].get(field)
        return "" if pattern is None or set(":：") & set(text) else fill(pattern, context=text)

    def sentence(self, clause: str) -> str:
        return clause[:1].upper() + clause[1:] + self.word("sentence_end")

    def past(self, request: Request, evidence: Sequence[Evidence]) -> Past | None:
        """The cited past items that were met in the same way as the first; None when none is cited."""
        told: list[tuple[str, str]] = []
        for piece in evidence:
            entries = [entry for entry in request.history if history_ref(entry) == piece.ref]
            if piece.kind == "history" and entries:
                told.append((self._deed(request, entries), self._title(piece)))
        if not told:
            return None
        titles = tuple(title for deed, title in told if deed == told[0][0])
        shown = [fill(self.word("title"), title=title) for title in titles]
        return Past(did=told[0][0], each=titles, titles=self.word("and").join(shown))

    def _title(self, piece: Evidence) -> str:
        if self._catalogue.has_item(piece.ref):
            known = self._catalogue.item(piece.ref)
            return spoken(known.title, year=known.year)
        return spoken(piece.text)

    def _deed(self, request: Request, entries: Sequence[HistoryEntry]) -> str:
        liking = load_lexicon(self._language).liking_events
        if all(is_rated_as_liked(request.history, entry, liking) for entry in entries):
            return self.word("liked")
        event = entries[-1].event.casefold()
        if event in _SILENT_EVENTS:
            # Of a shop's plain "interaction" nobody knows that it was a purchase.
            verb = self._pack.domain.verb
            known = load_lexicon(self._language, self._domain).event_verbs.get(verb, ())
            return verb if "interaction" in known else self.word("chose")
        return self._pack.events.get(event, self.word("chose"))

    def fact(
        self,
        item: Item,
        evidence: Sequence[Evidence],
        variant: int,
        *,
        cited: Sequence[str] = (),
        form: str = "",
    ) -> str:
        """One clause on the item's facts, or on what it shares with the items ``cited``; "" without facts.

        ``form``: "named" tells the item by its title; "thing" is no clause, but the title with the facts.
        """
        facts = {piece.ref: piece.text for piece in evidence if piece.kind == "fact"}
        listed = f", {facts.get('genres', '')}, "
        genres = [genre for genre in item.genres if f", {genre}, " in listed]
        values = self._values(genres, item, facts)
        shared = self._shared(item, genres, cited)
        if shared == "shared_genres_decade" and "year" not in facts:
            shared = "shared_genres"
        if shared:
            return self.pick(shared, variant, **values)
        for key, wanted in _FACT_CLAUSES:
            if all(name in facts for name in wanted):
                return self.pick(f"{form}.{key}" if form else key, variant, **values)
        return ""

    def _shared(self, item: Item, genres: Sequence[str], cited: Sequence[str]) -> str:
        past = [self._catalogue.item(ref) for ref in cited if self._catalogue.has_item(ref)]
        if not past or len(past) < len(cited) or not genres:
            return ""
        if not all(set(genres) <= set(other.genres) for other in past):
            return ""
        if len(past) > 1:
            return "shared_genres_many"
        same_decade = _decade(item) is not None and _decade(past[0]) == _decade(item)
        return "shared_genres_decade" if same_decade else "shared_genres"

    def _values(self, genres: Sequence[str], item: Item, facts: Mapping[str, str]) -> dict[str, str]:
        names = [self._words["genre_names"].get(genre, genre.casefold()) for genre in genres]
        together = self._join(names)
        article = "an " if together[:1] in _VOWELS else "a "
        return {
            "title": fill(self.word("title"), title=spoken(item.title)),
            "genres": together,
            "a_genres": article + together,
            "listed": self._join(genres),
            "decade": fill(self.word("decade"), start=str(_decade(item) or "")),
            "year": facts.get("year", ""),
            "brand": facts.get("brand", ""),
            "price": facts.get("price", ""),
        }

    def _join(self, names: Sequence[str]) -> str:
        if len(names) < 2:
            return "".join(names)
        return self.word("comma").join(names[:-1]) + self.word("genre_and") + names[-1]


def _decade(item: Item) -> int | None:
    return None if item.year is None else item.year // 10 * 10
