"""Where a turn contradicts itself or what was said before about the situation, and where it only corrects it.

Two values of a field are a contradiction only if they exclude each other: a part of the day, a weekday, and
company that is there and is not ("for my kids, without kids"). People come and go, and moods change, so
another company or mood is news. In a shop an evening dress and a morning coat say nothing of the clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.recognise.fields import CatalogueFields
from tastemaker.agent.recognise.lexicon import load_words
from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.prompts.domains import Domain
from tastemaker.understanding import FACET_VALUES

CLOCK = ("part_of_day", "weekday")
COMPANY = "company"
LATE = frozenset({"evening", "night"})
"""Tonight is either."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mention:
    """Something said of a field. ``denied``: that it is not so. ``days``: from now; None: named."""

    start: int
    end: int
    field: str
    value: str
    denied: bool = False
    days: int | None = None

    def overlaps(self, other: _Mention) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """``context``: values that hold now, None for none. ``asks`` and ``ends``: what waits for an answer,
    values that would hold and those that would not any more. ``void``: stretches that rule nothing out: they
    say who is not there, or take back what stands before them.
    """

    context: Mapping[str, str | None] = field(default_factory=dict)
    asks: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    void: tuple[Span, ...] = ()

    def and_that(self, name: str, value: str | None) -> Heard:
        return replace(self, context={**self.context, name: value})


class Situations:
    """The rules for one language and domain."""

    def __init__(self, fields: CatalogueFields, domain: Domain, words: ChatWords) -> None:
        self._titles, self._words, self._lexicon = fields.titles, words, load_words(words.language)
        self._watches = domain.name in self._lexicon.loose_in

    def hear(
        self, text: str, known: Mapping[str, str], now: datetime | None, asked: Collection[str] = ()
    ) -> Heard:
        """What a turn says of the clock and the company against itself and against ``known``.

        Args:
            asked: fields that have just been asked about: what is said of them is the answer.
        """
        plain = plain_text(text)
        found = self._mentions(plain, now or datetime.now().astimezone())
        cuts = [match.span() for match in self._words.corrects.finditer(plain)]
        between = list(plain)
        for one in found:
            between[one.start : one.end] = " " * (one.end - one.start)
        purpose = self._words.on_purpose.search(plain) is not None
        heard = Heard(void=tuple(cuts))
        for name in (*CLOCK, COMPANY):
            said = _uncorrected([one for one in found if one.field == name], cuts)
            if not said:
                continue
            answers = purpose or name in asked or any(end <= said[0].start for _, end in cuts)
            if name == COMPANY:
                heard = _company(heard, said, known.get(name), answers=answers)
            else:
                heard = self._clock(heard, "".join(between), said, known.get(name), answers=answers)
        return heard

    def _clock(
        self, heard: Heard, between: str, said: Sequence[_Mention], before: str | None, *, answers: bool
    ) -> Heard:
        first, last = said[0], said[-1]
        if answers:
            return heard.and_that(first.field, last.value)
        if _exclude(first.value, last.value):
            if self._words.either.fullmatch(between, first.end, last.start) is not None:
                return heard.and_that(first.field, first.value)
            kept = first.value
        elif before is not None and _exclude(before, last.value) and last.days != 0:
            # On the next day "tonight" is another day without any contradiction.
            kept = before
        else:
            return heard
        asks, ends = {**heard.asks, first.field: last.value}, {**heard.ends, first.field: kept}
        return replace(heard.and_that(first.field, kept), asks=asks, ends=ends)

    def _mentions(self, plain: str, now: datetime) -> list[_Mention]:
        """In the order of the text; of several of one field that overlap the longest."""
        masked = [*self._titles.spans(plain)]
        masked += [match.span() for match in self._words.greets.finditer(plain)]
        kept: list[_Mention] = []
        for one in sorted(self._raw(plain, now), key=lambda one: (one.start - one.end, one.start)):
            inside = any(first <= one.start and one.end <= last for first, last in masked)
            if not inside and not any(one.overlaps(other) for other in kept if other.field == one.field):
                kept.append(one)
        # "Not tonight, tomorrow" speaks of tomorrow alone, "nothing with kids" of nobody.
        kept = [one for one in kept if one.denied or not self._is_denied(plain, one)]
        days = [one for one in kept if one.field == "weekday"]
        parts = [one for one in kept if one.field == "part_of_day"]
        named = any(one.days is None for one in days)
        # "It is Friday tonight": a day that is named counts, not the clock's. "Today was long, something for
        # tomorrow" has one day that is asked for.
        idle = [
            one
            for one in days
            if one.days == 0 and (named or (len(days) > 1 and not any(map(one.overlaps, parts))))
        ]
        return sorted((one for one in kept if one not in idle), key=lambda one: one.start)

    def _is_denied(self, plain: str, one: _Mention) -> bool:
        head, lexicon = plain[: one.start], self._lexicon
        if one.field in CLOCK:
            return lexicon.denials_of_times.search(head) is not None
        begins = lexicon.phrases_begin.match(plain, one.start)
        return begins is not None and lexicon.denials_of_phrases.search(head) is not None

    def _raw(self, plain: str, now: datetime) -> Iterator[_Mention]:
        for one in self._lexicon.situations:
            if one.field != COMPANY and not (self._watches and one.field in CLOCK):
                continue
            if one.loose and not self._watches:
                continue
            for match in one.pattern.finditer(plain):
                if one.field != "part_of_day" or self._words.clock.search(match[0]) is not None:
                    yield _Mention(start=match.start(), end=match.end(), field=one.field, value=one.value)
        yield from self._absent(plain)
        for days, pattern in self._lexicon.days.items() if self._watches else ():
            value = FACET_VALUES["weekday"][(now.weekday() + days) % 7]
            for match in pattern.finditer(plain):
                yield _Mention(start=match.start(), end=match.end(), field="weekday", value=value, days=days)

    def _absent(self, plain: str) -> Iterator[_Mention]:
        """Who is not there: "without kids" is read as "with my kids", and denied."""
        present = self._words.with_somebody
        for no in self._words.not_with.finditer(plain):
            said = present + plain[no.end() :]
            for one in self._lexicon.situations:
                match = one.pattern.match(said) if one.field == COMPANY else None
                if match is not None and match.end() > len(present):
                    end = no.end() + match.end() - len(present)
                    yield _Mention(start=no.start(), end=end, field=COMPANY, value=one.value, denied=True)


def _uncorrected(said: Sequence[_Mention], cuts: Sequence[Span]) -> list[_Mention]:
    """Without what a later word corrects: "with friends, no, with my kids"."""
    if not said:
        return []
    last = max((end for _, end in cuts if said[0].end < end <= said[-1].start), default=0)
    return [one for one in said if one.start >= last]


def _exclude(one: str, other: str) -> bool:
    return one != other and not {one, other} <= LATE


def _company(heard: Heard, said: Sequence[_Mention], before: str | None, *, answers: bool) -> Heard:
    there = [one.value for one in said if not one.denied]
    gone = {one.value: (one.start, one.end) for one in said if one.denied}
    if not gone:
        return heard.and_that(COMPANY, there[0]) if answers else heard
    clash = next((value for value in there if value in gone), None if there else before)
    if clash not in gone:
        # "Not with my kids" does not say who is there.
        return heard if there else heard.and_that(COMPANY, before)
    heard = replace(heard, void=(*heard.void, *gone.values()))
    if answers:
        return heard.and_that(COMPANY, None)
    return replace(heard.and_that(COMPANY, clash), ends={**heard.ends, COMPANY: str(clash)})
