"""What may be said about one item to one user: the licence that a text is checked against.

It is built from the item, the request and the cited evidence alone. Evidence is believed only as a
citation: a history entry must stand in the request's history, a fact must be the item's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tastemaker.agent.verify_titles import split_year
from tastemaker.types import Evidence, HistoryEntry, Item, Request, UserHistory


class Catalogue(Protocol):
    """Items by id (``tastemaker.data.dataset.Dataset``)."""

    def has_item(self, item_id: str) -> bool: ...

    def item(self, item_id: str) -> Item: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A past item that the evidence cites; ``item`` is None when the catalogue does not know it.

    ``entries`` are all events of the user with it, oldest first.
    """

    title: str
    entries: tuple[HistoryEntry, ...]
    item: Item | None
    influence: float | None

    @property
    def year(self) -> int | None:
        if self.item is not None and self.item.year is not None:
            return self.item.year
        return split_year(self.title)[1]

    @property
    def genres(self) -> frozenset[str]:
        return frozenset(self.item.genres) if self.item is not None else frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Everything a text about ``item`` may draw on."""

    item: Item
    request: Request
    evidence: tuple[Evidence, ...]
    cited: tuple[Cited, ...]
    liked_genres: Mapping[str, int]
    domain: str

    @property
    def history(self) -> UserHistory:
        return self.request.history

    def evidence_of(self, kind: str, ref: str | None = None) -> Evidence | None:
        for piece in self.evidence:
            if piece.kind == kind and (ref is None or piece.ref == ref):
                return piece
        return None


def is_rated_as_liked(history: UserHistory, entry: HistoryEntry, liking_events: frozenset[str]) -> bool:
    """Whether the data say that the user liked it: a rating in the upper part of the scale, or a like.

    Stricter than ``UserHistory.is_liked``, which takes an entry without a rating for liked.
    """
    if entry.value is not None and history.value_range is not None:
        return history.is_liked(entry)
    return entry.event.casefold() in liking_events


def history_ref(entry: HistoryEntry) -> str:
    """How evidence refers to an entry: by item id, or by title where the catalogue has no such item."""
    return entry.item_id if entry.item_id is not None else entry.title


def build_licence(
    item: Item,
    request: Request,
    evidence: Sequence[Evidence],
    *,
    catalogue: Catalogue,
    domain: str,
    liking_events: frozenset[str],
) -> Licence:
    by_ref: dict[str, list[HistoryEntry]] = {}
    for entry in request.history:
        by_ref.setdefault(history_ref(entry), []).append(entry)
    cited = []
    for piece in evidence:
        if piece.kind == "history" and piece.ref in by_ref:
            entries = tuple(by_ref[piece.ref])
            known = catalogue.item(piece.ref) if catalogue.has_item(piece.ref) else None
            title = known.display_title if known is not None else entries[0].title
            cited.append(Cited(title=title, entries=entries, item=known, influence=piece.influence))
    liked: dict[str, int] = {}
    for ref, entries_of in by_ref.items():
        if catalogue.has_item(ref) and any(
            is_rated_as_liked(request.history, entry, liking_events) for entry in entries_of
        ):
            for genre in catalogue.item(ref).genres:
                liked[genre] = liked.get(genre, 0) + 1
    return Licence(
        item=item,
        request=request,
        evidence=tuple(evidence),
        cited=tuple(cited),
        liked_genres=liked,
        domain=domain,
    )
