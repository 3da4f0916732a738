"""Moments and quantiles, as effects that people can read: how far the mean, the spread and the quantiles have moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Array, Float
from prodml_magics.stats.drift.support import Support

__all__ = ["QUANTILES", "mean_shift", "quantile_shift", "spread_ratio"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Probabilities of the quantiles whose largest move counts."""


def mean_shift(support: Support) -> Float[Array, " ..."]:
    """|mean now − mean before|, in the unit of the values; NaN where a value is infinite."""
    return np.abs(_mean(support, support.now) - _mean(support, support.before))


def spread_ratio(support: Support) -> Float[Array, " ..."]:
    """|ln(sd now / sd before)|; NaN where either is zero or a value is infinite. A doubled spread is 0.69."""
    before, now = _variance(support, support.before), _variance(support, support.now)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log(now / before)) / 2
    return np.where((before > 0) & (now > 0), ratio, np.nan)


def quantile_shift(support: Support) -> Float[Array, " ..."]:
    """Largest move of the quantiles at `QUANTILES`, in the unit of the values; a quantile is the value at the rank ⌈n·q⌉.

    Equals the largest difference of ``numpy.quantile(…, QUANTILES, method="inverted_cdf")``.
    """
    moves = [np.abs(_quantile(support, support.now, q) - _quantile(support, support.before, q)) for q in QUANTILES]
    return np.max(moves, axis=0)


def _mean(support: Support, counts: NDArray[Any]) -> Any:
    with np.errstate(invalid="ignore"):
        return (counts / counts.sum(axis=-1, keepdims=True) * support.points).sum(axis=-1)


def _variance(support: Support, counts: NDArray[Any]) -> Any:
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = support.points - _mean(support, counts)[..., None]
        return (counts / counts.sum(axis=-1, keepdims=True) * deviations**2).sum(axis=-1)


def _quantile(support: Support, counts: NDArray[Any], q: float) -> Any:
    """The first point up to which at least n·q rows lie; ranks are compared as numpy computes them."""
    upto = np.cumsum(counts, axis=-1)
    rank = np.ceil(upto[..., -1:] * q)
    with np.errstate(invalid="ignore"):
        return support.points[np.argmax(upto >= np.maximum(rank, 1), axis=-1)]
