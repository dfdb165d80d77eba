"""The rule layer: what a wish says of the situation, of numbers, of what must be and what must not.

Passages are found in this order, and what one has claimed no later one reads: numbers, situations that are
not so, negations, situations, musts. What nobody claims is the wish, less the joints that then hang in the
air.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tastemaker.agent.recognise.conditions import conditions, contradictions
from tastemaker.agent.recognise.denials import denials, elsewhere, past
from tastemaker.agent.recognise.exclusions import exclusions
from tastemaker.agent.recognise.fields import MAKERS, CatalogueFields
from tastemaker.agent.recognise.lexicon import Words, load_words
from tastemaker.agent.recognise.spelling import corrected
from tastemaker.clock import WEEKDAYS
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain, load_domain
from tastemaker.prompts.words import detect_language
from tastemaker.types import Filter, Language
from tastemaker.understanding import Passage, Understanding

Spans = Sequence[tuple[int, int]]
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "´": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " ", "＄": "$"}
)
_LIGHT = (
    "",
    "a",
    "an",
    "the",
    "some",
    "pure",
    "proper",
    "good",
    "real",
    "a proper",
    "a good",
    "a real",
    "be a",
    "be",
)
_NAMING = ("activity", "place")
_THING = re.compile(
    r" (?:mats?|gear|shoes|pants|clothes|equipment|tools|supplies|kits?|courses?|class(?:es)?|books?)(?!\w)"
)
_THING_ZH = re.compile(r"(?:的)?(?:课|教程|教材|神曲|取景|爽片|用品|装备|垫|器材|入门|书)")
_EMPTY = re.compile(r"[\s,，.。;；:：!！、~\-–—&+/()（）]+")


@dataclass(slots=True)
class _Reading:
    """What was found so far; ``taken`` are the claimed stretches of the text that is read.

    ``origin``: for each place of that text the place in ``text``, as it was written. ``told``: claimed
    stretches that the wish needs all the same.
    """

    text: str
    origin: list[int]
    context: dict[str, str] = field(default_factory=dict)
    filters: list[Filter] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)

    def free(self, start: int, end: int) -> bool:
        return all(end <= first or start >= last for first, last in self.taken)

    def said(self, start: int, end: int) -> str:
        return self.text[self.origin[start] : self.origin[end]]

    def tell(self, kind: Literal["context", "filter", "exclude"], start: int, end: int, meaning: str) -> None:
        first, last = self.origin[start], self.origin[end]
        self.passages.append(
            Passage(start=first, end=last, kind=kind, text=self.text[first:last], meaning=meaning)
        )
        self.taken.append((start, end))


class Recogniser:
    """Reads wishes about the items of one domain. Needs no model; safe to share between threads.

    Args:
        domain: name or folder of a domain pack.
        dataset: the catalogue, whose columns and values are asked for; None takes the pack's own names.
    """

    def __init__(self, domain: str = "generic", dataset: Dataset | None = None) -> None:
        self._domain = load_domain(domain)
        self.fields = (
            CatalogueFields.of_domain(self._domain)
            if dataset is None
            else CatalogueFields.of_dataset(dataset, self._domain)
        )

    def read(
        self, text: str, *, now: datetime | None = None, language: Language | None = None
    ) -> Understanding:
        """Understand a wish.

        Args:
            now: the moment of asking, for "tomorrow" and "the last five years"; None: this machine's clock.
            language: None goes by the script.
        """
        language = language or detect_language(text)
        words = load_words(language)
        plain = plain_text(text)
        whole = plain, list(range(len(plain) + 1))
        # Titles as they were written: "Singin' in the Rain" has no slip.
        kept = self.fields.titles.spans(plain)
        read, origin = corrected(plain, words, self._domain, kept) if language == "en" else whole
        found = _Reading(text, origin)
        moment = now or datetime.now().astimezone()
        titles = self.fields.titles.spans(read)
        self._conditions(read, words, moment, found, titles)
        self._denials(read, words, found, titles)
        self._exclusions(read, words, found, titles)
        self._situations(read, words, moment, found, titles)
        self._musts(read, words, found)
        found.notes += contradictions(found.filters, found.exclude)
        found.passages.sort(key=lambda one: one.start)
        return Understanding(
            text=text,
            wish=_rest(found, words),
            context=found.context,
            filters=tuple(found.filters),
            exclude=tuple(dict.fromkeys(found.exclude)),
            passages=tuple(found.passages),
            notes=tuple(found.notes),
        )

    def _conditions(self, read: str, words: Words, now: datetime, found: _Reading, titles: Spans) -> None:
        elsewhere = [*titles, *past(read, words)]
        for one in conditions(read, words, self._domain, now):
            if any(first < one.end and one.start < last for first, last in elsewhere):
                continue
            usable = [known for asked in one.filters if (known := self.fields.condition(asked)) is not None]
            if len(usable) < len(one.filters):
                said = found.said(one.start, one.end)
                found.notes.append(f"“{said}”: the catalogue does not say the {one.filters[0].field}")
                continue
            found.filters += usable
            found.tell("filter", one.start, one.end, ", ".join(map(str, usable)))

    def _denials(self, read: str, words: Words, found: _Reading, titles: Spans) -> None:
        """ "Not at home" is understood and says nothing of where: it leaves the wish and sets no field."""
        days = [(*match.span(), "weekday", match[0].strip()) for match in self._matches(read, words)]
        said = [one for one in (*self._said(read, words), *days) if not _inside(one[0], one[1], titles)]
        for one in denials(read, words, said):
            if found.free(one.start, one.end):
                found.tell("context", one.start, one.end, f"not {one.field}={one.value}")

    def _exclusions(self, read: str, words: Words, found: _Reading, titles: Spans) -> None:
        stops = [one.span() for one in self._matches(read, words)]
        for one in exclusions(read, words, self._domain, found.taken, stops, titles):
            found.exclude += one.things
            found.tell("exclude", one.start, one.end, ", ".join(one.things))

    def _matches(self, read: str, words: Words) -> list[re.Match[str]]:
        return [match for pattern in words.days.values() for match in pattern.finditer(read)]

    def _situations(self, read: str, words: Words, now: datetime, found: _Reading, titles: Spans) -> None:
        # "12 Angry Men" says nothing of a mood, "a film set in winter" nothing of the season.
        blocked = [*titles, *elsewhere(read, words)]
        told = (one for one in self._said(read, words) if not _overlaps(one[0], one[1], blocked))
        for start, end, name, value in _longest(told, found):
            if name in found.context and found.context[name] != value:
                said = found.said(start, end)
                found.notes.append(f"“{said}”: {name} is {found.context[name]} already, which came first")
            if name not in found.context:
                found.context[name] = value
                found.tell("context", start, end, f"{name}={value}")
                if name in _NAMING and _names_a_thing(read, end, words):
                    found.told.append((start, end))
        self._days(read, words, now, found, blocked)

    def _days(self, read: str, words: Words, now: datetime, found: _Reading, blocked: Spans) -> None:
        """ "Tomorrow" and the like, as the weekday that it is."""
        claimed = [one for one in found.passages if one.kind != "context" or one.meaning.startswith("not ")]
        # "The day after tomorrow" before "tomorrow".
        for days, pattern in sorted(words.days.items(), reverse=True):
            for match in pattern.finditer(read):
                first, last = found.origin[match.start()], found.origin[match.end()]
                if "weekday" in found.context or any(one.start < last and first < one.end for one in claimed):
                    continue
                if _overlaps(*match.span(), blocked):
                    continue
                # "Tonight" says the evening as well, so its place may be claimed already.
                found.context["weekday"] = value = WEEKDAYS[(now.weekday() + days) % 7]
                found.tell("context", *match.span(), f"weekday={value}")

    def _said(self, read: str, words: Words) -> Iterator[tuple[int, int, str, str]]:
        loose = self._domain.name in words.loose_in
        for one in words.situations:
            if one.loose and not loose:
                continue
            for match in one.pattern.finditer(read):
                if match.end() > match.start():
                    yield (*match.span(), one.field, one.value)

    def _musts(self, read: str, words: Words, found: _Reading) -> None:
        """ "Only comedies", "a western or nothing", "from Lumo": values that must be there."""
        for start, end, role, value in (*self._concepts_meant(read, words), *self._values_meant(read, words)):
            wanted = Filter(field=self.fields.columns[role], op="has", value=value)
            if found.free(start, end) and wanted not in found.filters:
                found.filters.append(wanted)
                found.tell("filter", start, end, str(wanted))

    def _concepts_meant(self, read: str, words: Words) -> Iterator[tuple[int, int, str, str]]:
        """Words of the pack for values of the catalogue with a "must" around them."""
        musts = _plainly(words.musts, read, words)
        for start, end, concept in concept_places(read, words, self._domain):
            known = self.fields.value(concept)
            end = _past_generic(read, end, words)
            must = next((one for one in musts if _touches(read, one.end(), start, words)), None)
            behind = words.must_after.match(read, end)
            if known is not None and (must is not None or behind is not None):
                first = must.start() if must is not None else start
                yield first, behind.end() if behind is not None else end, *known

    def _values_meant(self, read: str, words: Words) -> Iterator[tuple[int, int, str, str]]:
        """Values of the catalogue itself right behind a "must"; of makers behind "from" and "by" too."""
        for must in _plainly(words.musts, read, words):
            known = self.fields.value_at(read, must.end(), words.language)
            if known is not None:
                yield must.start(), _past_generic(read, known[2], words), known[0], known[1]
        for origin in words.origins.finditer(read):
            known = self.fields.value_at(read, origin.end(), words.language)
            if known is not None and known[0] in MAKERS:
                yield origin.start(), _past_generic(read, known[2], words), known[0], known[1]


def concept_places(read: str, words: Words, domain: Domain) -> list[tuple[int, int, str]]:
    """Where the text names values of the catalogue, the longest first where they overlap."""
    places = [
        (*match.span(), value)
        for value, names in domain.concepts[words.language].items()
        for name in (*names, value.casefold())
        for match in words.whole(re.escape(name.casefold())).finditer(read)
    ]
    kept: list[tuple[int, int, str]] = []
    for one in sorted(set(places), key=lambda one: (one[0] - one[1], one[0])):
        # One word may stand for two values: a romcom is a comedy and a romance.
        if all(one[1] <= other[0] or one[0] >= other[1] or one[:2] == other[:2] for other in kept):
            kept.append(one)
    return sorted(kept)


def _plainly(pattern: re.Pattern[str], read: str, words: Words) -> list[re.Match[str]]:
    """Matches that no harmless phrase holds: "not only" is no "only"."""
    harmless = [match.span() for match in words.harmless.finditer(read)]
    return [
        match
        for match in pattern.finditer(read)
        if not any(first < match.end() and match.start() < last for first, last in harmless)
    ]


def _touches(read: str, end: int, start: int, words: Words) -> bool:
    """Nothing but an article or an adjective of no weight stands between."""
    between = read[end:start]
    if words.language == "zh":
        return start >= end and between.strip() in ("", "看", "听", "的", "是", "有", "一部", "纯")
    return start >= end and between.strip() in _LIGHT


def _past_generic(read: str, end: int, words: Words) -> int:
    match = words.generic_before.match(read, end)
    return match.end() if match is not None else end


def _inside(start: int, end: int, spans: Spans) -> bool:
    return any(first <= start and end <= last for first, last in spans)


def _overlaps(start: int, end: int, spans: Spans) -> bool:
    return any(first < end and start < last for first, last in spans)


def _longest(
    said: Iterator[tuple[int, int, str, str]], found: _Reading
) -> Sequence[tuple[int, int, str, str]]:
    """Matches in the order of the text; where some overlap the longest stays."""
    kept: list[tuple[int, int, str, str]] = []
    for one in sorted(said, key=lambda one: (one[0] - one[1], one[0])):
        if found.free(one[0], one[1]) and all(one[1] <= other[0] or one[0] >= other[1] for other in kept):
            kept.append(one)
    return sorted(kept)


def plain_text(text: str) -> str:
    """Lower case with plain quotes, character by character, so that places stay the same."""
    out = []
    for character in text.translate(_PLAIN):
        folded = unicodedata.normalize("NFKC", character).lower()
        out.append(folded if len(folded) == 1 else character)
    return "".join(out)


def _names_a_thing(read: str, end: int, words: Words) -> bool:
    """What comes right behind is a thing of that sort: "yoga mats", "烘焙教程"."""
    if words.language == "zh":
        return _THING_ZH.match(read, end) is not None
    return _THING.match(read, end) is not None


def _rest(found: _Reading, words: Words) -> str:
    """What nobody claimed, as it was written, without the joints that hang in the air."""
    if len(found.taken) == len(found.told):
        return found.text.strip()
    pieces: list[str] = []
    at = 0
    claimed = [one for one in found.taken if one not in found.told]
    for start, end in sorted((found.origin[start], found.origin[end]) for start, end in claimed):
        pieces.append(found.text[at:start])
        at = max(at, end)
    pieces.append(found.text[at:])
    pieces[1:] = [piece.removeprefix("的") for piece in pieces[1:]]
    kept = [_trimmed(piece, words, last=place == len(pieces) - 1) for place, piece in enumerate(pieces)]
    joint = " " if words.language == "en" else "，"
    return joint.join(piece for piece in kept if piece)


def _trimmed(piece: str, words: Words, *, last: bool) -> str:
    piece = piece.strip(" ,，;；、:：-–—&+/~\n\t")
    while not last or not piece:
        match = list(words.tails.finditer(piece.lower()))
        if not match or match[-1].end() != len(piece) or not piece:
            break
        piece = piece[: match[-1].start()].rstrip(" ,，;；、:：-–—&+/~")
    return piece if _EMPTY.sub("", piece) else ""
