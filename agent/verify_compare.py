"""Checks of what sets the item beside past items: years apart, shared makers, differences, "and so is this".

They belong to the relations of ``verifier.<language>.yaml`` like those of ``verify_checks``, which they
complete: None when the claim holds, else the reason why not; a check that cannot decide says no.
"""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.agent.verify_checks import CHECKS, Check, Sentence
from tastemaker.agent.verify_lexicon import number
from tastemaker.types import Item


def _years_apart(newer: bool) -> Check:
    def check(sentence: Sentence, span: Sequence[int]) -> str | None:
        own = sentence.licence.item.year
        said = [number(value) for value in sentence.values("N", span)] or [1.0]
        for past in sentence.past(span):
            if own is None or past.year is None:
                return f"the year of {past.title} or of the item is unknown"
            apart = own - past.year if newer else past.year - own
            if said != [apart]:
                return f"{own} and {past.year} are {apart} years apart"
        return None

    return check


def _between(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.year
    years = [past.year for past in sentence.past(span)]
    known = [year for year in years if year is not None]
    if own is None or len(known) < len(years) or not min(known) < own < max(known):
        return f"{own} is not between {years}"
    return None


def _dearer(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.attributes.get("price")
    for past in sentence.past(span):
        other = past.item.attributes.get("price") if past.item is not None else None
        if not (isinstance(own, (int, float)) and isinstance(other, (int, float)) and own > other):
            return f"the prices {own} and {other} do not say so"
    return None


def _not_year(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.year
    if own is None or str(own) in sentence.values("Y", span):
        return f"the year is {own}"
    if str(own // 10 * 10) in sentence.values("D", span):
        return f"the year is {own}"
    return None


def _differs(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "Unlike Jaws, it is a comedy": the item is, and no past item is."""
    own, said = frozenset(sentence.licence.item.genres), frozenset(sentence.values("G", span))
    for past in sentence.past(span) or sentence.past():
        if not past.genres or not said <= own or said & past.genres:
            return f"{', '.join(sorted(said))} does not tell the item from {past.title}"
    return None


def _differs_not(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "Unlike Jaws, it is not a horror film": every past item is, and the item is not."""
    own, said = frozenset(sentence.licence.item.genres), frozenset(sentence.values("G", span))
    for past in sentence.past(span) or sentence.past():
        if not own or said & own or not said <= past.genres:
            return f"{', '.join(sorted(said))} does not tell the item from {past.title}"
    return None


def _said_before_not_of(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "It is a comedy, whereas Jaws is not": what was said of the item holds for it, and not for Jaws."""
    genres, own = sentence.values("G", range(span[0])), frozenset(sentence.licence.item.genres)
    for past in sentence.past(span):
        if len(set(genres)) != 1 or not past.genres or not set(genres) <= own - past.genres:
            return f"{past.title} does not differ so"
    return None


def _names_item(sentence: Sentence, span: Sequence[int]) -> bool:
    tokens = [sentence.tokens[i] for i in span]
    return any(
        token.kind == "I" or (token.kind == "word" and token.text.casefold() in sentence.lexicon.item_words)
        for token in tokens
    )


def _all_genres(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "Jaws and this film are thrillers": the genres hold for all that are named."""
    genres = frozenset(sentence.values("G", span))
    if _names_item(sentence, span) and not genres <= frozenset(sentence.licence.item.genres):
        return f"{', '.join(sorted(genres))} is not true of the item"
    return CHECKS["genres_of_history"](sentence, span)


def _all_years(sentence: Sentence, span: Sequence[int]) -> str | None:
    own = sentence.licence.item.year
    if _names_item(sentence, span):
        same_year = all(int(year) == own for year in sentence.values("Y", span))
        decades = sentence.values("D", span)
        if own is None or not same_year or any(int(decade) != own // 10 * 10 for decade in decades):
            return f"the item is from {own}"
    return CHECKS["year_of_history"](sentence, span)


def _facts_of_history(sentence: Sentence, span: Sequence[int]) -> str | None:
    return CHECKS["genres_of_history"](sentence, span) or CHECKS["year_of_history"](sentence, span)


def _values(item: Item | None, name: str) -> frozenset[str]:
    value = item.attributes.get(name) if item is not None else None
    if isinstance(value, str):
        return frozenset({value.casefold()})
    return frozenset(str(one).casefold() for one in value) if isinstance(value, tuple) else frozenset()


def _attributes_named(sentence: Sentence, span: Sequence[int]) -> list[str]:
    cues = sentence.lexicon.attribute_cues
    return sorted({name for word in sentence.words(span) for name in cues.get(word, ())})


def _same_attribute(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "By the same director as Alien"; where no past item is named beside it, those of the sentence."""
    names = _attributes_named(sentence, span)
    past_items = sentence.past(span) or sentence.past()
    if not past_items:
        return "nothing is there to share with"
    for past in past_items:
        if not any(_values(sentence.licence.item, name) & _values(past.item, name) for name in names):
            return f"that is not shared with {past.title}"
    return None


def _other_attribute(sentence: Sentence, span: Sequence[int]) -> str | None:
    for past in sentence.past(span):
        pairs = [
            (_values(sentence.licence.item, name), _values(past.item, name))
            for name in _attributes_named(sentence, span)
        ]
        known = [(own, other) for own, other in pairs if own and other]
        if not known or any(own & other for own, other in known):
            return f"the catalogue does not set it apart from {past.title}"
    return None


def _person_of_history(sentence: Sentence, span: Sequence[int]) -> str | None:
    """A person or maker of the item is that of every past item named beside them."""
    for token in (sentence.tokens[i] for i in span):
        for past in sentence.past(span):
            if token.kind == "A" and token.text.casefold() not in _values(past.item, token.value):
                return f"{token.text!r} is not said of {past.title}"
    return None


def _maker(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "A film by James Cameron", "a Fellwind product": those who make a thing, not those who play in it."""
    for attribute in sentence.values("A", span):
        if attribute not in sentence.lexicon.makers:
            return f"{attribute} makes no item"
    if "another" in sentence.words(span) and not set(sentence.values("G", span)) <= set(
        sentence.licence.item.genres
    ):
        return "the item is none of that genre"
    return _person_of_history(sentence, span) or CHECKS["genres_of_history"](sentence, span)


def _liked_genres(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "You liked the action film Jaws"."""
    return CHECKS["liked"](sentence, span) or CHECKS["genres_of_history"](sentence, span)


def _has_rating(sentence: Sentence, span: Sequence[int]) -> str | None:
    for past in sentence.past(span):
        if any(entry.value is None for entry in past.entries):
            return f"{past.title} has no rating"
    return None


def _rated_each(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "Alien 5 stars and Aliens 4 out of 5": the first number behind a title is its rating."""
    start = next(at for at, i in enumerate(span) if sentence.tokens[i].kind == "H")
    ends = [at for at, i in enumerate(span) if sentence.tokens[i].kind == "H"][1:]
    for first, last in zip([start, *ends], [*ends, len(span)], strict=True):
        reason = CHECKS["rated"](sentence, span[first:last])
        if reason is not None:
            return reason
    return None


def _each_event(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "You liked Alien and watched Aliens": every title is judged by the verb before it."""
    verbs = [
        at
        for at, i in enumerate(span)
        if sentence.tokens[i].kind == "word"
        and (sentence.tokens[i].text.casefold() in {*sentence.lexicon.event_verbs, *sentence.lexicon.liked})
    ]
    for first, last in zip(verbs, [*verbs[1:], len(span)], strict=True):
        verb = sentence.tokens[span[first]].text.casefold()
        check = "liked" if verb in sentence.lexicon.liked else "had"
        reason = CHECKS[check](sentence, span[first:last])
        if reason is not None:
            return reason
    return None


def _watched_and_rated(sentence: Sentence, span: Sequence[int]) -> str | None:
    return CHECKS["had"](sentence, span) or CHECKS["rated"](sentence, span)


def _taste_by_example(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "You like thrillers such as Alien"."""
    return (
        CHECKS["taste"](sentence, span)
        or CHECKS["liked"](sentence, span)
        or CHECKS["genres_of_history"](sentence, span)
    )


def _echo(sentence: Sentence, span: Sequence[int]) -> str | None:
    """ "You like thrillers, and this is one": the genres said before must be the item's."""
    before = range(span[0])
    genres = sentence.values("G", before)
    if not genres or any(sentence.tokens[i].kind in "VW" for i in before):
        return "what the sentence points back to is not certain"
    if sentence.values("N", span) not in ([], ["1"]):
        return "that many are not spoken of"
    if not set(genres) <= set(sentence.licence.item.genres):
        return f"{', '.join(genres)} is not true of the item"
    return None


ALL_CHECKS: dict[str, Check] = {
    **CHECKS,
    "years_after": _years_apart(newer=True),
    "years_before": _years_apart(newer=False),
    "between": _between,
    "dearer": _dearer,
    "not_year": _not_year,
    "differs": _differs,
    "differs_not": _differs_not,
    "whereas_not": _said_before_not_of,
    "all_genres": _all_genres,
    "all_years": _all_years,
    "facts_of_history": _facts_of_history,
    "same_attribute": _same_attribute,
    "other_attribute": _other_attribute,
    "person_of_history": _person_of_history,
    "maker": _maker,
    "liked_genres": _liked_genres,
    "has_rating": _has_rating,
    "rated_each": _rated_each,
    "each_event": _each_event,
    "watched_and_rated": _watched_and_rated,
    "taste_by_example": _taste_by_example,
    "echo": _echo,
}
"""The checks of ``verify_checks`` and of this module, by the names that the relations use."""
