"""For how many values on end a series remembers: its integrated autocorrelation time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST", "memory_of"]

LEAST = 200
"""Values from which a memory can be told from chance."""


def memory_of(values: NDArray[np.float64]) -> float:
    """1 + 2 Σ ρ(lag), by which the variance of a mean of many of `values` [any], in order, exceeds that of independent ones.

    Pairs of lags are added as long as they are above 0 (Geyer, Practical Markov chain Monte Carlo, Statistical Science 1992). 1 where
    there are too few values, or none differs.

    >>> round(memory_of(np.tile([0.0, 1.0], 1000)), 2)
    1.0
    """
    count = len(values)
    centred = values - values.mean() if count else values
    if count < LEAST or not centred.any():
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * count)
    correlations = np.fft.irfft(np.abs(spectrum) ** 2)[: count // 4]
    correlations = correlations / correlations[0]
    pairs = correlations[: len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if len(ends) else pairs
    return max(float(2 * kept.sum() - 1), 1.0)
