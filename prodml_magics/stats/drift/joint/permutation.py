"""Permutation tests of two samples, all permutations in one matrix product."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERMUTATIONS", "PairSums", "memberships", "p_value", "pair_sums"]

PERMUTATIONS = 999


def memberships(n: int, m: int, permutations: int, seed: int) -> NDArray[np.float32]:
    """float32 [n + m, permutations + 1] of zeros and ones: whether a row counts to the first sample; the first column as given."""
    generator = np.random.default_rng(seed)
    drawn = np.tile(np.arange(n + m) < n, (permutations + 1, 1))
    generator.permuted(drawn[1:], axis=1, out=drawn[1:])
    return np.ascontiguousarray(drawn.T, dtype=np.float32)


class PairSums(NamedTuple):
    """Sums of a kernel over ordered pairs of different rows, each [permutations + 1]: within either sample and between them."""

    within_first: Any
    within_second: Any
    between: Any


def pair_sums(kernel: Any, members: Any) -> PairSums:
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


def p_value(statistics: NDArray[Any]) -> float:
    """Share of all arrangements, the given one among them, that are at least as extreme; never 0.

    The given one comes first (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39).
    """
    values = np.asarray(statistics, dtype=np.float64)
    # A permutation that gives the same sums in another order must count as equal.
    return float((values >= values[0] - 1e-6 * np.abs(values).max()).mean())
