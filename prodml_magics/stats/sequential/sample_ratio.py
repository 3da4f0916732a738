"""Does each arm get the share of the traffic that it was given? If not, the arms are not comparable and no verdict counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.rate_ratio import log_e_value

__all__ = ["ALPHA", "log_mismatch"]

ALPHA = 0.001
"""How often a sound split may ever be called a mismatch."""

_LOGS = np.geomspace(0.005, 1.0, 12)
_RATIOS: NDArray[np.float64] = np.exp(np.concatenate([-_LOGS[::-1], _LOGS]))


def log_mismatch(canary: ArrayLike, rows: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """Log e-value [...] against "the split is as stated", from the canary's rows [...] and those of both arms [..., steps]."""
    return log_e_value(canary, rows, shares, _RATIOS)
