"""Token budgets with nothing but a counting function, always asked about many texts at once."""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.prompts.labels import CountTokens
from tastemaker.prompts.sanitise import shorten


def fit_texts(
    texts: Sequence[str], limits: Sequence[int], count_tokens: CountTokens
) -> tuple[list[str], int]:
    """Cut each text to its limit of tokens; return the texts and how many were cut.

    A cut text ends in "…" and counts at most its limit; a limit too small even for "…" gives "". All
    texts that are too long are bisected together, in about log2(longest text) calls.
    """
    counts = count_tokens(list(texts)) if texts else []
    long = [i for i, (count, limit) in enumerate(zip(counts, limits, strict=True)) if count > limit]
    # Text i cut to low[i] characters fits (0: the empty text), cut to high[i] it does not.
    low = dict.fromkeys(long, 0)
    high = {i: len(texts[i]) for i in long}
    while open_ := [i for i in long if high[i] - low[i] > 1]:
        middle = {i: (low[i] + high[i]) // 2 for i in open_}
        for i, count in zip(open_, count_tokens([shorten(texts[i], middle[i]) for i in open_]), strict=True):
            (low if count <= limits[i] else high)[i] = middle[i]
    out = list(texts)
    for i in long:
        out[i] = shorten(texts[i], low[i]) if low[i] else ""
    return out, len(long)


def newest_that_fit(counts: Sequence[int], budget: int) -> int:
    """How many entries from the end fit ``budget`` together."""
    kept, used = 0, 0
    for count in reversed(counts):
        used += count
        if used > budget:
            break
        kept += 1
    return kept
