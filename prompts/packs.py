"""Language packs: every word of the prompts beside the templates' own, one YAML file a language.

A pack knows words, not grammar: whatever is inserted stands uninflected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from tastemaker.clock import PartOfDay, Season
from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.prompts.domains import DomainWords, Strict, load_domain
from tastemaker.prompts.filling import placeholders
from tastemaker.types import CONTEXT_FIELDS, Language, freeze

GapUnit = Literal["hour", "day", "week", "month", "year"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps(Strict):
    units: Mapping[GapUnit, tuple[str, str]]
    later: str
    ago: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWords(Strict):
    weekdays: tuple[str, str, str, str, str, str, str]
    parts: Mapping[PartOfDay, str]
    moment: str
    weekend: str
    seasons: Mapping[Season, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldWords(Strict):
    """Phrases of a context field: the known values by lower-case name, and a pattern for any other."""

    known: Mapping[str, str]
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Strict):
    """All words of one language, for one domain. ``hash`` changes with every word of the language's file."""

    language: Language
    list_separator: str
    context_line: str
    wish_line: str
    ratings: tuple[str, str, str, str, str]
    events: Mapping[str, str]
    gaps: Gaps
    time: TimeWords
    context: Mapping[str, FieldWords]
    domain: DomainWords
    hash: str

    def __post_init__(self) -> None:
        for name in ("events", "context"):
            object.__setattr__(self, name, freeze(getattr(self, name)))

    def join(self, phrases: Iterable[str]) -> str:
        return self.list_separator.join(phrases)


@cache
def load_pack(language: Language, domain: str = "generic") -> Pack:
    """Return the shipped pack of ``language`` with the words of ``domain`` (a name or a folder).

    Raises:
        ConfigError: no such language or domain.
        ArtifactError: the file is damaged; the message names the key.
    """
    if language not in get_args(Language):
        known = ", ".join(get_args(Language))
        raise ConfigError(f"language {language!r} is unknown; known are {known}")
    name = f"packs/{language}.yaml"
    text = (files("tastemaker.prompts") / name).read_text(encoding="utf-8")
    return parse_pack(text, name, domain)


def parse_pack(text: str, name: str, domain: str = "generic") -> Pack:
    """Read a pack from YAML and check it; ``name`` stands in the ArtifactError."""
    try:
        values = dict(yaml.safe_load(text))
        digest = _hash(values)
        values |= {"domain": load_domain(domain).words[values["language"]], "hash": digest}
        pack = TypeAdapter(Pack).validate_python(values)
        _check(pack)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (yaml.YAMLError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"{name}: {' '.join(str(error).split())}") from error
    return pack


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _check(pack: Pack) -> None:
    _check_keys("gaps.units", pack.gaps.units, get_args(GapUnit))
    _check_keys("time.parts", pack.time.parts, get_args(PartOfDay))
    _check_keys("time.seasons", pack.time.seasons, get_args(Season))
    _check_keys("context", pack.context, (*CONTEXT_FIELDS, "extra"))
    for unit, (one, many) in pack.gaps.units.items():
        _check_pattern(f"gaps.units.{unit}", one, set())
        _check_pattern(f"gaps.units.{unit}", many, {"n"})
    _check_pattern("gaps.later", pack.gaps.later, {"gap"})
    _check_pattern("gaps.ago", pack.gaps.ago, {"gap"})
    _check_pattern("time.moment", pack.time.moment, {"weekday", "part"})
    _check_pattern("context_line", pack.context_line, {"value"})
    _check_pattern("wish_line", pack.wish_line, {"value"})
    for field, words in pack.context.items():
        wanted = {"key", "value"} if field == "extra" else {"value"}
        _check_pattern(f"context.{field}.other", words.other, wanted)


def _check_keys(name: str, found: Mapping[Any, object], wanted: Sequence[str]) -> None:
    if set(found) != set(wanted):
        raise ValueError(f"{name} has {', '.join(map(str, found))}; {', '.join(wanted)} are wanted")


def _check_pattern(name: str, pattern: str, wanted: set[str]) -> None:
    if placeholders(pattern) != wanted:
        raise ValueError(f"{name} is {pattern!r}; exactly {', '.join(sorted(wanted)) or 'no name'} is wanted")
