"""Sequences grouped by length, so that padding and memory stay bounded. Scoring and training use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def length_batches(
    lengths: Sequence[int], budget: int, *, pass_cost: int | None = None
) -> Iterator[list[int]]:
    """Indices grouped by similar length, longest first, so that count x longest stays within ``budget``.

    A single one that is longer than the budget stands alone. ``pass_cost`` is what one more batch costs, in
    tokens: where the padding of all that are left would cost more, a new batch begins. None: never.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        end = min(len(order), start + max(1, budget // longest))
        for stop in range(start + 1, end):
            padding = (longest - lengths[order[stop]]) * (len(order) - stop)
            if pass_cost is not None and padding > pass_cost:
                end = stop
                break
        yield order[start:end]
        start = end
