"""Chi-squared: are two sets of category counts draws from one distribution?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Array, Float, Int
from prodml_magics.stats.tails import chi_squared_tail, hypergeometric_p_value

__all__ = ["FEWEST_EXPECTED", "Contingency", "chi_squared", "contingency"]

FEWEST_EXPECTED = 5
"""Levels that either side expects fewer rows of are pooled into one (Cochran 1954, Biometrics 10, 417–451)."""


class Contingency(NamedTuple):
    """Statistic of the table with rare levels pooled, and its p-value; both NaN when fewer than two levels remain."""

    statistic: float
    p_value: float


def chi_squared(reference: Int[Array, "... levels"], current: Int[Array, "... levels"]) -> Float[Array, " ..."]:
    """Σ (observed − expected)²/expected of the 2 × levels table (two samples, not goodness of fit against the reference).

    Over the last axis of two count arrays [..., levels]; levels that neither side has count nothing. Equals
    ``scipy.stats.chi2_contingency([reference, current], correction=False).statistic`` (Pearson 1900).
    """
    xp = reference.__array_namespace__()
    n, m = reference.sum(axis=-1, keepdims=True), current.sum(axis=-1, keepdims=True)
    both = reference + current
    gap = (reference / n - current / m) ** 2
    return (n / (n + m) * m * xp.where(both > 0, gap / xp.where(both > 0, both, 1) * (n + m), 0.0)).sum(axis=-1)


def contingency(reference: Int[NDArray[np.int64], " levels"], current: Int[NDArray[np.int64], " levels"]) -> Contingency:
    """Test two count arrays [levels] for one distribution, sound when levels are rare or unseen on one side.

    Where even the pooled rare levels are too few for the limit law, their share is tested exactly (Fisher 1935) and
    the other levels by chi-squared; the smaller p-value is doubled for having looked twice.
    """
    n, m = int(reference.sum()), int(current.sum())
    rare = (reference + current) * (min(n, m) / (n + m)) < FEWEST_EXPECTED
    rare_reference, rare_current = int(reference[rare].sum()), int(current[rare].sum())
    common = reference[~rare], current[~rare]
    pooled = np.append(common[0], rare_reference), np.append(common[1], rare_current)
    levels = len(common[0]) + (rare_reference + rare_current > 0)
    if levels < 2:
        return Contingency(math.nan, math.nan)
    statistic = float(chi_squared(*pooled))
    if not _too_few(rare_reference + rare_current, n, m):
        return Contingency(statistic, chi_squared_tail(statistic, levels - 1))
    exact = hypergeometric_p_value(rare_current, m, rare_reference + rare_current, n + m)
    if len(common[0]) < 2 or not common[0].sum() or not common[1].sum():
        return Contingency(statistic, exact)
    limit = chi_squared_tail(float(chi_squared(*common)), len(common[0]) - 1)
    return Contingency(statistic, min(1.0, 2 * min(exact, limit)))


def _too_few(rare: int, n: int, m: int) -> bool:
    return rare > 0 and rare * min(n, m) / (n + m) < FEWEST_EXPECTED
