"""Tail probabilities of the distributions that the tests here need, without scipy."""

from __future__ import annotations

import math
import sys

__all__ = ["chi_squared_tail", "hypergeometric_p_value", "hypergeometric_tail"]

_SMALL = 1e-300
_PRECISION = 1e-15


def chi_squared_tail(statistic: float, degrees: int) -> float:
    """P(X ≥ statistic) for X chi-squared with that many degrees of freedom, never 0; equals ``scipy.stats.chi2.sf``.

    Series below the mean, Lentz's continued fraction above it: Abramowitz & Stegun 1964, 6.5.29 and 6.5.31.

    >>> round(chi_squared_tail(3.841458820694124, 1), 12)
    0.05
    """
    a, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1:
        return max(0.0, 1 - math.exp(scale) * _lower_series(a, x))
    return max(math.exp(scale) * _upper_fraction(a, x), sys.float_info.min)


def _lower_series(a: float, x: float) -> float:
    term = total = 1 / a
    step = a
    while term > total * _PRECISION:
        step += 1
        term *= x / step
        total += term
    return total


def _upper_fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1 / _SMALL, 1 / b
    value, change, i = d, 0.0, 0
    while abs(change - 1) > _PRECISION and i < 100_000:
        i += 1
        weight = -i * (i - a)
        b += 2
        d = 1 / (weight * d + b or _SMALL)
        c = b + weight / c or _SMALL
        change = d * c
        value *= change
    return value


def hypergeometric_tail(hits: int, drawn: int, marked: int, total: int) -> float:
    """P(at least `hits` marked rows among `drawn` of `total` rows, of which `marked` are marked).

    Equals ``scipy.stats.hypergeom.sf(hits - 1, total, marked, drawn)``.
    """
    first = max(hits, drawn + marked - total, 0)
    last = min(drawn, marked)
    if hits <= max(0, drawn + marked - total):
        return 1.0
    if first > last:
        return 0.0
    log_term = _log_choose(marked, first) + _log_choose(total - marked, drawn - first) - _log_choose(total, drawn)
    ratio = sum_of_ratios = 1.0
    for k in range(first, last):
        ratio *= (marked - k) * (drawn - k) / ((k + 1) * (total - marked - drawn + k + 1))
        sum_of_ratios += ratio
        if ratio < sum_of_ratios * _PRECISION:
            break
    return min(1.0, math.exp(log_term) * sum_of_ratios)


def hypergeometric_p_value(hits: int, drawn: int, marked: int, total: int) -> float:
    """Exact two-sided p-value of a 2 × 2 table, twice the smaller tail (Fisher 1935); at most 1 and never 0."""
    above = hypergeometric_tail(hits, drawn, marked, total)
    below = hypergeometric_tail(marked - hits, total - drawn, marked, total)
    return min(1.0, max(2 * min(above, below), sys.float_info.min))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
