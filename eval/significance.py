"""How sure a difference is: bootstrap intervals and a paired randomisation test over users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

PerUser = NDArray[np.float64]
_DRAWN = 2_000_000  # numbers drawn at once, 16 MB of int64: about 90 resamples of Beauty's users


def bootstrap_intervals(
    columns: Mapping[str, PerUser], *, seed: int, resamples: int = 2_000, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval of the mean of every column (n,), users resampled (Efron 1979).

    All columns are of the same users and share the resamples.
    """
    values = np.stack(list(columns.values()), axis=1)
    if values.shape[0] == 0:
        raise ValueError("no users to resample")
    generator = np.random.default_rng(seed)
    users = values.shape[0]
    means = np.empty((resamples, values.shape[1]))
    for start, rows in _chunks(resamples, users):
        picks = generator.integers(0, users, size=(rows, users)) + users * np.arange(rows)[:, None]
        # How often each user is drawn: one matrix product for all columns, four times as fast as lookups.
        drawn = np.bincount(picks.ravel(), minlength=rows * users).reshape(rows, users)
        means[start : start + rows] = drawn @ values / users
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(columns)}


def _chunks(resamples: int, users: int) -> Iterator[tuple[int, int]]:
    """(first resample, how many) of each chunk."""
    most = max(1, _DRAWN // max(users, 1))
    for start in range(0, resamples, most):
        yield start, min(most, resamples - start)


def bootstrap_interval(
    values: PerUser, *, seed: int, resamples: int = 2_000, level: float = 0.95
) -> tuple[float, float]:
    """The same for one column."""
    return bootstrap_intervals({"": values}, seed=seed, resamples=resamples, level=level)[""]


def paired_randomisation_p(a: PerUser, b: PerUser, *, seed: int, resamples: int = 10_000) -> float:
    """Two-sided p of the hypothesis that the systems behind ``a`` and ``b`` (n,) are the same.

    The sign of each user's difference is flipped at random (Fisher's randomisation test, see Smucker et
    al. 2007). The observed arrangement counts as one of the resamples, so p is never 0.
    """
    if a.shape != b.shape:
        raise ValueError(f"{a.shape[0]} and {b.shape[0]} users cannot be paired")
    difference = a - b
    observed = abs(float(difference.mean()))
    generator = np.random.default_rng(seed)
    extreme = 0
    for _, rows in _chunks(resamples, difference.size):
        signs = generator.integers(0, 2, size=(rows, difference.size)) * 2 - 1
        means = np.abs((signs * difference).mean(axis=1))
        # Sums of the same numbers in another order differ in the last bits; equal must count as equal.
        extreme += int((means >= observed - 1e-12).sum())
    return (extreme + 1) / (resamples + 1)
