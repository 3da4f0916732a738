"""Missing values: a statistic of their own, because no other one sees them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from prodml_magics.stats.drift.chi_squared import contingency
from prodml_magics.stats.tails import hypergeometric_p_value

__all__ = ["MissingChange", "missing_change"]


class MissingChange(NamedTuple):
    """Absolute change of the missing share, a lower bound for it, and the p-value of no change."""

    effect: float
    effect_low: float
    p_value: float


def missing_change(reference: int, n: int, current: int, m: int, alpha: float = 0.05) -> MissingChange:
    """Compare `reference` missing of `n` rows with `current` missing of `m` rows; n, m ≥ 1.

    p-value: the pooled two-proportion test (chi-squared with one degree of freedom), exact (Fisher) when few are expected.
    Lower bound: Newcombe 1998 (Stat. Med. 17, 873–890), method 10 from two Wilson intervals at level 1 − alpha; 0 when
    the interval holds 0.
    """
    before, now = reference / n, current / m
    (low_before, high_before), (low_now, high_now) = _wilson(reference, n, alpha), _wilson(current, m, alpha)
    low_of, other_of = ((now, low_now), (before, high_before)) if now >= before else ((before, low_before), (now, high_now))
    low = abs(now - before) - math.hypot(low_of[0] - low_of[1], other_of[1] - other_of[0])
    return MissingChange(abs(now - before), max(0.0, low), _p_value(reference, n, current, m))


def _p_value(reference: int, n: int, current: int, m: int) -> float:
    table = contingency(np.array([reference, n - reference]), np.array([current, m - current]))
    if math.isnan(table.p_value):
        return hypergeometric_p_value(current, m, reference + current, n + m)
    return table.p_value


def _wilson(hits: int, rows: int, alpha: float) -> tuple[float, float]:
    """Wilson's score interval for a share (1927, J. Am. Stat. Assoc. 22)."""
    z = NormalDist().inv_cdf(1 - alpha / 2)
    middle = (hits + z * z / 2) / (rows + z * z)
    half = z / (rows + z * z) * math.sqrt(hits * (rows - hits) / rows + z * z / 4)
    return middle - half, middle + half
