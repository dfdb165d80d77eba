"""EASE: an item-item regression in closed form (Steck 2019, "Embarrassingly Shallow Autoencoders").

With X (users, items) of zeros and ones, B minimises ``|X - X B|^2 + l2 |B|^2`` under a zero diagonal:
``B = -P / diag(P)`` (columns) with ``P = (X'X + l2 I)^-1``. It knows which items were had by the same people,
nothing of order, times, ratings or texts; order comes in when a history votes, the latest items loudest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from tastemaker.data.dataset import Dataset
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.item_item import ItemItemRetriever, keep_largest
from tastemaker.protocols import FloatArray

MAX_ITEMS = 15_000
"""Items that the regression takes, the most popular ones: its matrix has 4 bytes for each pair (0.9 GB) and
is inverted in place, about n^3 operations (3.4e12: 45 s on one core at 75 GFLOP/s)."""

_ROWS_AT_ONCE = 1_024


class EaseRetriever(ItemItemRetriever):
    """Votes are the regression weights B. ``l2`` is the penalty in units of events.

    Beyond ``max_items`` items the most popular ones take part; others are never retrieved by this part. Of
    each item's weights the ``neighbours`` largest in size are kept, positive or negative.
    """

    def __init__(
        self,
        catalogue: Catalogue | Dataset,
        *,
        name: str = "ease",
        l2: float = 200.0,
        neighbours: int = 400,
        length: int = 50,
        decay: float = 0.9,
        max_items: int = MAX_ITEMS,
    ) -> None:
        """Raises ValueError unless ``l2``, ``neighbours`` and ``max_items`` are above 0."""
        if not (l2 > 0 and neighbours > 0 and max_items > 0):
            raise ValueError(f"l2 {l2}, neighbours {neighbours} and max_items {max_items} must be above 0")
        catalogue = catalogue if isinstance(catalogue, Catalogue) else Catalogue(catalogue)
        matrix = _ease_matrix(catalogue.dataset, l2, neighbours, max_items)
        super().__init__(catalogue, matrix, name=name, length=length, decay=decay)


def _ease_matrix(dataset: Dataset, l2: float, neighbours: int, max_items: int) -> sparse.csr_array:
    """B over all items (n_items, n_items), row = the history's item; empty rows for items left out."""
    size = len(dataset.item_ids)
    counts = dataset.item_counts
    chosen = np.sort(np.argsort(-counts, kind="stable")[: min(max_items, int((counts > 0).sum()))])
    if not len(chosen):
        return sparse.csr_array((size, size), dtype=np.float32)
    weights = ease_weights(user_item_matrix(dataset)[:, chosen], l2)
    parts = [
        keep_largest(weights[first : first + _ROWS_AT_ONCE], neighbours)
        for first in range(0, len(chosen), _ROWS_AT_ONCE)
    ]
    small = sparse.vstack(parts, format="coo")
    places = (chosen[small.row], chosen[small.col])
    matrix = sparse.coo_array((small.data, places), shape=(size, size)).tocsr()
    matrix.sort_indices()
    return matrix


def ease_weights(interactions: sparse.csr_array, l2: float) -> FloatArray:
    """B of the module's docstring, float32 (items, items), for float32 ``interactions`` (users, items)."""
    # The transposed view of a symmetric matrix is itself, in the column order that LAPACK works on in place.
    gram: NDArray[np.float32] = (interactions.T @ interactions).toarray().astype(np.float32, copy=False).T
    gram[np.diag_indices_from(gram)] += np.float32(l2)
    # Cholesky and inverse in place: a third of the time of a general inverse and one matrix in memory.
    factor, failed = linalg.lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse: FloatArray
    inverse, failed_too = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    if failed or failed_too:
        raise ValueError(f"the regression has no solution: LAPACK reports {failed or failed_too}")
    _mirror_lower(inverse)
    diagonal = np.diagonal(inverse).copy()
    inverse /= -diagonal
    inverse[np.diag_indices_from(inverse)] = 0.0
    return inverse


def _mirror_lower(matrix: FloatArray) -> None:
    """Copy the part below the diagonal above it, some rows at a time."""
    for first in range(0, len(matrix), _ROWS_AT_ONCE):
        last = first + _ROWS_AT_ONCE
        block = matrix[first:last, first:last]
        block[:] = np.tril(block) + np.tril(block, -1).T
        matrix[first:last, last:] = matrix[last:, first:last].T


def user_item_matrix(dataset: Dataset) -> sparse.csr_array:
    """Zeros and ones, float32 (users, items): who had what."""
    codes = dataset.codes()
    pairs = np.unique(np.stack([codes.user, codes.item], axis=1), axis=0)
    shape = (len(dataset.user_ids), len(dataset.item_ids))
    return sparse.coo_array((np.ones(len(pairs), np.float32), pairs.T), shape=shape).tocsr()
