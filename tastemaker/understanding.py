"""What a free wish was understood to say: a value that people can see and change before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tastemaker.types import Context, Filter, freeze

FACET_VALUES: Mapping[str, tuple[str, ...]] = {
    "weekday": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "day_type": ("workday", "weekend", "holiday"),
    "part_of_day": ("morning", "afternoon", "evening", "night"),
    "season": ("spring", "summer", "autumn", "winter"),
}
"""What a wish says of the time; these fields stand beside the named ones of a ``Context``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of the wish, ``text[start:end]``, and what it was read as: ``company=kids``, ``year<1990``."""

    start: int
    end: int
    kind: Literal["context", "filter", "exclude"]
    text: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """``text`` = what was said; ``wish`` = what no rule understood, which is searched for by meaning.

    ``context``: fields of the situation. ``filters``: hard conditions. ``exclude``: things that must not come
    back, values of the catalogue in lower case or words as they were said. ``notes``: what was understood
    and cannot be used, in words for the user.
    """

    text: str
    wish: str
    context: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[Filter, ...] = ()
    exclude: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", freeze(self.context))

    def situation(self, given: Context) -> tuple[Context, tuple[str, ...]]:
        """The given situation with what the wish says beside it, and a note where the two differ.

        What was given counts: a person or a program has said it on purpose.
        """
        known: dict[str, object] = dict(given.as_mapping())
        notes = []
        for name, value in self.context.items():
            before = known.get(name)
            if before is not None and str(before).casefold() != value:
                notes.append(f"{name} is {before!r} as given; the wish says {value!r}")
            known.setdefault(name, value)
        return Context.from_mapping(known), tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "wish": self.wish,
            "context": dict(self.context),
            "filters": [str(one) for one in self.filters],
            "exclude": list(self.exclude),
            "passages": [
                {
                    "start": one.start,
                    "end": one.end,
                    "kind": one.kind,
                    "text": one.text,
                    "meaning": one.meaning,
                }
                for one in self.passages
            ],
            "notes": list(self.notes),
        }
