"""Template explanations: sentences of ``prompts/packs/explain.<language>.yaml``, true by construction.

They say only what the evidence and the catalogue hold. Which of several wordings is used depends on the
user and the rank, so that a list of ten does not read like ten copies, and the same request reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from zlib import crc32

import yaml

from tastemaker.agent.verify_facts import Catalogue, history_ref, is_rated_as_liked
from tastemaker.agent.verify_lexicon import load_lexicon
from tastemaker.agent.verify_titles import spoken
from tastemaker.prompts.filling import fill
from tastemaker.prompts.packs import Pack, load_pack
from tastemaker.types import Evidence, HistoryEntry, Item, Language, Ranked, Request

_VOWELS = frozenset("aeiouAEIOU")
_SILENT_EVENTS = frozenset({"interaction", "rating", "rate", "review", ""})


@cache
def _words(language: Language) -> Mapping[str, Any]:
    path = files("tastemaker.prompts") / "packs" / f"explain.{language}.yaml"
    raw: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return raw


class TemplateWriter:
    """Words evidence by patterns, for one catalogue and domain."""

    def __init__(self, *, catalogue: Catalogue, domain: str = "generic") -> None:
        self._catalogue = catalogue
        self._domain = domain

    def texts(self, request: Request, ranked: Ranked, evidence: Sequence[Evidence]) -> Iterator[str]:
        """Yield texts for one item, the preferred wording first, the barest last."""
        words = _words(request.language)
        pack = load_pack(request.language, self._domain)
        seed = crc32((request.user_id or "").encode()) + ranked.rank
        for turn in range(4):
            yield _Draft(words, pack, self._catalogue, self._domain, seed + turn).text(
                request, ranked.item, evidence
            )
        facts = tuple(piece for piece in evidence if piece.kind == "fact")
        yield _Draft(words, pack, self._catalogue, self._domain, seed).text(request, ranked.item, facts)
        yield str(words["last_resort"])


class _Draft:
    """One wording of one explanation; ``seed`` chooses among the variants."""

    def __init__(
        self, words: Mapping[str, Any], pack: Pack, catalogue: Catalogue, domain: str, seed: int
    ) -> None:
        self._words = words
        self._pack = pack
        self._catalogue = catalogue
        self._domain = domain
        self._seed = seed

    def text(self, request: Request, item: Item, evidence: Sequence[Evidence]) -> str:
        history = self._history(request, [piece for piece in evidence if piece.kind == "history"])
        others = [piece for piece in evidence if piece.kind in ("wish", "context")]
        facts = {piece.ref: piece.text for piece in evidence if piece.kind == "fact"}
        clauses = [*([history] if history else []), *self._others(others, bool(history))]
        cited = [piece.ref for piece in evidence if piece.kind == "history"] if history else []
        fact = self._fact(item, facts, cited)
        if not clauses:
            return self._sentence(fact or self._pick("none"))
        if fact:
            clauses[0] += self._word("clause") + fact
        return self._word("space").join(map(self._sentence, clauses))

    def _sentence(self, clause: str) -> str:
        return clause[:1].upper() + clause[1:] + self._word("sentence_end")

    def _word(self, key: str) -> str:
        return str(self._words[key])

    def _pick(self, key: str, **values: str) -> str:
        """A variant of ``key``, in the domain's own words where there are any."""
        found = self._words[key]
        variants: Sequence[str] = found
        if isinstance(found, dict):
            variants = found[self._domain] if self._domain in found else found["generic"]
        return fill(variants[self._seed % len(variants)], noun=self._pack.domain.noun, **values)

    def _history(self, request: Request, pieces: Sequence[Evidence]) -> str:
        """One clause on the cited past items that were met in the same way as the first."""
        said: list[tuple[str, str]] = []
        for piece in pieces:
            entries = [entry for entry in request.history if history_ref(entry) == piece.ref]
            if entries:
                said.append((self._deed(request, entries), self._title(piece)))
        titles = [title for deed, title in said if deed == said[0][0]]
        return (
            self._pick("history", did=said[0][0], history=self._words["and"].join(titles)) if titles else ""
        )

    def _title(self, piece: Evidence) -> str:
        known = self._catalogue.item(piece.ref) if self._catalogue.has_item(piece.ref) else None
        title = spoken(known.title, year=known.year) if known is not None else spoken(piece.text)
        return fill(self._word("title"), title=title)

    def _deed(self, request: Request, entries: Sequence[HistoryEntry]) -> str:
        liking = load_lexicon(request.language).liking_events
        if all(is_rated_as_liked(request.history, entry, liking) for entry in entries):
            return self._word("liked")
        event = entries[-1].event.casefold()
        return (
            self._pack.domain.verb
            if event in _SILENT_EVENTS
            else self._pack.events.get(event, self._words["chose"])
        )

    def _others(self, pieces: Sequence[Evidence], after_history: bool) -> list[str]:
        """At most one clause on the wish or the context: two sentences are enough."""
        suffix = "_too" if after_history else ""
        for piece in pieces[:1]:
            if piece.kind == "context":
                return [self._pick(f"context{suffix}", context=piece.text)]
            if len(piece.text) > self._words["max_wish_chars"]:
                return [self._pick(f"long_wish{suffix}")]
            return [self._pick(f"wish{suffix}", wish=fill(self._word("quote"), text=piece.text))]
        return []

    def _fact(self, item: Item, facts: Mapping[str, str], cited: Sequence[str]) -> str:
        """One clause on the item's facts; on what it shares with the cited past items, if it does."""
        genres = [name for name in facts.get("genres", "").split(", ") if name]
        past = [self._catalogue.item(ref) for ref in cited if self._catalogue.has_item(ref)]
        known = bool(past) and len(past) == len(cited)
        shares_genres = bool(genres) and known and all(set(genres) <= set(other.genres) for other in past)
        shares_decade = known and item.year is not None and all(_decade(o) == _decade(item) for o in past)
        values = self._values(genres, item, facts)
        if shares_genres and len(past) > 1:
            return self._pick("shared_genres_many", **values)
        if shares_genres and shares_decade and "year" in facts:
            return self._pick("shared_genres_decade", **values)
        if shares_genres:
            return self._pick("shared_genres", **values)
        for key, wanted in (
            ("genres_year", ("genres", "year")),
            ("genres", ("genres",)),
            ("year", ("year",)),
            ("brand", ("brand",)),
            ("price", ("price",)),
        ):
            if all(name in facts for name in wanted):
                return self._pick(key, **values)
        return ""

    def _values(self, genres: Sequence[str], item: Item, facts: Mapping[str, str]) -> dict[str, str]:
        names = [self._words["genre_names"].get(genre, genre.casefold()) for genre in genres]
        together = self._join(names)
        article = "an " if together[:1] in _VOWELS else "a "
        return {
            "genres": together,
            "a_genres": article + together if self._words["article"] else together,
            "listed": self._join(genres),
            "decade": fill(self._word("decade"), start=str(_decade(item) or "")),
            "year": facts.get("year", ""),
            "brand": facts.get("brand", ""),
            "price": facts.get("price", ""),
        }

    def _join(self, names: Sequence[str]) -> str:
        if len(names) < 2:
            return "".join(names)
        return self._word("comma").join(names[:-1]) + self._word("genre_and") + names[-1]


def _decade(item: Item) -> int | None:
    return None if item.year is None else item.year // 10 * 10
