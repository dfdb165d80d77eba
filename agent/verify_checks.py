"""The checks behind the relations of ``verifier.<language>.yaml``: is what a sentence says true?

Each takes the sentence and the positions of the tokens that a relation's pattern matched, and returns
None when the claim holds, else the reason why not. A check that cannot decide says no.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tastemaker.agent.verify_facts import Cited, Licence, is_rated_as_liked
from tastemaker.agent.verify_lexicon import Lexicon, number, words_of
from tastemaker.agent.verify_scan import Token

MIN_TASTE = 2
"""So many liked items of a genre make "you like comedies" true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence as masked tokens (punctuation of no meaning left out), and what it may draw on."""

    tokens: tuple[Token, ...]
    licence: Licence
    lexicon: Lexicon

    def past(self, span: Sequence[int] | None = None) -> list[Cited]:
        """The cited past items within ``span``, or in the whole sentence."""
        positions = range(len(self.tokens)) if span is None else span
        return [
            self.licence.cited[int(self.tokens[i].value)] for i in positions if self.tokens[i].kind == "H"
        ]

    def values(self, kind: str, span: Sequence[int]) -> list[str]:
        return [self.tokens[i].value for i in span if self.tokens[i].kind == kind]

    def words(self, span: Sequence[int]) -> list[str]:
        return [self.tokens[i].text.casefold() for i in span if self.tokens[i].kind == "word"]


Check = Callable[[Sentence, Sequence[int]], str | None]


def _liked(sentence: Sentence, span: Sequence[int]) -> str | None:
    history, events = sentence.licence.history, sentence.lexicon.liking_events
    for past in sentence.past(span):
        if not all(is_rated_as_liked(history, entry, events) for entry in past.entries):
            return f"no record says that the user liked {past.title}"
    return None


def _loved(sentence: Sentence, span: Sequence[int]) -> str | None:
    scale = sentence.licence.history.value_range
    for past in sentence.past(span):
        if scale is None or any(entry.value is None or entry.value < scale[1] for entry in past.entries):
            return f"{past.title} does not have the user's top rating"
    return None


def _had(sentence: Sentence, span: Sequence[int]) -> str | None:
    lexicon, words = sentence.lexicon, sentence.words(span)
    for past in sentence.past(span):
        for verb in (word for word in words if word in lexicon.event_verbs):
            if lexicon.domain_verbs.get(verb, sentence.licence.domain) != sentence.licence.domain:
                return f"{verb!r} is not what is done with this catalogue"
            if not any(entry.event.casefold() in lexicon.event_verbs[verb] for entry in past.entries):
                return f"no record says {verb!r} of {past.title}"
            if verb in ("rated", "评分") and any(entry.value is None for entry in past.entries):
                return f"{past.title} has no rating"
        if "recently" in words or "最近" in words:
            return "'recently' is not checked"
    return None


def _rated(sentence: Sentence, span: Sequence[int]) -> str | None:
    numbers = [number(value) for value in sentence.values("N", span)]
    scale = sentence.licence.history.value_range
    if len(numbers) > 1 and (scale is None or numbers[1] != scale[1]):
        return "the scale is another one"
    for past in sentence.past(span):
        if any(entry.value != numbers[0] for entry in past.entries):
            return f"{past.title} was rated otherwise"
    return None


def _count(sentence: Sentence, span: Sequence[int]) -> str | None:
    number = sentence.values("N", span)[0]
    for past in sentence.past(span):
        if str(len(past.entries)) != number:
            return f"the history holds {past.title} {len(past.entries)} times"
    return _had(sentence, span)


def _compare_years(newer: bool) -> Check:
    def check(sentence: Sentence, span: Sequence[int]) -> str | None:
        own = sentence.licence.item.year
        for past in sentence.past(span):
            if own is None or past.year is None or not (own > past.year if newer else own < past.year):
                return f"the years {own} and {past.year} do not say so"
        return None

    return check


def _cheaper(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.attributes.get("price")
    for past in sentence.past(span):
        other = past.item.attributes.get("price") if past.item is not None else None
        if not (isinstance(own, (int, float)) and isinstance(other, (int, float)) and own < other):
            return f"the prices {own} and {other} do not say so"
    return None


def _price(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.attributes.get("price")
    said = [token.value for token in (sentence.tokens[i] for i in span) if token.kind in "NPY"]
    if not isinstance(own, (int, float)) or not all(abs(own - number(value)) < 0.005 for value in said):
        return f"the price is {own}"
    return None


def _same_year(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.year
    if own is None or any(past.year != own for past in sentence.past(span)):
        return "the years differ or are unknown"
    return None


def _same_decade(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.year
    if own is None or any(past.year is None or past.year // 10 != own // 10 for past in sentence.past(span)):
        return "the decades differ or are unknown"
    return None


def _same_genre(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = frozenset(sentence.licence.item.genres)
    for past in sentence.past(span) or sentence.past():
        if not own & past.genres:
            return f"no genre is shared with {past.title}"
    return None


def _genres_of_both(sentence: Sentence, span: Sequence[int]) -> str | None:
    genres = frozenset(sentence.values("G", span))
    for past in sentence.past(span):
        if not genres <= past.genres & frozenset(sentence.licence.item.genres):
            return f"{', '.join(sorted(genres))} is not shared with {past.title}"
    return None


def _genres_of_history(sentence: Sentence, span: Sequence[int]) -> str | None:
    genres = frozenset(sentence.values("G", span))
    for past in sentence.past(span):
        if not genres <= past.genres:
            return f"{past.title} is not {', '.join(sorted(genres - past.genres))}"
    return None


def _year_of_history(sentence: Sentence, span: Sequence[int]) -> str | None:
    for past in sentence.past(span):
        if past.year is None:
            return f"the year of {past.title} is unknown"
        if any(int(year) != past.year for year in sentence.values("Y", span)):
            return f"{past.title} is from {past.year}"
        if any(int(decade) != past.year // 10 * 10 for decade in sentence.values("D", span)):
            return f"{past.title} is from {past.year}"
    return None


def _influenced(sentence: Sentence, span: Sequence[int]) -> str | None:
    for past in sentence.past(span):
        if past.influence is None or past.influence <= 0:
            return f"{past.title} was not measured to raise the item"
    return None


def _taste(sentence: Sentence, span: Sequence[int]) -> str | None:
    for genre in sentence.values("G", span):
        if sentence.licence.liked_genres.get(genre, 0) < MIN_TASTE:
            return f"fewer than {MIN_TASTE} liked items are {genre}"
    return None


def _not_genre(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.genres
    if not own or set(sentence.values("G", span)) & set(own):
        return "the catalogue says otherwise"
    return None


def _wish(sentence: Sentence, span: Sequence[int]) -> str | None:
    said = {word.casefold() for word in words_of(sentence.licence.request.wish)}
    if sentence.licence.evidence_of("wish") is None or not said:
        return "no wish is among the evidence"
    quoted_whole = any(sentence.tokens[i].kind == "W" for i in span)
    if sentence.lexicon.negations & said and not quoted_whole:
        return "a wish with a negation is quoted whole or not at all"
    for i in span:
        token = sentence.tokens[i]
        if token.kind in "GTC" and not {word.casefold() for word in words_of(token.text)} <= said:
            return f"the wish does not say {token.text!r}"
    return None


def _wish_itself(sentence: Sentence, span: Sequence[int]) -> str | None:  # noqa: ARG001 (a Check)
    if sentence.licence.evidence_of("wish") is None or not sentence.licence.request.wish:
        return "no wish is among the evidence"
    return None


def _no_reason(sentence: Sentence, span: Sequence[int]) -> str | None:  # noqa: ARG001 (a Check)
    if any(piece.kind != "fact" for piece in sentence.licence.evidence):
        return "there is measured evidence"
    return None


def _literal(sentence: Sentence, span: Sequence[int]) -> str | None:  # noqa: ARG001 (a Check)
    """Words whose truth the scanner or the whole-sentence checks decide."""
    return None


CHECKS: dict[str, Check] = {
    "liked": _liked,
    "loved": _loved,
    "had": _had,
    "rated": _rated,
    "count": _count,
    "newer": _compare_years(newer=True),
    "older": _compare_years(newer=False),
    "cheaper": _cheaper,
    "price": _price,
    "same_year": _same_year,
    "same_decade": _same_decade,
    "same_genre": _same_genre,
    "similar": _same_genre,
    "genres_of_both": _genres_of_both,
    "genres_of_history": _genres_of_history,
    "year_of_history": _year_of_history,
    "influenced": _influenced,
    "taste": _taste,
    "not_genre": _not_genre,
    "wish": _wish,
    "wish_itself": _wish_itself,
    "no_reason": _no_reason,
    "literal": _literal,
    "suggestion": _literal,
}
