"""A text with every known thing in it replaced by a tag, so that few patterns read what is said of it.

Tags are ``‹i›`` (the recommended item), ``‹tN›`` (another title), ``‹gN›`` (a label), ``‹pN›`` (a name),
``‹cN›`` (a word of context), ``‹qN›`` (a quotation), ``‹yN›`` and ``‹dN›`` (a year, a decade: N itself).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tastemaker.eval.second_checker.titles import CJK, NameIndex, Shelf, Token, Tokens, norms_of, tokens_of
from tastemaker.eval.second_checker.words import (
    CALENDAR_WORDS,
    CHINESE_DIGITS,
    COMMON_WORDS,
    DECADE_WORDS,
    FUNCTION_WORDS,
    NEUTRAL_WORDS,
    NUMBER_WORDS,
    PLAIN_CONTEXT,
)

TAG = re.compile(r"‹([a-z])(\d*)›")

_QUOTED = re.compile(r"《([^《》]{1,300})》|“([^“”]{1,300})”|「([^「」]{1,300})」|\"([^\"]{1,300})\"")
_YEAR_BEHIND = re.compile(r"[\s!?.…)\]'’*]*[(（](-?\d{3,4})[)）]")
_STOP = re.compile(r"[.!?]+[\"”’)]*(?=\s|$)|[。！？]+[”」)）]*|\n+")
_ABBREVIATION = re.compile(r"(?:\b(?:dr|mr|mrs|ms|vs|st|jr|sr|no|vol|e\.g|i\.e)|\b[a-z])$", re.I)
_VERB_AHEAD = re.compile(
    r"[”\"’]?\s+(?:is|was|has|had|came|comes|and|or|would|could|might|may|will|should|can|suits|fits|shares)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A known thing in the text. ``ids`` for titles, ``value`` for names, quotations and unknown words."""

    start: int
    end: int
    kind: str
    value: str
    ids: tuple[str, ...] = ()
    year: int | None = None


@dataclass(slots=True, kw_only=True)
class Masked:
    """A sentence with tags; the lists hold what the tags stand for."""

    sentence: str
    text: str = ""
    titles: list[Span] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    contexts: list[tuple[str, str]] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    chinese: bool = False


class Finder:
    """Finds titles and names in texts about one item and one history."""

    def __init__(self, shelf: Shelf, own: Sequence[NameIndex[str]]) -> None:
        self._shelf = shelf
        self._own = own

    def spans(self, text: str) -> list[Span]:
        """Titles, names and quotations of ``text`` in order; none overlaps another."""
        tokens = tokens_of(text)
        norms = tuple(token.norm for token in tokens)
        quotes = {match.start(): match for match in _QUOTED.finditer(text)}
        spans: list[Span] = []
        position = covered = 0
        while position < len(tokens):
            token = tokens[position]
            quote = next((quotes[at] for at in quotes if covered <= at < token.start), None)
            if quote is not None:
                del quotes[quote.start()]
                spans.append(self._quoted(text, quote))
            else:
                found = self._title(text, tokens, norms, position) or self._name(
                    text, tokens, norms, position
                )
                if found is not None:
                    spans.append(found)
                elif self._is_unknown_name(text, token):
                    spans.append(
                        Span(start=token.start, end=token.end, kind="u", value=text[token.start : token.end])
                    )
            if spans and spans[-1].end > covered:
                covered = spans[-1].end
            position += 1
            while position < len(tokens) and tokens[position].start < covered:
                position += 1
        return spans

    def _quoted(self, text: str, quote: re.Match[str]) -> Span:
        inner = next(group for group in quote.groups() if group is not None)
        ids, year = self._ids_of_title(inner)
        end = quote.end()
        if ids and year is None:
            year, end = _year_behind(text, end)
        if ids:
            return Span(start=quote.start(), end=end, kind="t", value=inner, ids=ids, year=year)
        kind = "x" if quote[0].startswith("《") else "q"
        return Span(start=quote.start(), end=quote.end(), kind=kind, value=inner)

    def _ids_of_title(self, title: str) -> tuple[tuple[str, ...], int | None]:
        match = re.search(r"\s*[(（](-?\d{3,4})[)）]\s*[.,]?$", title)
        bare = title if match is None else title[: match.start()]
        run = norms_of(bare)
        year = None if match is None else int(match[1])
        ids = [one for index in (*self._own, self._shelf.titles) for one in index.get(run)]
        return tuple(dict.fromkeys(ids)), year

    def _title(self, text: str, tokens: Sequence[Token], norms: Tokens, position: int) -> Span | None:
        """The longest run of words from ``position`` on that is a title and reads as one."""
        found: dict[int, tuple[list[str], bool]] = {}
        for index, own in (*((one, True) for one in self._own), (self._shelf.titles, False)):
            for length, ids in index.at(norms, position):
                before, was_own = found.get(length, ([], False))
                found[length] = ([*before, *ids], own or was_own)
        for length in sorted(found, reverse=True):
            ids, own = found[length]
            run = tokens[position : position + length]
            year, end = _year_behind(text, run[-1].end)
            if year is not None or _reads_as_title(text, run, own=own):
                value = text[run[0].start : run[-1].end]
                end = end if year is not None else self._with_mark(text, end, ids)
                return Span(start=run[0].start, end=end, kind="t", value=value, ids=tuple(ids), year=year)
        return None

    def _with_mark(self, text: str, end: int, ids: Sequence[str]) -> int:
        """``end``, moved behind the mark that a title of these ends with: "Airplane!"."""
        for item_id in ids:
            item = self._shelf.items.get(item_id)
            mark = re.search(r"[!?.…]+$", item.title) if item is not None else None
            if mark is not None and text.startswith(mark[0], end):
                return end + len(mark[0])
        return end

    def _name(self, text: str, tokens: Sequence[Token], norms: Tokens, position: int) -> Span | None:
        for length, values in self._shelf.names.at(norms, position):
            run = tokens[position : position + length]
            words = [text[token.start : token.end] for token in run]
            if set(norms[position : position + length]) <= COMMON_WORDS | NEUTRAL_WORDS:
                continue
            if all(word[0].isupper() or not word.isascii() or len(word) < 4 for word in words):
                return Span(start=run[0].start, end=run[-1].end, kind="p", value=values[0])
        return None

    def _is_unknown_name(self, text: str, token: Token) -> bool:
        """A capitalised word inside a sentence that names nothing known."""
        word = text[token.start : token.end]
        if not word[0].isupper() or word in ("I", "TV") or token.norm in COMMON_WORDS | NEUTRAL_WORDS:
            return False
        if next(iter(self._shelf.labels.at((token.norm,), 0)), None) is not None:
            return False
        before = text[: token.start].rstrip('‘’"“(「 ')
        return bool(before) and before[-1] not in ".!?。！？:：\n;"


def _year_behind(text: str, end: int) -> tuple[int | None, int]:
    match = _YEAR_BEHIND.match(text, end)
    return (None, end) if match is None else (int(match[1]), match.end())


def _reads_as_title(text: str, run: Sequence[Token], *, own: bool) -> bool:
    """Whether words that are a title are meant as one: by their capitals, their number and their place."""
    words = [text[token.start : token.end] for token in run]
    telling = [word for word, token in zip(words, run, strict=True) if token.norm not in COMMON_WORDS]
    before = text[: run[0].start].rstrip()
    starts = not before or before[-1] in ".!?。！？"
    if not telling:
        # "You liked It": a capital where none is due, and the name of no day.
        named = all(word[0].isupper() and len(word) > 1 for word in words)
        return own and not starts and named and not {token.norm for token in run} & CALENDAR_WORDS
    if all(word.isdigit() for word in telling):
        return False
    capitals = all(not word.isascii() or not word[0].isalpha() or word[0].isupper() for word in telling)
    if len(telling) == 1 and len(run) <= 2:
        common = run[0].norm in NEUTRAL_WORDS
        free = (own and not common) or not starts or _VERB_AHEAD.match(text, run[-1].end) is not None
        return capitals and free
    return (capitals and words[0][:1].isupper()) or (own and len(telling) >= 2) or len(telling) >= 4


def sentences_of(text: str, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Bounds of the sentences, which cover the text. A stop inside a title or a quotation ends none."""
    inside = [(span.start, span.end) for span in spans if span.kind in "tqx"]
    bounds, start = [], 0
    for stop in _STOP.finditer(text):
        ahead = text[stop.end() :].lstrip()
        # The mark of "Airplane!" ends a sentence, too, where a new one seems to begin.
        last = 0 if ahead[:1].isdigit() or ahead[:1].islower() else 1
        if any(low <= stop.start() < high - last for low, high in inside):
            continue
        if stop[0][0] in ".!?" and (
            (_ABBREVIATION.search(text[max(start, stop.start() - 12) : stop.start()]) and stop[0] == ".")
            or ahead[:1].islower()
        ):
            # "Mars Attacks! is …" and "Dr. No" go on.
            continue
        end = stop.end() + len(text[stop.end() :]) - len(ahead)
        if text[start:end].strip():
            bounds.append((start, end))
            start = end
    if text[start:].strip():
        bounds.append((start, len(text)))
    elif bounds:
        bounds[-1] = (bounds[-1][0], len(text))
    return bounds


_CONTRACTIONS = (
    (re.compile(r"\bcan['’]t\b"), "can not"),
    (re.compile(r"\bcannot\b"), "can not"),
    (re.compile(r"\bwon['’]t\b"), "will not"),
    (re.compile(r"n['’]t\b"), " not"),
    (re.compile(r"['’]ve\b"), " have"),
    (re.compile(r"['’]re\b"), " are"),
    (re.compile(r"['’]ll\b"), " will"),
    (re.compile(r"['’]d\b"), " would"),
    (re.compile(r"\b(it|this|that|here|there)['’]s\b"), r"\1 is"),
)
_DECADE = re.compile(
    r"(?:上世纪|20世纪)?(?:(?P<long>(?:1[89]|20)\d0)['’]?s|(?P<han>(?:1[89]|20)\d0)年代|"
    r"(?<![\d$.])['’]?(?P<short>\d0)['’]?s|(?P<zh>[二三四五六七八九])十年代|(?P<zhn>\d0)年代|"
    rf"\b(?P<word>{'|'.join(DECADE_WORDS)})\b)"
)
_YEAR = re.compile(r"(?<![\d.$€£‹yd])((?:1[89]|20)\d\d)(?![\d.]\d|\d)(年代?)?")
_CONTEXT = re.compile(
    "(?<![a-z])(?:"
    + "|".join(
        f"(?P<{name}_{value}>{pattern})"
        for name, values in PLAIN_CONTEXT.items()
        for value, pattern in values.items()
    )
    + ")(?![a-z])"
)
_ITEM_WORDS = re.compile(
    r"\b(?:it|its|itself|this|these|the (?:film|movie|product|book|item|album|course))(?![\w])(?! of\b)"
    r"|它们?|这部|这款|这件|这本|这首|这张|该片|该部|本片|此片|该商品|这(?!样|一点|种|里|些|两|几)"
)
# "Your history" is no genre.
_OWN_HISTORY = re.compile(r"(?<=\byour )(?:(?:viewing|watch|reading|purchase|rating) )?history\b")
_NUMBERS = re.compile(
    rf"\b({'|'.join(word for word in NUMBER_WORDS if word != 'one')}|one(?= (?:star|year)\b))\b"
)


def mask(text: str, start: int, end: int, spans: Sequence[Span], shelf: Shelf) -> Masked:
    """The sentence ``text[start:end]`` with tags for ``spans`` and for what its words name."""
    out = Masked(sentence=text[start:end])
    pieces, at = [], start
    for span in spans:
        if span.start < start or span.end > end:
            continue
        pieces += [_plain(text[at : span.start]), _tag_span(span, out)]
        at = span.end
    pieces.append(_plain(text[at:end]))
    bare = "".join(pieces)
    out.chinese = re.search(f"[{CJK}]", bare) is not None
    out.text = _tag_words(bare, out, shelf)
    return out


def _plain(text: str) -> str:
    lowered = text.lower().replace("‹", " ").replace("›", " ")
    for pattern, full in _CONTRACTIONS:
        lowered = pattern.sub(full, lowered)
    return lowered


def _tag_span(span: Span, out: Masked) -> str:
    if span.kind == "t":
        out.titles.append(span)
        return f" ‹t{len(out.titles) - 1}› "
    if span.kind in "ux":
        out.unknown.append(span.value)
        return f" ‹u{len(out.unknown) - 1}› "
    store, kind = (out.names, "p") if span.kind == "p" else (out.quotes, "q")
    store.append(span.value)
    return f" ‹{kind}{len(store) - 1}› "


def _tag_words(text: str, out: Masked, shelf: Shelf) -> str:
    text = _OWN_HISTORY.sub("past", text)
    text = _DECADE.sub(lambda match: f" ‹d{_decade(match)}› ", text)
    text = _YEAR.sub(r" ‹y\1› ", text)
    text = _CONTEXT.sub(lambda match: _tag_context(match, out), text)
    pieces = re.split(r"(‹\w+›)", text)
    text = "".join(piece if piece.startswith("‹") else _tag_labels(piece, out, shelf) for piece in pieces)
    text = re.sub(r"\bthis (?= ?‹c)", " ", text)
    text = _ITEM_WORDS.sub(" ‹i› ", text)
    text = _NUMBERS.sub(lambda match: NUMBER_WORDS[match[1]], text)
    return re.sub(r"\s+", " ", text).strip()


def _decade(match: re.Match[str]) -> int:
    if long := match["long"] or match["han"]:
        return int(long)
    if match["word"]:
        value = DECADE_WORDS[match["word"]]
        return value if value > 100 else 1900 + value
    tens = int(match["short"] or match["zhn"] or CHINESE_DIGITS[match["zh"]] * 10)
    return 1900 + tens if tens >= 20 else 2000 + tens


def _tag_context(match: re.Match[str], out: Masked) -> str:
    name, value = str(match.lastgroup).split("_", 1)
    out.contexts.append((name, value))
    return f" ‹c{len(out.contexts) - 1}› "


def _tag_labels(text: str, out: Masked, shelf: Shelf) -> str:
    tokens = tokens_of(text)
    norms = tuple(token.norm for token in tokens)
    pieces, at, position = [], 0, 0
    while position < len(tokens):
        found = next(iter(shelf.labels.at(norms, position)), None)
        if found is None or norms[position] in FUNCTION_WORDS:
            position += 1
            continue
        length, keys = found
        out.labels.append(keys[0])
        pieces += [text[at : tokens[position].start], f" ‹g{len(out.labels) - 1}› "]
        at = tokens[position + length - 1].end
        position += length
    return "".join([*pieces, text[at:]])


def words_named(text: str, shelf: Shelf) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Keys of the labels that ``text`` names, and its words of context as ``(field, value)``."""
    out = Masked(sentence=text)
    _tag_words(_plain(text), out, shelf)
    return frozenset(out.labels), frozenset(out.contexts)
