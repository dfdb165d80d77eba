"""Domain packs: what a catalogue is about, in files. A new domain is a folder with a ``domain.yaml``.

A pack says what items are called and what is done with them, how much each event weighs, whether what a user
has had may come back, which values the fields of a situation usually have, what the columns of the catalogue
mean, and which words stand for values of it. The shipped ones lie in ``prompts/domains/NAME``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.types import CONTEXT_FIELDS, Language, freeze

FILE = "domain.yaml"
PLAIN_EVENTS = ("interaction", "rating", "rate")
"""These say that something was had, and no more."""

Unit = Literal["year", "minutes", "hours", "seconds", "money", "value"]


class Strict:
    """Unknown keys of a pack file are refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainWords(Strict):
    """What the items are called in one language, and what people do with them."""

    noun: str
    nouns: str
    verb: str
    history_line: str
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRole(Strict):
    """A quality that people ask for: the columns that may hold it, the first found one counts, and its unit.

    ``value``: texts to be named; the others: numbers to be compared.
    """

    columns: tuple[str, ...]
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain(Strict):
    """One domain pack.

    ``nouns``: further words for an item, by language. ``repeats``: what a user has had may be recommended
    again. ``events``: weight of an event's name beside a plain interaction at 1; below 0 it speaks against
    the item; those that hold in any domain are added. ``context``: usual values by field; others are read as
    they stand. ``concepts``: words, by language and value of the catalogue. ``lifts``: events so clearly for
    an item that they take back what was said against it before in the same session.
    """

    name: str
    words: Mapping[Language, DomainWords]
    nouns: Mapping[Language, tuple[str, ...]]
    repeats: bool
    events: Mapping[str, float]
    context: Mapping[str, tuple[str, ...]]
    fields: Mapping[str, FieldRole]
    concepts: Mapping[Language, Mapping[str, tuple[str, ...]]]
    lifts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("words", "nouns", "events", "context", "fields", "concepts"):
            object.__setattr__(self, name, freeze(getattr(self, name)))

    def weight(self, event: str) -> float:
        """The weight of an event of the data by its name, however it is written; 1 for an unknown one.

        Data name events as they like ("rating", "transaction"), and that each happened is sure.
        """
        return self.events.get(_event_key(event), 1.0)

    def said(self, event: str) -> float | None:
        """The weight of an event that was told in a session; None for an unknown one, which says nothing.

        Who says "flargle" of an item may mean the worst.
        """
        return self.weight(event) if self.knows(event) or _event_key(event) in PLAIN_EVENTS else None

    def takes_back(self, event: str) -> bool:
        """The event, which the pack weighs, lifts what was said against its item before."""
        return self.knows(event) and _event_key(event) in self.lifts

    def knows(self, event: str) -> bool:
        """The pack weighs this event."""
        return _event_key(event) in self.events


def _event_key(event: str) -> str:
    return event.strip().casefold().replace(" ", "_").replace("-", "_")


def shipped_domains() -> tuple[str, ...]:
    """Names of the domains that come with the package."""
    return tuple(sorted(one.name for one in _folder().iterdir() if (one / FILE).is_file()))


@cache
def load_domain(name: str) -> Domain:
    """A shipped domain by name, or one's own by its folder.

    Raises:
        ConfigError: there is none of that name, and no such folder with a ``domain.yaml``.
        ArtifactError: the file is damaged; the message names the key.
    """
    if name in shipped_domains():
        return parse_domain((_folder() / name / FILE).read_text(encoding="utf-8"), name)
    path = Path(name) / FILE
    if not path.is_file():
        raise ConfigError(
            f"domain {name!r} is unknown; known are {', '.join(shipped_domains())}",
            hint=f"or name a folder that holds a {FILE}",
        )
    try:
        return parse_domain(path.read_text(encoding="utf-8"), Path(name).name, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def parse_domain(text: str, name: str, place: str = "") -> Domain:
    """Read a pack from YAML and check it; ``place`` stands in the ArtifactError."""
    place = place or f"domains/{name}/{FILE}"
    try:
        values = yaml.safe_load(text)
        if not isinstance(values, dict):
            raise ValueError(f"it holds a {type(values).__name__}; lines of 'key: value' are wanted")
        domain: Domain = TypeAdapter(Domain).validate_python({**values, "name": name})
        domain = _with_common(domain)
        _check(domain)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ArtifactError(f"{place}: {' '.join(str(error).split())}") from error
    return domain


def _with_common(domain: Domain) -> Domain:
    """The pack with the events that hold in any domain behind its own."""
    text = (files("tastemaker.prompts") / "packs" / "events.yaml").read_text(encoding="utf-8")
    common = yaml.safe_load(text)
    return replace(
        domain,
        events={
            **domain.events,
            **{key: one for key, one in common["events"].items() if key not in domain.events},
        },
        lifts=(*domain.lifts, *common["lifts"]),
    )


def _check(domain: Domain) -> None:
    languages = get_args(Language)
    by_language: tuple[tuple[str, Mapping[Any, object]], ...] = (
        ("words", domain.words),
        ("nouns", domain.nouns),
        ("concepts", domain.concepts),
    )
    for key, found in by_language:
        if missing := set(languages) - set(found):
            raise ValueError(f"{key} has no {', '.join(sorted(missing))}")
    _check_events(domain)
    for field in domain.context:
        if field not in CONTEXT_FIELDS:
            raise ValueError(f"context: {field!r} is no field; known are {', '.join(CONTEXT_FIELDS)}")
    for role, meaning in domain.fields.items():
        if not meaning.columns:
            raise ValueError(f"fields: {role} names no columns")


def _check_events(domain: Domain) -> None:
    for event, weight in domain.events.items():
        if event != _event_key(event):
            raise ValueError(f"events: {event!r}: lower case with _ between words is wanted")
        if not math.isfinite(weight):
            raise ValueError(f"events: {event} weighs {weight}; a finite number is wanted")
    for event in domain.lifts:
        if domain.events.get(event, 1.0) <= 0:
            raise ValueError(f"lifts: {event!r} weighs {domain.events[event]}; a weight above 0 is wanted")


def _folder() -> Traversable:
    return files("tastemaker.prompts") / "domains"
