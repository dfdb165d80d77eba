"""Situations that a wish names and does not mean: "not at home", "without the kids", "set in winter"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tastemaker.agent.recognise.lexicon import Words

Said = tuple[int, int, str, str]
"""``text[start:end]`` says that a field has a value."""

TIMES = ("part_of_day", "weekday", "day_type")
_WITH = "with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """``text[start:end]`` says that the situation is not ``field=value``."""

    start: int
    end: int
    field: str
    value: str


def elsewhere(text: str, words: Words) -> list[tuple[int, int]]:
    """Stretches whose situations are not the present one: of a story, the past, a greeting."""
    return [
        match.span()
        for pattern in (words.stories, words.past, words.greetings)
        for match in pattern.finditer(text)
    ]


def past(text: str, words: Words) -> list[tuple[int, int]]:
    """Stretches that tell of what was: not even their numbers are conditions."""
    return [match.span() for match in words.past.finditer(text)]


def denials(text: str, words: Words, said: Iterable[Said]) -> list[Denial]:
    """Every situation of a text in lower case that is said not to be so, without overlap.

    Args:
        said: what the text says of situations, wherever.
    """
    harmless = [match.span() for match in words.harmless.finditer(text)]
    found: list[Denial] = []
    for one in sorted([*_negated(text, words, said), *_without(text, words)], key=lambda one: one.start):
        free = all(one.start >= other.end or one.end <= other.start for other in found)
        if free and not any(first < one.end and one.start < last for first, last in harmless):
            found.append(one)
    return found


def _negated(text: str, words: Words, said: Iterable[Said]) -> Iterator[Denial]:
    # The longest first, so that "i'm not at home" is not read as "home".
    for start, end, name, value in sorted(said, key=lambda one: one[0] - one[1]):
        head = text[:start]
        match = words.denials.search(head)
        if match is None and words.phrases_begin.match(text, start) is not None:
            match = words.denials_of_phrases.search(head)
        if match is None and name in TIMES:
            match = words.denials_of_times.search(head)
        if match is not None:
            yield Denial(start=match.start(), end=end, field=name, value=value)


def _without(text: str, words: Words) -> Iterator[Denial]:
    """ "Without the kids": who would be there is who "with the kids" would say."""
    for match in words.without.finditer(text):
        turned = _WITH + text[match.end() :]
        longer = match.end() - len(_WITH)
        for one in words.situations:
            company = one.pattern.match(turned) if one.field == "company" else None
            if company is not None:
                end = longer + company.end()
                yield Denial(start=match.start(), end=end, field="company", value=one.value)
