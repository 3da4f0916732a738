"""Permutation tests of two samples, all permutations in one matrix product."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Array, Float

__all__ = ["PERMUTATIONS", "PairSums", "beyond_permutations", "flipped_p_value", "memberships", "p_value", "pair_sums"]

PERMUTATIONS = 999


def memberships(n: int, m: int, permutations: int, seed: int) -> Float[NDArray[np.float32], "{n}+{m} {permutations}+1"]:
    """float32 [n + m, permutations + 1] of zeros and ones: whether a row counts to the first sample; the first column as given."""
    generator = np.random.default_rng(seed)
    drawn = np.tile(np.arange(n + m) < n, (permutations + 1, 1))
    generator.permuted(drawn[1:], axis=1, out=drawn[1:])
    return np.ascontiguousarray(drawn.T, dtype=np.float32)


class PairSums(NamedTuple):
    """Sums of a kernel over ordered pairs of different rows, each [permutations + 1]: within either sample and between them."""

    within_first: Float[Array, " ways"]
    within_second: Float[Array, " ways"]
    between: Float[Array, " ways"]


def pair_sums(kernel: Float[Array, "rows rows"], members: Float[Array, "rows ways"]) -> PairSums:
    """Sums of a symmetric kernel [rows, rows], its diagonal left out, for every column of `members` [rows, permutations + 1].

    One matrix product serves all permutations; numpy or JAX arrays in, the same out.
    """
    product = kernel @ members
    diagonal = kernel.diagonal()
    of_members = diagonal @ members
    within = (members * product).sum(axis=0) - of_members
    touching = product.sum(axis=0) - of_members
    total = kernel.sum() - diagonal.sum()
    return PairSums(within, total - 2 * touching + within, touching - within)


def p_value(statistics: Float[NDArray[Any], " ways"]) -> float:
    """Share of all arrangements, the given one among them, that are at least as extreme; never 0.

    The given one comes first (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39).
    """
    values = np.asarray(statistics, dtype=np.float64)
    # A permutation that gives the same sums in another order must count as equal.
    return float((values >= values[0] - 1e-6 * np.abs(values).max()).mean())


def beyond_permutations(statistics: Float[NDArray[Any], " ways"]) -> float:
    """The p-value; of a statistic beyond all of its permutations by the exponential law of their largest tenth.

    So that it can be small enough among many tests (Knijnenburg et al. 2009, Bioinformatics 25, i161–i168, with a generalised Pareto
    law). Quadratic forms have tails that fall a little slower the farther out one looks, which is why the law's mean is taken a quarter
    larger than theirs: it then errs to the safe side. Never larger than `p_value`, and never 0.
    """
    values = np.asarray(statistics, dtype=np.float64)
    p, permuted = p_value(values), values[1:]
    if p > 1 / len(values) or len(permuted) < _FEWEST_FOR_LAW:
        return p
    threshold = float(np.quantile(permuted, 1 - _TAIL))
    excess = permuted[permuted > threshold] - threshold
    mean = _WIDENED * float(excess.mean()) if len(excess) else 0.0
    return min(p, max(_SMALLEST, _TAIL * math.exp(-(values[0] - threshold) / mean))) if mean > 0 else p


_FEWEST_FOR_LAW = 99
_TAIL = 0.1
_WIDENED = 1.25
_SMALLEST = 1e-300
_BLOCK = 4_096


def flipped_p_value(terms: Float[NDArray[np.float64], " terms"], permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Of the mean of `terms` [terms], each of which has either sign with one chance when nothing has moved; never 0.

    All flips of a block of terms are one matrix product.
    """
    generator = np.random.default_rng(seed)
    sums = np.zeros(permutations + 1)
    for start in range(0, len(terms), _BLOCK):
        block = terms[start : start + _BLOCK]
        signs = generator.integers(0, 2, (len(block), permutations + 1), dtype=np.int8).astype(np.float32) * 2 - 1
        signs[:, 0] = 1
        sums += block @ signs
    return p_value(sums)
