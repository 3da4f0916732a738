"""Maximum mean discrepancy: the distance between two samples in the space of a kernel."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.permutation import (
    PERMUTATIONS,
    beyond_permutations,
    flipped_p_value,
    memberships,
    p_value,
    pair_sums,
)
from prodml_magics.stats.drift.shapes import Array, Float

__all__ = [
    "MmdResult",
    "median_distance",
    "mmd",
    "mmd_linear",
    "mmd_statistics",
    "rbf_kernel",
    "squared_distances",
    "sums_by_side",
]

_MEDIAN_ROWS = 1_000


class MmdResult(NamedTuple):
    """Unbiased MMD² (it may be negative), its p-value, and a lower bound at level 1 − alpha.

    `beyond` is the p-value that a law tells of a statistic beyond all of its permutations, else `p_value`.
    """

    squared: float
    p_value: float
    low: float
    beyond: float


def squared_distances(x: Float[Array, "n columns"], y: Float[Array, "m columns"], scale: float = 1.0) -> Float[Array, "n m"]:
    """scale·|x − y|² for every pair of rows, [rows of x, rows of y], in one matrix product; rounding may cross zero."""
    xp = x.__array_namespace__()
    size_x, size_y = (x * x).sum(axis=1)[:, None], (y * y).sum(axis=1)[:, None]
    left = xp.concat([x * -2, size_x, xp.ones_like(size_x)], axis=1) * xp.asarray(scale, dtype=x.dtype)
    return left @ xp.concat([y, xp.ones_like(size_y), size_y], axis=1).T


def median_distance(x: Float[NDArray[Any], "n columns"], y: Float[NDArray[Any], "m columns"]) -> float:
    """Median distance between pooled rows, of at most 1,000 of them spread over both; 1 where all rows are equal."""
    rows = np.concatenate([x, y])
    rows = rows[:: max(1, len(rows) // _MEDIAN_ROWS)]
    squares = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    return math.sqrt(max(0.0, float(np.median(squares)))) or 1.0


def rbf_kernel(rows: Float[Array, "rows columns"], width: float) -> Float[Array, "rows rows"]:
    """exp(−|x − y|²/(2·width²)) for all pairs of rows, less about its mean, which no difference of means sees.

    Without the constant, float32 keeps the digits that matter.
    """
    xp = rows.__array_namespace__()
    kernel = xp.exp(xp.minimum(squared_distances(rows, rows, -0.5 / width**2), 0))
    return kernel - kernel[:: max(1, rows.shape[0] // 64)].mean()


def mmd(
    x: Float[Array, "n columns"],
    y: Float[Array, "m columns"],
    *,
    permutations: int = 999,
    alpha: float = 0.05,
    width: float | None = None,
    seed: int = 0,
) -> MmdResult:
    """Unbiased MMD² of rows [n, d] and [m, d], n, m ≥ 2, with a Gaussian kernel as wide as the median distance.

    Gretton et al. 2012 (J. Mach. Learn. Res. 13, 723–773, eq. 3); p by permutation of the pooled rows, all in one matrix
    product, never 0; the bound by the normal limit of the statistic under a difference (their theorem 8 and corollary 16).
    """
    xp = x.__array_namespace__()
    n, m = x.shape[0], y.shape[0]
    width = median_distance(np.asarray(x), np.asarray(y)) if width is None else width
    kernel = rbf_kernel(xp.concat([x, y]), width)
    sums = pair_sums(kernel, xp.asarray(memberships(n, m, permutations, seed)))
    squares = np.asarray(_squared(sums, n, m), dtype=np.float64)
    error = _standard_error(kernel, n, m)
    low = float(squares[0]) - NormalDist().inv_cdf(1 - alpha) * error
    return MmdResult(float(squares[0]), p_value(squares), low, beyond_permutations(squares))


def mmd_statistics(
    rows: Float[NDArray[Any], "rows columns"], width: float, members: Float[NDArray[np.float32], "rows ways"]
) -> Float[NDArray[np.float64], " ways"]:
    """Unbiased MMD² of the two parts into which each column of `members` [rows, ways] divides the rows."""
    first = members.sum(axis=0, dtype=np.float64)
    return np.asarray(_squared(pair_sums(rbf_kernel(rows, width), members), first, len(rows) - first), dtype=np.float64)


def _squared(sums: Any, n: int, m: int) -> Any:
    return sums.within_first / (n * (n - 1)) + sums.within_second / (m * (m - 1)) - 2 * sums.between / (n * m)


def _standard_error(kernel: Any, n: int, m: int) -> float:
    """Of the first-order projection: twice the spread of each row's mean difference of kernel values, over both samples."""
    to_first, to_second = sums_by_side(kernel, n)
    of_first = to_first[:n] / (n - 1) - to_second[:n] / m
    of_second = to_second[n:] / (m - 1) - to_first[n:] / n
    return 2 * math.sqrt(float(of_first.var(ddof=1)) / n + float(of_second.var(ddof=1)) / m)


def sums_by_side(
    kernel: Float[Array, "rows rows"], n: int
) -> tuple[Float[NDArray[np.float64], " rows"], Float[NDArray[np.float64], " rows"]]:
    """Each row's sum over the first n rows and over the others, itself left out."""
    to_first, to_second = (np.asarray(part.sum(axis=1), dtype=np.float64) for part in (kernel[:, :n], kernel[:, n:]))
    diagonal = np.asarray(kernel.diagonal(), dtype=np.float64)
    return to_first - np.where(np.arange(len(diagonal)) < n, diagonal, 0), to_second - np.where(
        np.arange(len(diagonal)) < n, 0, diagonal
    )


def mmd_linear(
    x: Float[NDArray[Any], "n columns"],
    y: Float[NDArray[Any], "m columns"],
    *,
    alpha: float = 0.05,
    width: float | None = None,
    seed: int = 0,
) -> MmdResult:
    """MMD² in time and memory that grow with the rows: the mean over disjoint quadruples.

    Gretton et al. 2012, section 6 (lemma 14 and corollary 16, whose normal limit gives the bound); it needs more rows for the same
    power. p by permutation: to swap one row of either side within a quadruple turns the sign of its term. Rows in excess of those that
    both sides have are not used. Rows are shuffled first: neighbours in time are alike.
    """
    pairs = min(len(x), len(y)) // 2
    width = median_distance(x, y) if width is None else width
    generator = np.random.default_rng(seed)
    x, y = generator.permutation(x), generator.permutation(y)
    (a, b), (c, d) = ((side[: 2 * pairs : 2], side[1 : 2 * pairs : 2]) for side in (x, y))
    terms = _kernel(a, b, width) + _kernel(c, d, width) - _kernel(a, d, width) - _kernel(b, c, width)
    squared, error = float(terms.mean()), float(terms.std(ddof=1)) / math.sqrt(pairs)
    limit = 0.5 * math.erfc(squared / error / math.sqrt(2)) if error > 0 else 1.0
    p = flipped_p_value(terms, seed=seed)
    beyond = min(p, max(limit, 1e-300)) if p <= 1 / (PERMUTATIONS + 1) else p
    return MmdResult(squared, p, squared - NormalDist().inv_cdf(1 - alpha) * error, beyond)


def _kernel(x: NDArray[Any], y: NDArray[Any], width: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * ((x - y) ** 2).sum(axis=1, dtype=np.float64) / width**2)
