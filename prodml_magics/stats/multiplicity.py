"""Many tests at once: adjusted p-values that bound the share of false discoveries."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["benjamini_hochberg"]


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values [tests]: rejecting those ≤ alpha keeps the expected share of false rejections ≤ alpha.

    NaN marks a test that could not be made: it stays NaN and does not count. Equals
    ``scipy.stats.false_discovery_control(p, method="bh")``. Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289–300.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made])]
    scaled = p[order] * len(made) / np.arange(1, len(made) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
