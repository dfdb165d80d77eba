"""From text to masked tokens: titles, genres, years, wish and context words are recognised, longest first.

The scanner says what a word refers to, not whether a statement is true. Kinds of tokens:

====  =====================================================  ==========================================
I H   the item; a cited past item                            ``value``: position in ``Licence.cited``
G A   a genre; another attribute of the item                 ``value``: genre; attribute name
Y D   a year; a decade                                       ``value``: 1977; 1970
N P   another number; a price                                ``value``: the number
C T   words of a context value; a true word about the time   ``value``: field name
W V   the whole wish; a word of it
X     something that may not be named                        ``value``: why
word  any other word; ``value`` is "neutral" when it claims nothing
punct any other character
====  =====================================================  ==========================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tastemaker.agent.verify_facts import Licence
from tastemaker.agent.verify_lexicon import WEEKEND, Lexicon, is_word, plain, tokenize, words_of
from tastemaker.agent.verify_titles import forms, split_year
from tastemaker.clock import is_weekend
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import context_phrases

_OPENERS = '"《「『«('
_DECADE = re.compile(r"(?:\d{2})?\d0s")
_TAIL = re.compile(r"[^\w\s]+$")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")
# Which reading wins when two cover equally many words.
_PRIORITY = {
    kind: rank for rank, kind in enumerate(("I", "H", "W", "C", "T", "G", "A", "N", "D", "V", "X", "word"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A recognised passage ``text[start:end]``; ``first`` is the position of its first base token."""

    text: str
    start: int
    end: int
    kind: str = "word"
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words and what they mean. ``cased`` words must be written exactly so; ``year`` may follow a title."""

    words: tuple[str, ...]
    kind: str
    value: str = ""
    cased: bool = False
    over_punctuation: bool = False
    tail: str = ""
    year: int | None = None


class PhraseTable:
    """Phrases by their first word."""

    def __init__(self, phrases: Iterable[Phrase] = ()) -> None:
        self._cased: dict[str, list[Phrase]] = {}
        self._folded: dict[str, list[Phrase]] = {}
        for phrase in phrases:
            self.add(phrase)

    def add(self, phrase: Phrase) -> None:
        if phrase.words and phrase.cased:
            self._cased.setdefault(phrase.words[0], []).append(phrase)
        elif phrase.words:
            self._folded.setdefault(phrase.words[0].casefold(), []).append(phrase)

    def starting_with(self, word: str) -> Iterator[Phrase]:
        yield from self._cased.get(word, ())
        yield from self._folded.get(word.casefold(), ())


@dataclass(frozen=True, slots=True)
class _Base:
    text: str
    start: int
    end: int


def title_phrases(title: str, kind: str, value: str, year: int | None) -> list[Phrase]:
    """All ways to say a title. A single word counts only in the title's own capitals."""
    found = {words_of(form): _TAIL.search(form) for form in forms(title)}
    return [
        Phrase(
            words=words,
            kind=kind,
            value=value,
            cased=kind == "X" or len(words) == 1,
            over_punctuation=True,
            tail=plain(tail[0]) if tail is not None else "",
            year=year if year is not None else split_year(title)[1],
        )
        for words, tail in found.items()
        # A film called 2012 is no reason to doubt a year; numbers are checked as numbers.
        if words and not (kind == "X" and len(words) == 1 and words[0].isdigit())
    ]


def known_titles(titles: Iterable[str]) -> PhraseTable:
    """The catalogue's titles, as things that may not be named unless a licence says so."""
    table = PhraseTable()
    for title in titles:
        for phrase in title_phrases(title, "X", f"{title} is neither the item nor cited", None):
            table.add(phrase)
    return table


class Scanner:
    """Scans texts of one language against a licence."""

    def __init__(self, lexicon: Lexicon, known: PhraseTable) -> None:
        self._lexicon = lexicon
        self._known = known
        # A wish for "a funny film" makes no other word of "film" in "this film".
        self._nouns = lexicon.nouns
        self._words = PhraseTable(
            [Phrase(words=words, kind="word", value="neutral") for words in lexicon.neutral]
            + [Phrase(words=words, kind="word") for words in lexicon.bound]
            + [Phrase(words=words_of(noun), kind="word") for noun in lexicon.nouns]
            + [
                Phrase(words=words, kind="G", value=genre)
                for genre, names in lexicon.genres.items()
                for words in names
            ]
            + [Phrase(words=words, kind="N", value=str(n)) for words, n in lexicon.numbers.items()]
            + [Phrase(words=words, kind="D", value=str(n)) for words, n in lexicon.decades.items()]
        )

    def scan(self, text: str, licence: Licence) -> list[Token]:
        base = [_Base(found[0], found.start(), found.end()) for found in tokenize(text)]
        table = self._licensed(licence)
        tokens: list[Token] = []
        at = 0
        while at < len(base):
            token, at = self._read(base, at, table, text)
            tokens.append(token)
        return tokens

    def _licensed(self, licence: Licence) -> PhraseTable:
        table = PhraseTable()
        item = licence.item
        for phrase in title_phrases(item.title, "I", "", item.year):
            table.add(phrase)
        for position, past in enumerate(licence.cited):
            for phrase in title_phrases(past.title, "H", str(position), past.year):
                table.add(phrase)
        for entry in licence.history:
            for phrase in title_phrases(entry.title, "X", f"{entry.title} is not among the evidence", None):
                table.add(phrase)
        self._add_attributes(table, licence)
        self._add_wish(table, licence.request.wish)
        self._add_context(table, licence)
        return table

    def _add_attributes(self, table: PhraseTable, licence: Licence) -> None:
        item = licence.item
        for genre in (*item.genres, *(genre for past in licence.cited for genre in sorted(past.genres))):
            for words in self._lexicon.genre_names(genre):
                table.add(Phrase(words=words, kind="G", value=genre))
        for name, value in item.attributes.items():
            if name not in ("genres", "year") and not isinstance(value, (int, float)):
                for one in (value,) if isinstance(value, str) else value:
                    table.add(Phrase(words=words_of(one), kind="A", value=name, cased=True))

    def _add_wish(self, table: PhraseTable, wish: str) -> None:
        words = words_of(wish)
        # "A science fiction film" is a wish where it is quoted, and else a genre.
        value = "quoted" if self._only_genres(words) else ""
        table.add(Phrase(words=words, kind="W", value=value, over_punctuation=True))
        # A wish with a negation may only be quoted whole: its words alone could say the opposite.
        if not self._lexicon.negations & {word.casefold() for word in words}:
            for word in words:
                if (word.casefold(),) not in self._lexicon.neutral and word.casefold() not in self._nouns:
                    table.add(Phrase(words=(word,), kind="V"))

    def _only_genres(self, words: Sequence[str]) -> bool:
        """Of genres, words for an item and words that claim nothing."""
        names = [name for forms_of in self._lexicon.genres.values() for name in forms_of]
        names += [(noun,) for noun in self._nouns] + list(self._lexicon.neutral)
        left = tuple(word.casefold() for word in words)
        while left:
            found = max((name for name in names if left[: len(name)] == name), key=len, default=())
            if not found:
                return False
            left = left[len(found) :]
        return True

    def _add_context(self, table: PhraseTable, licence: Licence) -> None:
        """Values of cited fields, as given and as the language pack words them ("kids": "with children")."""
        context = licence.request.context
        phrases = context_phrases(context, load_pack(licence.request.language))
        for name, value in context.as_mapping().items():
            if name == "time" or licence.evidence_of("context", name) is None:
                continue
            table.add(Phrase(words=words_of(name), kind="C", value=name))
            for words in self._lexicon.context_words.get(value.casefold(), ()):
                table.add(Phrase(words=words, kind="C", value=name))
            for words in (words_of(value), words_of(phrases.get(name, ""))):
                table.add(Phrase(words=words, kind="C", value=name, over_punctuation=True))
                if len(words) > 1 and not self._negated(words):
                    for word in words:
                        # A lone Chinese character, as of 独自一人, says something else ("one").
                        whole = len(word) > 1 or word.isascii()
                        if whole and (word.casefold(),) not in self._lexicon.neutral:
                            table.add(Phrase(words=(word,), kind="C", value=name))
        self._add_time(table, licence)

    def _negated(self, words: Sequence[str]) -> bool:
        return bool(self._lexicon.negations & {word.casefold() for word in words})

    def _add_time(self, table: PhraseTable, licence: Licence) -> None:
        time = licence.request.context.time
        # A bare date is read as midnight sharp and says nothing of the hour.
        has_hour = time is not None and (time.hour, time.minute, time.second) != (0, 0, 0)
        cited = licence.evidence_of("context", "time") is not None
        lexicon = self._lexicon

        def add(words: tuple[str, ...], holds: bool) -> None:
            if time is not None and cited and holds:
                table.add(Phrase(words=words, kind="T", value="time"))
            else:
                table.add(Phrase(words=words, kind="X", value=f"{' '.join(words)} is not the situation"))

        for words, (first, last) in lexicon.hours.items():
            hour = time.hour if time is not None else 0
            inside = first <= hour < last if first < last else hour >= first or hour < last
            add(words, has_hour and inside)
        for words, days in lexicon.weekdays.items():
            add(
                words, time is not None and (time.weekday() in days or (days == WEEKEND and is_weekend(time)))
            )
        for words, month in lexicon.months.items():
            add(words, time is not None and time.month == month)

    def _read(self, base: Sequence[_Base], at: int, table: PhraseTable, text: str) -> tuple[Token, int]:
        """The token that starts at base token ``at``, and where the next one starts."""
        word = base[at].text
        best: tuple[int, int, Phrase, int] | None = None
        sources = (table, self._words, self._known)
        at_start = at == 0 or base[at - 1].text in ".!?。！？"
        for phrase in (found for source in sources for found in source.starting_with(word)):
            end = _match(base, at, phrase)
            if end is None or (at_start and _is_plain_start(phrase)):
                continue
            if phrase.kind == "W" and phrase.value == "quoted" and _is_bare(base, at):
                continue
            size, rank = len(phrase.words), -_PRIORITY[phrase.kind]
            if best is None or (size, rank) > best[:2]:
                best = (size, rank, phrase, end)
        if best is None:
            return _plain_token(base, at)
        _, _, phrase, end = best
        rivals = [
            other
            for other in table.starting_with(word)
            if other.kind in "IH" and len(other.words) == best[0] and _match(base, at, other) == end
        ]
        if rivals:
            phrase, end = _with_year(base, end, rivals)
        token = Token(
            text=text[base[at].start : base[end - 1].end],
            start=base[at].start,
            end=base[end - 1].end,
            kind=phrase.kind,
            value=phrase.value,
        )
        return token, end


def _is_bare(base: Sequence[_Base], at: int) -> bool:
    return at == 0 or base[at - 1].text not in _OPENERS


def _is_plain_start(phrase: Phrase) -> bool:
    """A one-word title of the catalogue at the start of a sentence is taken for the word it is."""
    return phrase.kind == "X" and phrase.cased and len(phrase.words) == 1


def _match(base: Sequence[_Base], at: int, phrase: Phrase) -> int | None:
    for position, word in enumerate(phrase.words):
        if position > 0:
            at = _skip(base, at, 3 if phrase.over_punctuation else 1, "" if phrase.over_punctuation else "-")
        if at >= len(base):
            return None
        found = base[at].text
        if found != word and (phrase.cased or found.casefold() != word.casefold()):
            return None
        at += 1
    # "Mars Attacks!": the title's own stop ends no sentence.
    for mark in phrase.tail:
        at += at < len(base) and base[at].text == mark
    return at


def _skip(base: Sequence[_Base], at: int, most: int, only: str) -> int:
    for _ in range(most):
        if at >= len(base) or is_word(base[at].text) or (only and base[at].text not in only):
            break
        at += 1
    return at


def _with_year(base: Sequence[_Base], end: int, rivals: Sequence[Phrase]) -> tuple[Phrase, int]:
    """Choose among titles by the year in brackets behind them, and take the year in."""
    said = [token.text for token in base[end : end + 3]]
    if len(said) == 3 and said[0] in "(（" and said[2] in ")）" and _YEAR.fullmatch(said[1]):
        for phrase in rivals:
            if phrase.year == int(said[1]):
                return phrase, end + 3
        return Phrase(words=(), kind="X", value=f"{said[1]} is not its year"), end + 3
    if {phrase.kind for phrase in rivals} == {"I", "H"}:
        return Phrase(words=(), kind="X", value="the item and a past item have this title"), end
    return rivals[0], end


def _plain_token(base: Sequence[_Base], at: int) -> tuple[Token, int]:
    token = base[at]
    kind, value, end = "word", "", at + 1
    said = token.text
    following = [other.text for other in base[at + 1 : at + 3]]
    if said[0] in "$€£¥￥" and len(said) > 1:
        kind, value = "P", said[1:].strip().replace(",", "")
    elif _DECADE.fullmatch(said) or (said.isdigit() and said.endswith("0") and following == ["年", "代"]):
        number = int(said.rstrip("s"))
        kind, value = "D", str(number if number > 99 else 1900 + number)
        end = at + 1 if said.endswith("s") else at + 3
    elif _YEAR.fullmatch(said):
        kind, value = "Y", said
    elif said[0].isdigit():
        kind, value = "N", said.replace(",", "")
    elif not is_word(said):
        kind = "punct"
    last = base[end - 1]
    return Token(text=said, start=token.start, end=last.end, kind=kind, value=value), end
