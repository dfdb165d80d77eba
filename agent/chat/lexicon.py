"""The words that turns are recognised and answered by: ``prompts/packs/chat.<language>.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from tastemaker.agent.chat.kinds import ItemKind
from tastemaker.types import FilterOp, Language

Pattern = re.Pattern[str]
Verb = ItemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWords:
    """Compiled patterns and the sentences of the answers.

    ``whole``: turns that are nothing else. ``verbs``: in the order in which they are tried. ``ordinals``: by
    place, negative ones from the end. ``superlatives``: quality and end of it. ``critiques``: quality,
    operator and pattern. ``soft``: names of a kind that are a mood rather than a demand.
    """

    language: Language
    whole: Mapping[str, Pattern]
    verbs: Mapping[Verb, Pattern]
    deictic: Pattern
    other_one: Pattern
    all_shown: Pattern
    both: Pattern
    first_n: Pattern
    last_n: Pattern
    ordinals: tuple[tuple[int, Pattern], ...]
    bare_ordinals: tuple[tuple[int, Pattern], ...]
    numbered: Pattern
    bare_number: Pattern
    superlatives: tuple[tuple[str, Literal["min", "max"], Pattern], ...]
    one_of_kind: str
    critiques: tuple[tuple[str, FilterOp, Pattern], ...]
    same: Mapping[str, Pattern]
    soft_critique: Pattern
    than: Pattern
    clauses: Pattern
    compares: Pattern
    negated: Pattern
    releases: Pattern
    brand_words: Pattern
    brand_behind: Pattern
    single: Pattern
    on_purpose: Pattern
    corrects: Pattern
    either: Pattern
    not_with: Pattern
    clock: Pattern
    with_somebody: str
    greets: Pattern
    instead: Pattern
    also: Pattern
    lifts: tuple[Pattern, ...]
    lift_fields: Mapping[str, tuple[str, ...]]
    soft: frozenset[str]
    nouns_of_kind: str
    fillers: Pattern
    gibberish: Pattern
    off_topic: Pattern
    thanks: Pattern
    mended: frozenset[str]
    yes: Pattern
    says_yes: Pattern
    no: Pattern
    counts: Mapping[str, int]
    say: Mapping[str, Any]
    relations: Mapping[str, Mapping[str, str]]
    roles: Mapping[str, str]
    bounds: Mapping[str, Mapping[str, str]]


@cache
def load_chat_words(language: Language) -> ChatWords:
    text = (files("tastemaker.prompts") / "packs" / f"chat.{language}.yaml").read_text(encoding="utf-8")
    # Every scalar as text: YAML takes "no" and "yes" for truth values.
    raw: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    return ChatWords(
        language=language,
        whole={kind: any_of(patterns) for kind, patterns in raw["whole"].items()},
        verbs={verb: any_of(raw["verbs"][verb]) for verb in get_args(Verb)},
        deictic=any_of(raw["deictic"]),
        other_one=any_of(raw["other_one"]),
        all_shown=any_of(raw["all_shown"]),
        both=any_of(raw["both"]),
        first_n=re.compile(raw["first_n"]),
        last_n=re.compile(raw["last_n"]),
        ordinals=tuple((int(place), any_of(patterns)) for place, patterns in raw["ordinals"].items()),
        bare_ordinals=tuple(
            (int(place), any_of(patterns)) for place, patterns in raw["bare_ordinals"].items()
        ),
        numbered=re.compile(raw["numbered"]),
        bare_number=re.compile(raw["bare_number"]),
        superlatives=tuple(
            (role, end, any_of(patterns))
            for role, ends in raw["superlatives"].items()
            for end, patterns in ends.items()
        ),
        one_of_kind=raw["one_of_kind"],
        critiques=tuple(
            (role, op, any_of(patterns))
            for role, ways in raw["critiques"].items()
            for op, patterns in ways.items()
        ),
        same={role: any_of(patterns) for role, patterns in raw["same"].items()},
        soft_critique=any_of(raw["soft_critique"]),
        than=re.compile(raw["than"]),
        clauses=re.compile(raw["clauses"]),
        compares=any_of(raw["compares"]),
        negated=any_of(raw["negated"]),
        releases=any_of(raw["releases"]),
        brand_words=any_of(raw["brand_words"]),
        brand_behind=any_of(raw["brand_behind"]),
        single=any_of(raw["single"]),
        on_purpose=any_of(raw["on_purpose"]),
        corrects=any_of(raw["corrects"]),
        either=any_of(raw["either"]),
        not_with=any_of(raw["not_with"]),
        clock=any_of(raw["clock"]),
        with_somebody=raw["with_somebody"],
        greets=any_of(raw["greets"]),
        instead=any_of(raw["instead"]),
        also=any_of(raw["also"]),
        lifts=tuple(re.compile(pattern) for pattern in raw["lifts"]),
        lift_fields={field: tuple(names) for field, names in raw["lift_fields"].items()},
        soft=frozenset(raw["soft"]),
        nouns_of_kind=raw["nouns_of_kind"],
        fillers=_words(raw["fillers"], language),
        gibberish=any_of(raw["gibberish"]),
        off_topic=any_of(raw["off_topic"]),
        thanks=any_of(raw["thanks"]),
        mended=frozenset(raw["mended"]),
        yes=any_of(raw["yes"]),
        says_yes=any_of(raw["says_yes"]),
        no=any_of(raw["no_"]),
        counts={name: int(number) for name, number in raw["counts"].items()},
        say=raw["say"],
        relations=raw["relations"],
        roles=raw["roles"],
        bounds=raw["bounds"],
    )


def any_of(patterns: Iterable[str]) -> Pattern:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _words(words: Iterable[str], language: Language) -> Pattern:
    ordered = sorted(words, key=lambda word: (-len(word), word))
    either = "|".join(map(re.escape, ordered))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)" if language == "en" else f"(?:{either})")
