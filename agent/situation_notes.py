"""What of a situation and of a session's events is not used as it was meant, in words for whoever asked.

None of it is an error: a language model reads any value as words. But nothing was ever learned of a value
that neither the domain nor the data know, and without a model nobody reads it at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain, load_domain
from tastemaker.prompts.packs import Pack, load_pack
from tastemaker.prompts.words import MAX_EXTRA_FIELDS
from tastemaker.types import Context
from tastemaker.understanding import FACET_VALUES

_SHOWN = 40
"""Characters of a strange value that a note repeats."""

_LISTED = 12
"""Known values or names that a note lists."""


def situation_notes(
    situation: Context, dataset: Dataset, domain: str, *, words_read: bool = True
) -> tuple[str, ...]:
    """A note for every field or value that is not used as the domain's and the data's own are.

    Args:
        words_read: a language model reads the situation.
    """
    known = _Known.of(dataset, domain)
    beyond = list(situation.extra)[MAX_EXTRA_FIELDS:]
    notes, unread = [], []
    for name, value in situation.as_mapping().items():
        if name == "time" or known.counts(name, value):
            continue
        if name in beyond:
            unread.append(name)
        elif note := _note(name, value, known, words_read=words_read):
            notes.append(note)
    if unread:
        notes.append(
            f"{len(unread)} fields behind the first {MAX_EXTRA_FIELDS} of one's own are not read: "
            f"{_listed(map(_shown, unread))}"
        )
    return tuple(notes)


def event_notes(events: Iterable[tuple[str, str]], pack: Domain) -> tuple[str, ...]:
    """A note for every name among the events (item, name) that the domain does not know."""
    unknown = Counter(name for _, name in events if pack.said(name) is None)
    return tuple(
        f"event {_shown(name)} is none that the domain {pack.name} knows, and says nothing of its "
        f"{'item' if times == 1 else f'{times} items'}; known are {_listed(pack.events, 20)}"
        for name, times in unknown.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the domain, its words and the data know of situations, by field."""

    domain: Domain
    words: Pack
    columns: Mapping[str, Collection[str]]
    facets: Collection[str]
    """Facets of the clock that retrieval reads, as the data have times."""

    @classmethod
    def of(cls, dataset: Dataset, domain: str) -> _Known:
        pack = load_domain(domain)
        timed = dataset.interactions["timestamp"].null_count < dataset.interactions.num_rows
        situated = bool(dataset.context_columns) or pack.repeats
        return cls(
            domain=pack,
            words=load_pack("en", domain),
            columns={name.lower(): values for name, values in dataset.context_values.items()},
            facets=[name for name in FACET_VALUES if timed and (situated or name != "season")],
        )

    def counts(self, name: str, value: str) -> bool:
        """Retrieval has counted events in this situation."""
        told = value.lower()
        facet = name in self.facets and told in FACET_VALUES[name]
        return facet or told in self.columns.get(name, ())

    def usual(self, name: str) -> set[str]:
        values = self.domain.context.get(name, ()), FACET_VALUES.get(name, ()), self.columns.get(name, ())
        return {one for some in values for one in some}

    def knows(self, name: str, value: str) -> bool:
        phrases = self.words.context[name].known if name in self.words.context else {}
        return value.casefold() in {*self.usual(name), *phrases}


def _note(name: str, value: str, known: _Known, *, words_read: bool) -> str:
    """What is to be said of a value that retrieval does not count; "" where it is known and read."""
    use = "read as words" if words_read else "without a language model nothing reads it"
    usual = known.usual(name)
    if known.knows(name, value):
        if words_read:
            return ""
        lack = "have no such value" if name in known.columns else f"tell of no {_shown(name)}"
        return f"{name} {_shown(value)} changes nothing: the data {lack}, and {use}"
    if usual:
        values = _listed(sorted(usual))
        return f"{name} {_shown(value)} is no value that the domain or the data know ({values}); {use}"
    return f"{_shown(name)} is no field that the domain or the data know; {use}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _listed(names: Iterable[str], most: int = _LISTED) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (" …" if len(every) > most else "")
