"""The log of a weighted sum of exponentials: how several bets are held at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["log_mean_exp", "log_sum_exp"]

Floats = NDArray[np.float64]
_FEW = 150
"""Values for which one call of NumPy costs less than several quicker ones."""


def log_sum_exp(values: ArrayLike, weights: ArrayLike = 1.0) -> Floats:
    """log Σ w exp(v) over the last axis, with no overflow; −inf where every term is 0.

    >>> round(float(log_sum_exp([1000.0, 1000.0])), 3)
    1000.693
    """
    v = np.asarray(values, np.float64)
    top = v.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log((np.exp(v - shift[..., None]) * weights).sum(axis=-1)))


def log_mean_exp(values: ArrayLike) -> Floats:
    """log of the mean of exp(v) over the last axis: the e-value of equal stakes on every bet."""
    v = np.asarray(values, np.float64)
    if v.size <= _FEW:
        return np.asarray(np.logaddexp.reduce(v, axis=-1) - math.log(v.shape[-1]))
    top = v.max(axis=-1)
    if not np.isfinite(top).all():
        return log_sum_exp(v) - math.log(v.shape[-1])
    # Nothing can be 0: most calls, and every look makes many.
    return np.asarray(top + np.log(np.exp(v - top[..., None]).sum(axis=-1)) - math.log(v.shape[-1]))
