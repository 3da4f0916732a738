"""Reconstruction error: rows that the main directions of the reference no longer describe."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.permutation import PERMUTATIONS, memberships, p_value
from prodml_magics.stats.drift.ks import ks_distance, ks_margin, ks_p_value
from prodml_magics.stats.drift.shapes import Float

__all__ = ["PcaResult", "reconstruction_shift"]

_EXPLAINED = 0.9


class PcaResult(NamedTuple):
    """KS distance between the errors of both sides, its lower bound, its p-value, and how many directions were kept.

    `beyond` is the p-value that KS's own law tells of a distance beyond all of its permutations, else `p_value`.
    """

    effect: float
    low: float
    p_value: float
    beyond: float
    directions: int


def reconstruction_shift(
    x: Float[NDArray[Any], "n columns"], y: Float[NDArray[Any], "m columns"], *, alpha: float = 0.05, seed: int = 0
) -> PcaResult:
    """KS distance between the reconstruction errors of `y` and of the half of `x` [rows, columns] that was held out.

    The other half gives mean and directions, as many as explain 90 % of its variance and at least one fewer than there are
    columns. The errors of both sides then come from rows that the directions have not seen, so that any of them may change sides
    when nothing has moved: p by permutation, never 0. Needs two columns, and four rows of `x`.
    """
    fitted, held_out = x[::2].astype(np.float64), x[1::2].astype(np.float64)
    middle = fitted.mean(axis=0)
    _, sizes, directions = np.linalg.svd(fitted - middle, full_matrices=False)
    explained = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-300)
    kept = max(1, min(int(np.searchsorted(explained, _EXPLAINED)) + 1, x.shape[1] - 1, len(sizes)))
    before, now = (_errors(rows - middle, directions[:kept]) for rows in (held_out, y.astype(np.float64)))
    distance, n, m = ks_distance(before, now), len(before), len(now)
    p = _permuted(before, now, seed)
    beyond = min(p, ks_p_value(distance, n, m)) if p <= 1 / (PERMUTATIONS + 1) else p
    return PcaResult(distance, max(0.0, distance - ks_margin(n, m, alpha)), p, beyond, kept)


def _permuted(before: NDArray[np.float64], now: NDArray[np.float64], seed: int) -> float:
    """Of the KS distance: running sums of memberships over the pooled errors, all permutations side by side."""
    pooled, (n, m) = np.concatenate([before, now]), (len(before), len(now))
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    upto = np.cumsum(memberships(n, m, PERMUTATIONS, seed)[order], axis=0, dtype=np.float64)[ends]
    return p_value(np.abs(upto / n - (ends[:, None] + 1 - upto) / m).max(axis=0))


def _errors(rows: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each row from its projection, sorted; differences below rounding are taken off."""
    rest = rows - (rows @ directions.T) @ directions
    return np.sort(np.round(np.sqrt((rest**2).sum(axis=1)), 9))
