"""Chi-squared for small counts: how often tables with the same margins, drawn at random, are as uneven."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.chi_squared import FEWEST_EXPECTED, chi_squared, contingency
from prodml_magics.stats.drift.shapes import Int
from prodml_magics.stats.tails import hypergeometric_p_value

__all__ = ["DRAWS", "monte_carlo_p_value", "small_counts_p_value"]

DRAWS = 9_999


def monte_carlo_p_value(
    reference: Int[NDArray[np.int64], " levels"], current: Int[NDArray[np.int64], " levels"], *, draws: int = DRAWS, seed: int = 0
) -> float:
    """(1 + tables at least as uneven) / (draws + 1), over tables drawn with the margins of the given one.

    The exact conditional test by simulation (Patefield 1981, Appl. Stat. 30, 91–97 draws the same tables); never 0 (Phipson
    & Smyth 2010). Counts are int64 [levels].
    """
    both = reference + current
    used = both > 0
    if used.sum() < 2 or not reference.sum() or not current.sum():
        return math.nan
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(
        both[used], int(current.sum()), size=draws, method="marginals"
    )
    found = float(chi_squared(reference, current))
    as_uneven = chi_squared(both[used] - drawn, drawn) >= found * (1 - 1e-9)
    return float((1 + as_uneven.sum()) / (draws + 1))


def small_counts_p_value(reference: Int[NDArray[np.int64], " levels"], current: Int[NDArray[np.int64], " levels"]) -> float:
    """By the limit law where every expected count allows it, exactly for two levels, else by drawing tables."""
    n, m = int(reference.sum()), int(current.sum())
    used = (reference + current) > 0
    if used.sum() < 2 or not n or not m:
        return math.nan
    if float((reference + current)[used].min()) * min(n, m) / (n + m) >= FEWEST_EXPECTED:
        return contingency(reference, current).p_value
    if used.sum() == 2:
        first = int(np.flatnonzero(used)[0])
        return hypergeometric_p_value(int(current[first]), m, int(reference[first] + current[first]), n + m)
    return monte_carlo_p_value(reference, current)
