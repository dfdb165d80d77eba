"""The words of one language that the recogniser knows: ``prompts/packs/recognise.<language>.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tastemaker.types import FilterOp, Language

Pattern = re.Pattern[str]
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A pattern for a field's value; ``loose`` ones hold only where items are watched or heard."""

    field: str
    value: str
    pattern: Pattern
    loose: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Compiled word lists of one language. Lists of words became patterns, longer words first.

    ``vocabulary``: what a misspelt word may have meant. ``before`` and ``after``: comparisons in front of a
    number and behind it, by operator; ``year_before`` and ``year_after`` the same for years alone. ``days``:
    words for a day so many days on. ``counted``: nouns behind a number that is no price.
    ``denials`` stand in front of a situation that is not so, ``denials_of_phrases`` in front of one that
    begins with ``phrases_begin``, ``denials_of_times`` in front of times; ``stories``, ``past`` and
    ``greetings`` tell of situations that are not the present one.
    """

    language: Language
    situations: tuple[Said, ...]
    loose_in: frozenset[str]
    days: Mapping[int, Pattern]
    numbers: Mapping[str, int]
    units: Mapping[str, str]
    before: Mapping[FilterOp, Pattern]
    after: Mapping[FilterOp, Pattern]
    year_before: Mapping[FilterOp, Pattern]
    year_after: Mapping[FilterOp, Pattern]
    time_left: Pattern
    counted: Pattern
    around_before: Pattern
    around_after: Pattern
    turns: Pattern
    turns_behind: Pattern
    last_years: tuple[str, ...]
    decade_names: Mapping[str, int]
    negation: Pattern
    negation_behind: Pattern
    harmless: Pattern
    exceptions: Pattern
    fillers: Pattern
    ends: Pattern
    joins: Pattern
    generic: Pattern
    generic_before: Pattern
    denials: Pattern
    denials_of_phrases: Pattern
    denials_of_times: Pattern
    greetings: Pattern
    phrases_begin: Pattern
    without: Pattern
    stories: Pattern
    past: Pattern
    degrees: frozenset[str]
    pronouns: frozenset[str]
    vocabulary: frozenset[str]
    musts: Pattern
    must_after: Pattern
    origins: Pattern
    tails: Pattern

    def whole(self, pattern: str) -> Pattern:
        """The pattern between word boundaries, where the language has any."""
        return _compile(pattern, self.language)


@cache
def load_words(language: Language) -> Words:
    text = (files("tastemaker.prompts") / "packs" / f"recognise.{language}.yaml").read_text(encoding="utf-8")
    # Every scalar as text: YAML takes "no" and "on" for truth values.
    raw: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    macros: dict[str, str] = raw["macros"]

    def any_of(words: Iterable[str]) -> str:
        ordered = sorted(map(str, words), key=lambda word: (-len(word), word))
        return "(?:" + "|".join(_filled(word, macros) for word in ordered) + ")"

    def listed(name: str) -> Pattern:
        """Literal words."""
        return _compile(any_of(map(re.escape, map(str, raw[name]))), language)

    def at_end(words: Iterable[str]) -> Pattern:
        escaped = any_of(re.escape(str(word)) for word in words)
        edge = r"(?<!\w)" if language == "en" else ""
        return re.compile(f"{edge}{escaped}\\s*$") if words else _NOTHING

    def at_start(words: Iterable[str]) -> Pattern:
        escaped = any_of(re.escape(str(word)) for word in words)
        edge = r"(?!\w)" if language == "en" else ""
        return re.compile(f"\\s*{escaped}{edge}") if words else _NOTHING

    def patterns(name: str) -> Pattern:
        return _compile(any_of(raw[name]), language) if raw[name] else _NOTHING

    def ending(name: str) -> Pattern:
        """At the end of what stands before."""
        edge = r"(?<!\w)" if language == "en" else ""
        return re.compile(rf"{edge}{any_of(raw[name])}\s*$") if raw[name] else _NOTHING

    situations = [
        Said(field=field, value=value, pattern=_compile(_filled(pattern, macros), language), loose=loose)
        for part, loose in (("context", False), ("loose", True))
        for field, values in raw[part].items()
        for value, patterns in values.items()
        for pattern in patterns
    ]
    return Words(
        language=language,
        situations=tuple(situations),
        loose_in=frozenset(raw["loose_in"]),
        days={int(days): _compile(any_of(names), language) for days, names in raw["days_from_now"].items()},
        numbers={name: int(number) for name, number in raw["numbers"].items()},
        units={str(name): unit for unit, names in raw["units"].items() for name in names},
        before={op: at_end(names) for op, names in raw["before"].items()},
        after={op: at_start(names) for op, names in raw["after"].items()},
        year_before={op: at_end(names) for op, names in raw.get("year_before", {}).items()},
        year_after={op: at_start(names) for op, names in raw.get("year_after", {}).items()},
        time_left=at_end(raw["time_left"]),
        counted=at_start(raw["counted"]),
        around_before=at_end(raw["around"]),
        around_after=at_start(raw["around"]),
        turns_behind=re.compile(rf"\s*{any_of(raw['turns_behind'])}"),
        turns=at_end(raw["turns"]) if raw["turns"] else _NOTHING,
        last_years=tuple(raw["last_years"]),
        decade_names={name: int(number) for name, number in raw["decade_names"].items()},
        negation=_compile(any_of(raw["negations"]), language),
        negation_behind=re.compile(any_of(raw["negations_behind"])),
        harmless=_compile(any_of(raw["harmless"]), language),
        exceptions=patterns("exceptions"),
        fillers=at_start(raw["fillers"]),
        ends=at_start(raw["ends"]),
        joins=re.compile(
            r"\s*"
            + any_of(re.escape(word) for word in raw["joins"])
            + (r"(?!\w)" if language == "en" else "")
        ),
        generic=at_end(raw["generic"]),
        generic_before=at_start(raw["generic"]),
        denials=ending("denials"),
        denials_of_phrases=ending("denials_of_phrases"),
        denials_of_times=ending("denials_of_times"),
        greetings=patterns("greetings"),
        phrases_begin=at_start(raw["phrases_begin"]),
        without=patterns("without"),
        stories=patterns("stories"),
        past=patterns("past"),
        degrees=frozenset(map(str, raw["degrees"])),
        pronouns=frozenset(raw["pronouns"]),
        vocabulary=_vocabulary(raw) if language == "en" else frozenset(),
        musts=_compile(any_of(raw["musts"]), language),
        must_after=at_start(raw["must_after"]),
        origins=_compile(any_of(raw["origins"]), language),
        tails=listed("tails"),
    )


def _vocabulary(raw: Mapping[str, Any]) -> frozenset[str]:
    """Words of five letters and more of all lists, and the values' own names."""
    lists = ("before", "after", "units", "days_from_now")
    texts = [str(word) for name in lists for words in raw[name].values() for word in words]
    texts += [
        *raw["turns"],
        *raw["numbers"],
        *raw["decade_names"],
        *raw["macros"].values(),
        "between",
        "without",
    ]
    for part in ("context", "loose"):
        for values in raw[part].values():
            texts += [text for value, patterns in values.items() for text in (value, *patterns)]
    found = {
        word for text in texts for word in re.findall(r"(?<![\\\w\[])[a-z]{5,}", text.replace("(?:s)?", ""))
    }
    # "sundays?" is "sunday" as well.
    return frozenset(found | {word[:-1] for word in found if word.endswith("s") and len(word) > 5})


def _filled(pattern: str, macros: Mapping[str, str]) -> str:
    while True:
        filled = re.sub(
            r"\{([A-Z]+)\}", lambda found: macros.get(found[1], found[0].replace("{", "{ ")), pattern
        )
        if filled == pattern:
            return filled
        pattern = filled


def _compile(pattern: str, language: Language) -> Pattern:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)" if language == "en" else f"(?:{pattern})")
