"""Kolmogorov–Smirnov: the largest gap between two empirical distribution functions."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Real

__all__ = ["EXACT_UP_TO", "ks_distance", "ks_margin", "ks_p_value", "ks_rows_needed"]

EXACT_UP_TO = 1_000_000
"""The p-value is exact where the product of the two sample sizes is at most this."""

_LIMIT_FROM = 5_000
_FIRST_CELLS = 512
_SPLIT = 8


def ks_distance(reference: Real[NDArray[Any], " n"], current: Real[NDArray[Any], " m"]) -> float:
    """Largest |F − G| in [0, 1] of two non-empty samples, each sorted ascending, without NaN; ties and ±inf are values.

    Exact: equals ``scipy.stats.ks_2samp(reference, current).statistic`` (right-limit distribution functions).
    Branch and bound: both functions are monotone, so the gap inside a cell between two evaluated points is bounded by
    their values at its ends; only cells whose bound beats the best gap so far are split.

    >>> ks_distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    best = 0.0
    first = np.zeros(1, dtype=np.intp)
    last = np.full(1, len(reference) - 1)
    parts = _FIRST_CELLS
    while len(first):
        at = first[:, None] + (last - first)[:, None] * np.arange(parts + 1) // parts
        below, upto = _shares(reference, current, reference[at])
        best = max(best, float(np.abs(below[0] - below[1]).max()), float(np.abs(upto[0] - upto[1]).max()))
        open_cells = _open_cells(below, upto, best) & (np.diff(at) > 1)
        first, last = at[:, :-1][open_cells], at[:, 1:][open_cells]
        parts = _SPLIT
    return best


_Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _shares(reference: NDArray[Any], current: NDArray[Any], points: NDArray[Any]) -> tuple[_Pair, _Pair]:
    """Shares of reference and current strictly below each point, and up to and including it."""
    below, upto = (
        (np.searchsorted(reference, points, side) / len(reference), np.searchsorted(current, points, side) / len(current))
        for side in ("left", "right")
    )
    return below, upto


def _open_cells(below: _Pair, upto: _Pair, best: float) -> NDArray[np.bool_]:
    reference_from, current_from = upto[0][:, :-1], upto[1][:, :-1]
    reference_to, current_to = below[0][:, 1:], below[1][:, 1:]
    return np.maximum(reference_to - current_from, current_to - reference_from) > best


def ks_p_value(distance: float, n: int, m: int) -> float:
    """Chance of a gap at least this large between samples of `n` and `m` rows of one continuous distribution.

    Exact by counting lattice paths where n·m ≤ `EXACT_UP_TO` (10⁶), equal to ``ks_2samp(method="exact")`` (Hodges 1958, Ark.
    Mat. 3, 469–486). Else, within 1 % of ``ks_2samp(method="asymp")`` for p > 1e-8, that of one sample of the effective
    size n·m/(n+m): Birnbaum & Tingey 1951 in the upper tail, Kolmogorov's limit with Maag & Dicaire's 1971 correction
    elsewhere. Under ties p is conservative (too large). It is never 0.
    """
    if n * m <= EXACT_UP_TO:
        return _exact(distance, n, m)
    size = n * m / (n + m)
    if math.sqrt(size) * distance > 1 and size < _LIMIT_FROM:
        return max(_upper_tail(distance, round(size)), sys.float_info.min)
    return max(_kolmogorov_tail(math.sqrt(size) * distance + 1 / (6 * math.sqrt(size))), sys.float_info.min)


def _exact(distance: float, n: int, m: int) -> float:
    """One minus the share of monotone lattice paths from (0, 0) to (n, m) that stay closer than `distance` to the diagonal.

    Counted row by row over the cells that are that close, and scaled down before the numbers overflow (Viehmann 2021,
    arXiv:2102.08037). The subtraction is exact to about 1e-12; below 1e-9 the tail of one sample takes over.
    """
    n, m = min(n, m), max(n, m)
    return _exact_of_reach(round(distance * n * m), n, m)


@lru_cache(maxsize=4_096)
def _exact_of_reach(reach: int, n: int, m: int) -> float:
    """The distance is a multiple of 1/(n·m): windows of one size meet the same few again and again."""
    log_total = math.lgamma(n + m + 1) - math.lgamma(n + 1) - math.lgamma(m + 1)
    starts, ends = _ends(n, m, reach)
    paths, log_scale, former = np.zeros(m + 1), 0.0, 0
    paths[: ends[0]] = 1.0
    for low, high in zip(starts[1:], ends[1:], strict=True):
        paths[former:low] = 0.0
        if low < high:
            row = paths[low:high]
            np.add.accumulate(row, out=row)
            if row[-1] > _LARGEST_COUNT:
                log_scale += math.log(row[-1])
                paths /= row[-1]
        former = low
    inside = math.exp(math.log(paths[-1]) + log_scale - log_total) if paths[-1] > 0 else 0.0
    p = 1 - inside
    if p > _CANCELS:
        return min(1.0, p)
    smallest = math.exp(max(math.log(2) - log_total, -700.0))
    return max(smallest, min(_CANCELS, _upper_tail(reach / (n * m), round(n * m / (n + m)))))


_LARGEST_COUNT = 1e200
_CANCELS = 1e-9


def _ends(n: int, m: int, reach: int) -> tuple[list[int], list[int]]:
    """Columns [from, to) of each row i with |i·m − j·n| < reach; both rise with i."""
    i = np.arange(n + 1)
    low, high = np.maximum(0, (i * m - reach) // n + 1), np.minimum(m, (i * m + reach - 1) // n) + 1
    return low.tolist(), high.tolist()


def _upper_tail(distance: float, size: int) -> float:
    """Twice the exact one-sided tail d·Σ C(n,j)·(d + j/n)^(j−1)·(1 − d − j/n)^(n−j), less the chance of both sides at once."""
    j = np.arange(math.floor(size * (1 - distance) * (1 - 1e-15)) + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
    log_choose = log_factorial[size] - log_factorial[j] - log_factorial[size - j]
    below = np.maximum(1 - distance - j / size, np.finfo(float).tiny)
    terms = np.exp(log_choose + (j - 1) * np.log(distance + j / size) + (size - j) * np.log(below))
    return float(2 * distance * terms.sum() - 2 * math.exp(-8 * size * distance**2))


def _kolmogorov_tail(x: float) -> float:
    """P(sup |Brownian bridge| > x): the alternating series for large x, its theta transform for small x."""
    if x < 1:
        terms = ((2 * k - 1) ** 2 * math.pi**2 / (8 * x * x) for k in range(1, 8))
        return 1 - math.sqrt(2 * math.pi) / x * sum(math.exp(-t) for t in terms)
    return 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 8))


def ks_margin(n: float, m: float, alpha: float) -> float:
    """What to take from a distance for a lower bound that holds with probability 1 − alpha, for samples of n and m rows.

    ``sqrt(ln(2/alpha)/2) · (1/√n + 1/√m)``: Dvoretzky–Kiefer–Wolfowitz with Massart's constant (1990, Ann. Probab. 18).
    """
    return math.sqrt(math.log(2 / alpha) / 2) * (1 / math.sqrt(n) + 1 / math.sqrt(m))


def ks_rows_needed(excess: float, n: float, alpha: float) -> int | None:
    """Rows with which a distance that exceeds its tolerance by `excess` has its lower bound above it; n reference rows.

    None where the reference alone leaves a wider margin than that.
    """
    rest = excess / math.sqrt(math.log(2 / alpha) / 2) - 1 / math.sqrt(n)
    return math.ceil(1 / rest**2) if rest > 1e-4 else None
