"""Energy distance of rows: how much farther apart rows of two samples lie than rows of one, in any number of columns."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.mmd import squared_distances, sums_by_side
from prodml_magics.stats.drift.joint.permutation import beyond_permutations, memberships, p_value, pair_sums
from prodml_magics.stats.drift.shapes import Array, Float

__all__ = ["EnergyResult", "energy_of_rows", "energy_statistics"]


class EnergyResult(NamedTuple):
    """Energy statistic, its coefficient of inhomogeneity in about [0, 1], a lower bound of that, and the p-value.

    `beyond` is as in `MmdResult`.
    """

    statistic: float
    coefficient: float
    low: float
    p_value: float
    beyond: float


def energy_of_rows(
    x: Float[Array, "n columns"], y: Float[Array, "m columns"], *, permutations: int = 999, alpha: float = 0.05, seed: int = 0
) -> EnergyResult:
    """2·E|X − Y| − E|X − X'| − E|Y − Y'| of rows [n, d] and [m, d], n, m ≥ 2, unbiased, and the same over 2·E|X − Y|.

    Székely & Rizzo 2013 (J. Stat. Plan. Inference 143, 1249–1272, eq. 6.1 and section 9); p by permutation, never 0; in one
    column the statistic is the square of ``scipy.stats.energy_distance`` up to the pairs of a row with itself.
    """
    xp = x.__array_namespace__()
    n, m = x.shape[0], y.shape[0]
    rows = xp.concat([x, y])
    distances = xp.sqrt(xp.maximum(squared_distances(rows, rows), 0))
    between, statistics = _statistics(distances, xp.asarray(memberships(n, m, permutations, seed)), n, m)
    scale = 2 * float(between[0]) or 1.0
    low = float(statistics[0]) - NormalDist().inv_cdf(1 - alpha) * _standard_error(distances, n, m)
    p, beyond = p_value(statistics), beyond_permutations(statistics)
    return EnergyResult(float(statistics[0]), float(statistics[0]) / scale, low / scale, p, beyond)


def energy_statistics(
    rows: Float[NDArray[Any], "rows columns"], members: Float[NDArray[np.float32], "rows ways"]
) -> tuple[Float[NDArray[np.float64], " ways"], Float[NDArray[np.float64], " ways"]]:
    """Mean distances between the two parts into which each column of `members` [rows, ways] divides the rows, and statistics."""
    distances = np.sqrt(np.maximum(squared_distances(rows, rows), 0))
    first = members.sum(axis=0, dtype=np.float64)
    return _statistics(distances, members, first, len(rows) - first)


def _statistics(distances: Any, members: Any, n: Any, m: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean distances between the samples, and statistics, one for each column of `members`; `n` and `m` are their rows."""
    sums = pair_sums(distances, members)
    between, first, second = (
        np.asarray(total, dtype=np.float64) / pairs
        for total, pairs in ((sums.between, n * m), (sums.within_first, n * (n - 1)), (sums.within_second, m * (m - 1)))
    )
    return between, 2 * between - first - second


def _standard_error(distances: Any, n: int, m: int) -> float:
    to_first, to_second = sums_by_side(distances, n)
    of_first = to_second[:n] / m - to_first[:n] / (n - 1)
    of_second = to_first[n:] / n - to_second[n:] / (m - 1)
    return 2 * math.sqrt(float(of_first.var(ddof=1)) / n + float(of_second.var(ddof=1)) / m)
