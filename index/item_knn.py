"""Item-based neighbours: items that were had by the same people, as shrunken cosines.

Sarwar et al. 2001, with the shrinkage of Bell & Koren 2007. It knows nothing of order or texts.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.ease import user_item_matrix
from tastemaker.index.item_item import ItemItemRetriever

_ROWS_AT_ONCE = 2_048


class ItemKNNRetriever(ItemItemRetriever):
    """Votes are similarities ``dot(i, j) / (norm(i) * norm(j) + shrinkage)``; the best ``neighbours`` stay.

    An item's vector has one entry per user who had it: 1, or with ``idf`` what a user with that many items
    says, ``ln(1 + items / items of the user)``.
    """

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        *,
        name: str = "item-knn",
        neighbours: int = 200,
        shrinkage: float = 10.0,
        idf: bool = True,
        length: int = 50,
        decay: float = 0.9,
    ) -> None:
        """Raises ValueError unless ``neighbours`` is above 0 and ``shrinkage`` at least 0."""
        if neighbours < 1 or shrinkage < 0:
            raise ValueError(f"neighbours {neighbours} must be above 0, shrinkage {shrinkage} at least 0")
        catalogue = catalogue if isinstance(catalogue, Catalogue) else Catalogue(catalogue)
        matrix = similarities(user_item_matrix(catalogue.dataset), neighbours, shrinkage, idf)
        super().__init__(catalogue, matrix, name=name, length=length, decay=decay)


def similarities(
    interactions: sparse.csr_array, neighbours: int, shrinkage: float, idf: bool
) -> sparse.csr_array:
    """(items, items) float32 with at most ``neighbours`` entries a row and none on the diagonal."""
    if idf:
        items_of_user = np.maximum(interactions.sum(axis=1), 1)
        weights = np.log1p(interactions.shape[1] / items_of_user).astype(np.float32)
        interactions = sparse.diags_array(weights) @ interactions
    by_item = sparse.csr_array(interactions.T, dtype=np.float32)
    norms = np.sqrt(by_item.multiply(by_item).sum(axis=1)).astype(np.float32)
    blocks = []
    for first in range(0, by_item.shape[0], _ROWS_AT_ONCE):
        block = (by_item[first : first + _ROWS_AT_ONCE] @ interactions).tocoo()
        row = block.row + first
        block.data /= norms[row] * norms[block.col] + np.float32(shrinkage)
        block.data[row == block.col] = 0.0
        blocks.append(_best_of_rows(block.tocsr(), neighbours))
    if not blocks:
        return sparse.csr_array((0, 0), dtype=np.float32)
    return sparse.csr_array(sparse.vstack(blocks, format="csr"), dtype=np.float32)


def _best_of_rows(matrix: sparse.csr_array, n: int) -> sparse.csr_array:
    """The ``n`` largest entries of each row above 0, ties by column."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    kept = order[(place < n) & (matrix.data[order] > 0)]
    best = sparse.coo_array(
        (matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape
    ).tocsr()
    best.sort_indices()
    return best
