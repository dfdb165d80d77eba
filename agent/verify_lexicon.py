"""The closed vocabulary of the verifier, one file per language: ``prompts/packs/verifier.<language>.yaml``.

The files say which words claim nothing, how genres and times are named, and by which patterns a sentence
may tie the item to the user; they know no item and no user.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tastemaker.prompts.domains import load_domain
from tastemaker.types import Language

WEEKEND = frozenset({5, 6})
_ANY_EVENT = ("interaction", "rating", "review")
_TOKEN = re.compile(
    r"[㐀-䶿一-鿿豈-﫿]"  # one Chinese character
    r"|[$€£¥￥]\s?\d+(?:[.,]\d+)*"  # a price
    r"|\d+(?:[.,]\d+)*s?(?![^\W_])"  # a number, 1990s
    r"|'[^\W\d_㐀-䶿一-鿿豈-﫿]+"  # the end of it's, don't
    r"|[^\W_㐀-䶿一-鿿豈-﫿]+"  # a word
    r"|\S"
)
_PLAIN = str.maketrans({"’": "'", "‘": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " "})


def plain(text: str) -> str:
    """Typographic quotes and dashes as plain ones; the length stays the same."""
    return text.translate(_PLAIN)


def tokenize(text: str) -> list[re.Match[str]]:
    """Words, single Chinese characters, numbers, prices and single other characters."""
    return list(_TOKEN.finditer(plain(text)))


def words_of(text: str) -> tuple[str, ...]:
    """The tokens of ``text`` without punctuation, as written."""
    return tuple(found[0] for found in tokenize(text) if is_word(found[0]))


def is_word(token: str) -> bool:
    return any(character.isalnum() for character in token)


def number(text: str) -> float:
    """The value of a number as written; not a number (which equals nothing) for the likes of ``1.2.3``."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A pattern over masked tokens and the check that a match must pass."""

    check: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """A pattern that makes a sentence unsupported: always, or wherever no relation covers it."""

    reason: str
    always: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """One language's vocabulary. Words are casefolded; phrases are tuples of tokens."""

    neutral: frozenset[tuple[str, ...]]
    bound: frozenset[tuple[str, ...]]
    nouns: frozenset[str]
    sharing: frozenset[str]
    paired: frozenset[str]
    causal: tuple[str, ...]
    echo: frozenset[str]
    item_words: frozenset[str]
    liked: frozenset[str]
    context_words: Mapping[str, tuple[tuple[str, ...], ...]]
    makers: frozenset[str]
    negations: frozenset[str]
    genres: Mapping[str, tuple[tuple[str, ...], ...]]
    hours: Mapping[tuple[str, ...], tuple[int, int]]
    weekdays: Mapping[tuple[str, ...], frozenset[int]]
    months: Mapping[tuple[str, ...], int]
    numbers: Mapping[tuple[str, ...], int]
    decades: Mapping[tuple[str, ...], int]
    event_verbs: Mapping[str, frozenset[str]]
    domain_verbs: Mapping[str, str]
    liking_events: frozenset[str]
    attribute_cues: Mapping[str, frozenset[str]]
    relations: tuple[Relation, ...]
    forbidden: tuple[Forbidden, ...]

    def genre_names(self, genre: str) -> tuple[tuple[str, ...], ...]:
        """All ways to name a catalogue's genre: as the catalogue does, and in this language."""
        return (_phrase(genre), *self.genres.get(genre, ()))


@cache
def load_lexicon(language: Language, domain: str = "generic") -> Lexicon:
    """Read the shipped vocabulary of a language, with the nouns and the verb of a domain."""
    text = (files("tastemaker.prompts") / "packs" / f"verifier.{language}.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    weekdays = {
        _phrase(name): frozenset({day}) for day, names in enumerate(raw["weekdays"]) for name in names
    }
    weekdays |= {_phrase(name): WEEKEND for name in raw["weekend"]}
    weekdays |= {_phrase(name): frozenset(range(5)) for name in raw["weekday"]}
    nouns = {noun for one in ("generic", domain) for noun in load_domain(one).nouns[language]}
    verb = load_domain(domain).words[language].verb
    # "You played X" holds for whatever speaks for an item; a pack's own verbs may say more exactly what.
    done = {event for event, weight in load_domain(domain).events.items() if weight > 0}
    events = {verb: [*_ANY_EVENT, *done], **raw["event_verbs"]}
    macros = {**raw["macros"], "NOUN": _any_of(nouns), "VERB": _any_of([verb])}
    return Lexicon(
        neutral=frozenset(map(_phrase, [*raw["neutral"].split(), *raw["phrases"]])),
        bound=frozenset(map(_phrase, [*raw.get("bound", "").split(), verb])),
        nouns=frozenset(nouns),
        sharing=frozenset(raw["sharing"]),
        paired=frozenset(raw["paired"]),
        causal=tuple(raw["causal"]),
        echo=frozenset(raw["echo"]),
        item_words=frozenset(raw["item_words"]),
        liked=frozenset(raw["liked"]),
        context_words={value: tuple(map(_phrase, names)) for value, names in raw["context_words"].items()},
        makers=frozenset(raw["makers"]),
        negations=frozenset(raw["negations"]),
        genres={genre: tuple(map(_phrase, names)) for genre, names in raw["genres"].items()},
        hours={_phrase(name): (span[0], span[1]) for name, span in raw["hours"].items()},
        weekdays=weekdays,
        months={_phrase(name): month for month, names in enumerate(raw["months"], start=1) for name in names},
        numbers={_phrase(name): number for name, number in raw["numbers"].items()},
        decades={_phrase(name): decade for name, decade in raw["decades"].items()},
        event_verbs={verb: frozenset(events) for verb, events in events.items()},
        domain_verbs=raw["domain_verbs"],
        liking_events=frozenset(raw["liking_events"]),
        attribute_cues={cue: frozenset(keys) for cue, keys in raw["attribute_cues"].items()},
        relations=tuple(
            Relation(check=row["check"], pattern=_compile(row["pattern"], macros)) for row in raw["relations"]
        ),
        forbidden=tuple(
            Forbidden(
                reason=row["reason"],
                always=row.get("always", False),
                pattern=_compile(row["pattern"], macros),
            )
            for row in raw["forbidden"]
        ),
    )


def _any_of(words: Iterable[str]) -> str:
    """A pattern for each of these words; longer ones first, so that none hides behind its beginning."""
    return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=lambda one: (-len(one), one))) + ")"


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words_of(text))


def _compile(pattern: str, macros: Mapping[str, Any]) -> re.Pattern[str]:
    """Put the macros in; ``<H>`` stands for a masked token, which is written with its position: ``<H12>``."""
    while "{" in pattern:
        pattern = re.sub(r"\{(\w+)\}", lambda found: str(macros[found[1]]), pattern)
    return re.compile(r"(?<!\S)" + re.sub(r"<([A-Z])>", r"<\1\\d+>", pattern) + r"(?!\S)")
