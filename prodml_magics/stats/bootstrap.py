"""Confidence bounds by resampling counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "bootstrap_lower_bound"]

RESAMPLES = 400

Counts = NDArray[np.int64]


def bootstrap_lower_bound(
    before: Counts, now: Counts, effect: Callable[[Counts, Counts], Any], *, rows: tuple[int, int], alpha: float, seed: int = 0
) -> float:
    """A bound that lies below the true effect with probability about 1 − alpha; at least 0, NaN where no resample has one.

    `before` and `now` int64 [k] are resampled to `rows` of each side (fewer than they hold where rows are correlated), and
    `effect` maps count arrays [resamples, k] to effects [resamples]. The basic bootstrap, 2·found − quantile, which also
    takes off the bias of a distance that cannot be negative (Davison & Hinkley 1997, Bootstrap Methods, eq. 5.6).
    """
    generator = np.random.default_rng(seed)
    sides = [
        generator.multinomial(count, side / side.sum(), size=RESAMPLES) for side, count in zip((before, now), rows, strict=True)
    ]
    found = float(effect(before[None], now[None])[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = np.asarray(effect(*sides), dtype=np.float64)
    defined = resampled[np.isfinite(resampled)]
    if not len(defined) or not np.isfinite(found):
        return float("nan")
    return max(0.0, 2 * found - float(np.quantile(defined, 1 - alpha)))
