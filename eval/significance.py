"""How sure a difference is: bootstrap intervals and a paired randomisation test over users."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PerUser = NDArray[np.float64]
_CHUNK = 500  # resamples drawn at once: 500 x 10,000 users of int64 are 40 MB


def bootstrap_interval(
    values: PerUser, *, seed: int, resamples: int = 2_000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values`` (n,), users resampled (Efron 1979)."""
    if values.size == 0:
        raise ValueError("no users to resample")
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        picks = generator.integers(0, values.size, size=(rows, values.size))
        means.append(values[picks].mean(axis=1))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
    return float(low), float(high)


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
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        signs = generator.integers(0, 2, size=(rows, difference.size)) * 2 - 1
        means = np.abs((signs * difference).mean(axis=1))
        # Sums of the same numbers in another order differ in the last bits; equal must count as equal.
        extreme += int((means >= observed - 1e-12).sum())
    return (extreme + 1) / (resamples + 1)
