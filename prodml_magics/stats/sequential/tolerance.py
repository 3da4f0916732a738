"""Does a share lie within a tolerance? For a shadow that disagrees with the live version on paired rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_mean_exp

__all__ = ["log_exceeds", "log_within"]

_POINTS = 24


def log_within(disagreed: ArrayLike, pairs: ArrayLike, tolerance: float) -> NDArray[np.float64]:
    """Log e-value [...] against "the share is `tolerance` or more": evidence that it is less."""
    return _log_e(disagreed, pairs, tolerance, np.geomspace(tolerance / 20, 0.9 * tolerance, _POINTS))


def log_exceeds(disagreed: ArrayLike, pairs: ArrayLike, tolerance: float) -> NDArray[np.float64]:
    """Log e-value [...] against "the share is `tolerance` or less": evidence that it is more."""
    most = max(min(20 * tolerance, 0.95), (1 + tolerance) / 2)
    return _log_e(disagreed, pairs, tolerance, np.geomspace(min(1.1 * tolerance, most), most, _POINTS))


def _log_e(disagreed: ArrayLike, pairs: ArrayLike, null: float, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    k = np.asarray(disagreed, np.float64)[..., None]
    n = np.asarray(pairs, np.float64)[..., None]
    return log_mean_exp(k * np.log(shares / null) + (n - k) * np.log((1 - shares) / (1 - null)))
