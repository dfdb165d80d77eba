"""A fake influence probe and a catalogue in memory, for tests of evidence and explanations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from tastemaker.protocols import Effect
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

    Pieces are history ids (or titles), names of context fields, and "wish". Every call is kept in ``calls``
    as the number of altered requests that were read; ``reads``: whether a model has to read them at all.
    """

    def __init__(self, table: Mapping[str | tuple[str, str], float], *, reads: bool = False) -> None:
        self._table = dict(table)
        self.reads = reads
        self.calls: list[int] = []

    def must_read(self, request: Request, altered: Request) -> bool:
        return self.reads and altered != request

    def effects(
        self,
        request: Request,
        ranking: Ranking,
        altered: Sequence[Request],
        *,
        read: Collection[int] | None = None,
    ) -> list[Effect]:
        self.calls.append(len(altered) if read is None else len(read))
        return [self._effect(request, ranking, other) for other in altered]

    def _effect(self, request: Request, ranking: Ranking, other: Request) -> Effect:
        lacking = pieces_of(request) - pieces_of(other)
        falls = np.array(
            [sum(self._worth(piece, entry.item.id) for piece in lacking) for entry in ranking.items],
            dtype=np.float32,
        )
        return Effect(fall=falls, retrieval=falls, ranks=np.arange(1, len(falls) + 1))

    def _worth(self, piece: str, item_id: str) -> float:
        return self._table.get((piece, item_id), self._table.get(piece, 0.0))


def pieces_of(request: Request) -> set[str]:
    """Everything that can be taken away from a request."""
    history = {entry.item_id or entry.title for entry in request.history}
    return history | set(request.context.as_mapping()) | ({"wish"} if request.wish else set())
