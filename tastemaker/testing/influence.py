"""A fake influence probe and a catalogue in memory, for tests of evidence and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tastemaker.types import Item, Ranking, Request


class MemoryCatalogue:
    """Items by id, in the order given."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = {item.id: item for item in items}

    def has_item(self, item_id: str) -> bool:
        return item_id in self._items

    def item(self, item_id: str) -> Item:
        return self._items[item_id]

    def iter_items(self) -> Iterator[Item]:
        return iter(self._items.values())


class TableInfluence:
    """Influence from a table: what a request lacks is worth ``table[piece]`` nats, or ``table[piece, item]``.

    Pieces are history ids (or titles), names of context fields, and "wish". Every call is kept in
    ``calls`` as the number of altered requests.
    """

    def __init__(self, table: Mapping[str | tuple[str, str], float]) -> None:
        self._table = dict(table)
        self.calls: list[int] = []

    def influence(
        self, request: Request, ranking: Ranking, altered: Sequence[Request]
    ) -> list[NDArray[np.float32]]:
        self.calls.append(len(altered))
        return [
            np.array(
                [
                    sum(self._worth(piece, entry.item.id) for piece in pieces_of(request) - pieces_of(other))
                    for entry in ranking.items
                ],
                dtype=np.float32,
            )
            for other in altered
        ]

    def _worth(self, piece: str, item_id: str) -> float:
        return self._table.get((piece, item_id), self._table.get(piece, 0.0))


def pieces_of(request: Request) -> set[str]:
    """Everything that can be taken away from a request."""
    history = {entry.item_id or entry.title for entry in request.history}
    return history | set(request.context.as_mapping()) | ({"wish"} if request.wish else set())
