"""What reads like the items of this history: neighbours in the space of item texts, item by item.

Where ``index.text_retriever`` asks for what is near the mean of a history, here each history item names its
own nearest, so that a sequel or another product of the same line is found though the rest of the history is
about something else. An item that nobody has had yet is found as well as any other.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from tastemaker.index.catalogue import Catalogue
from tastemaker.index.item_item import ItemItemRetriever, keep_largest
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray

MAX_ITEMS = 20_000
"""All pairs are compared: 4e8 of them, about 10 s on one core. Larger catalogues do without this part."""

_ROWS_AT_ONCE = 1_024


class AlikeRetriever(ItemItemRetriever):
    """Votes are ``exp((cosine - 1) / softness)`` of the ``neighbours`` nearest: 1 for an equal text.

    With the default softness a cosine of .85 votes .37 and one of .5 votes .04. Items that the index lacks
    neither vote nor are voted for; beyond ``max_items`` items it is silent.
    """

    reads = "words"

    def __init__(
        self,
        catalogue: Catalogue,
        index: ItemIndex,
        *,
        name: str = "alike",
        neighbours: int = 100,
        softness: float = 0.15,
        length: int = 20,
        decay: float = 0.8,
        max_items: int = MAX_ITEMS,
    ) -> None:
        """Raises ValueError unless ``neighbours`` and ``softness`` are above 0."""
        if neighbours < 1 or not softness > 0:
            raise ValueError(f"neighbours {neighbours} and softness {softness} must be above 0")
        size = len(catalogue)
        row = index.row_of(catalogue.dataset.item_ids)
        held = np.flatnonzero(row >= 0)
        if size > max_items or not len(held):
            matrix = sparse.csr_array((size, size), dtype=np.float32)
        else:
            small = nearest(index.vectors(row[held]), neighbours, softness).tocoo()
            places = (held[small.row], held[small.col])
            matrix = sparse.coo_array((small.data, places), shape=(size, size)).tocsr()
        super().__init__(catalogue, matrix, name=name, length=length, decay=decay)


def nearest(vectors: FloatArray, neighbours: int, softness: float) -> sparse.csr_array:
    """Votes of the class's docstring, sparse (n, n), none on the diagonal, for unit ``vectors`` (n, d)."""
    blocks = []
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        cosines = vectors[first : first + _ROWS_AT_ONCE] @ vectors.T
        own = np.arange(len(cosines))
        votes = np.exp((cosines - 1) / np.float32(softness))
        votes[own, first + own] = 0.0
        blocks.append(keep_largest(votes, neighbours))
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))
