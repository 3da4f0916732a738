"""Many tests at once: adjusted p-values that bound the share of false discoveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ADJUSTMENTS", "Adjustment", "benjamini_hochberg", "benjamini_yekutieli", "e_benjamini_hochberg"]

Adjustment = Literal["bh", "by", "ebh"]


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values [tests]: rejecting those ≤ alpha keeps the expected share of false rejections ≤ alpha.

    Holds for independent or positively dependent tests. NaN marks a test that could not be made: it stays NaN and does not
    count. Equals ``scipy.stats.false_discovery_control(p, method="bh")``. Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57,
    289–300.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    return np.minimum(_stepped_up(np.asarray(p_values, dtype=np.float64)), 1.0)


def benjamini_yekutieli(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values [tests] for tests that depend in any way; log(tests) times more cautious.

    Equals ``scipy.stats.false_discovery_control(p, method="by")``. Benjamini & Yekutieli 2001, Ann. Stat. 29, 1165–1188.
    """
    p = np.asarray(p_values, dtype=np.float64)
    tests = int((~np.isnan(p)).sum())
    return np.minimum(_stepped_up(p * sum(1 / k for k in range(1, tests + 1))), 1.0)


def e_benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted values [tests] of e-BH, with each p turned into the e-value p^(−1/2)/2; valid under any dependence.

    The k largest e-values are rejected at alpha where the k-th is at least tests/(k·alpha); the result is the smallest such
    alpha. Wang & Ramdas 2022, J. R. Stat. Soc. B 84, 822–852; calibrator of Vovk & Wang 2021, Ann. Stat. 49, 1736–1754.
    """
    return np.minimum(_stepped_up(2 * np.sqrt(np.asarray(p_values, dtype=np.float64))), 1.0)


def _stepped_up(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest p·tests/k over all ranks k from a test's own rank upwards; NaN stays NaN."""
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made])]
    scaled = p[order] * len(made) / np.arange(1, len(made) + 1)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return adjusted


ADJUSTMENTS: dict[Adjustment, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "bh": benjamini_hochberg,
    "by": benjamini_yekutieli,
    "ebh": e_benjamini_hochberg,
}
"""False discovery control by name."""
