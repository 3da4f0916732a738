"""A quantile with a band that holds at every look: for people to see, never to decide by.

For the true quantile x of level p the values at or below it are coin tosses of chance p. A beta mixture of bets on any other chance is
an e-process, so that every x at which it has won 1/alpha is none of the band. Values are counted in bins that grow by 2 %; a bin is in
the band unless both of its edges speak against it.

Howard & Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm identification, Bernoulli 28 (2022)
1704 (arXiv 1906.09712).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "add_binned", "add_values", "band", "bins_of", "log_off"]

_RATIO = 1.02
_PER_BIN = 1 / math.log(_RATIO)


class Band(NamedTuple):
    """A quantile, and what it may be; `high` is inf where nothing bounds it yet, `low` 0."""

    value: float
    low: float
    high: float


def add_values(counts: Mapping[int, int], values: NDArray[np.float64]) -> dict[int, int]:
    """`counts` by bin with `values` [any] in them.

    >>> add_values({}, np.array([1.0, 1.01, 1.03]))
    {0: 2, 1: 1}
    """
    return add_binned(counts, bins_of(values))


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each of `values` [any]; what is not positive falls into that of a millionth."""
    return np.floor(np.log(np.maximum(values, 1e-6)) * _PER_BIN).astype(np.int64)


def add_binned(counts: Mapping[int, int], bins: NDArray[np.int64]) -> dict[int, int]:
    """`counts` by bin with values in them that lie in `bins` [any]."""
    found = dict(counts)
    for each, count in Counter(bins.tolist()).items():
        found[each] = found.get(each, 0) + count
    return found


def log_off(below: int, of: int, level: float) -> float:
    """Log e-value against "the chance of each of `of` tosses is `level`", of which `below` fell on it.

    The mixture is Beta(1/(1 − p), 1/p), which has its mean at p.
    """
    a, b = 1 / (1 - level), 1 / level
    won = _log_beta(a + below, b + of - below) - _log_beta(a, b)
    return won - below * math.log(level) - (of - below) * math.log(1 - level)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def band(counts: Mapping[int, int], level: float, alpha: float) -> Band | None:
    """The quantile of what was counted, with its band; none of nothing."""
    of = sum(counts.values())
    if not of:
        return None
    value, low, high, below = 0.0, 0.0, math.inf, 0
    for each in sorted(counts):
        before, below = below, below + counts[each]
        top = _RATIO ** (each + 1)
        if before < level * of <= below:
            value = top
        if below < level * of and log_off(below, of, level) >= math.log(1 / alpha):
            low = top  # even the upper edge of this bin lies too low
        if high == math.inf and before > level * of and log_off(before, of, level) >= math.log(1 / alpha):
            high = _RATIO**each
    return Band(value, low, high)
