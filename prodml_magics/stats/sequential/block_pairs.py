"""Bounded means by betting: each canary row against the mean of the next control rows, exact from the first pair on.

With m = round((1 − p)/p) control rows to a canary row a block loses no information (its variance is s²(1 + 1/m)), and blocks of every
step may be put together. Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B 2024
(arXiv 2010.09686), with a fixed mixture of stakes in place of a tuned one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_mean_exp

__all__ = ["STAKES", "Blocks", "control_rows", "log_gains", "log_mean_of", "pair"]

Floats = NDArray[np.float64]

STAKES: Floats = np.array([0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9, 0.97])
"""Shares of the capital that are bet on each block; never 1, which one extreme row would ruin for ever."""


class Blocks(NamedTuple):
    """Differences of whole blocks, and the rows that wait for the rest of theirs."""

    differences: Floats
    canary: Floats
    control: Floats


def control_rows(share: float) -> int:
    """Control rows in a block at this share of the canary; at least one."""
    return max(1, round((1 - share) / share))


def pair(canary: ArrayLike, control: ArrayLike, size: int) -> Blocks:
    """Canary minus the mean of `size` control rows, in order of arrival.

    >>> pair([1.0, 0.0], [0.0, 1.0, 1.0], 2)
    Blocks(differences=array([0.5]), canary=array([0.]), control=array([1.]))
    """
    left, right = np.asarray(canary, np.float64), np.asarray(control, np.float64)
    whole = min(len(left), len(right) // size)
    means = right[: whole * size].reshape(whole, size).mean(axis=1)
    return Blocks(left[:whole] - means, left[whole:], right[whole * size :])


def log_gains(differences: ArrayLike, margin: float, bound: float) -> Floats:
    """Σ log(1 + λ (margin + d)/(bound + |margin|)) for each stake, [stakes]: against a mean difference of −`margin` or less.

    `differences` lie in [−bound, bound] and are clipped to it. Turn their sign to bet on the other side. `margin` may be negative.
    """
    d = np.clip(np.asarray(differences, np.float64), -bound, bound)
    return np.asarray(np.log1p(STAKES * ((margin + d) / (bound + abs(margin)))[..., None]).sum(axis=-2))


def log_mean_of(gains: ArrayLike) -> Floats:
    """Log e-value [...] of equal capital on every stake, from sums of `log_gains` [..., stakes]."""
    return log_mean_exp(gains)
