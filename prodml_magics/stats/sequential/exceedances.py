"""Is the canary slower? Events are requests beyond thresholds that were frozen on earlier traffic; their e-values are averaged.

An average over the thresholds sees a shift of the whole distribution and one of its tail alike, and keeps the alpha of each: means and
ranks are blind to the tail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.rate_ratio import MORE, log_e_value

__all__ = ["LEVELS", "Floor", "exceeded", "freeze", "log_slower"]

LEVELS: tuple[float, ...] = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
"""Shares of earlier traffic below the thresholds."""


class Floor(NamedTuple):
    """How much slower the canary may be before it counts: x becomes ``ratio`` · x + ``milliseconds``.

    At the floor both arms exceed their thresholds equally often. It is never 0: the small arm runs in smaller batches and colder
    caches, so that the very same version differs by microseconds.
    """

    ratio: float = 1.05
    milliseconds: float = 0.25

    def lifted(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the canary has to exceed where the control exceeds `thresholds`."""
        return thresholds * self.ratio + self.milliseconds


def freeze(latencies: ArrayLike, levels: ArrayLike = LEVELS) -> NDArray[np.float64]:
    """Thresholds [levels] from latencies (milliseconds) of earlier traffic; equals ``numpy.quantile(..., method="higher")``."""
    return np.quantile(np.asarray(latencies, np.float64), np.asarray(levels), method="higher")


def exceeded(latencies: ArrayLike, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which latencies [rows] lie beyond which thresholds, [rows, thresholds]; a tie is not beyond."""
    return np.asarray(latencies, np.float64)[:, None] > thresholds


def log_slower(canary: ArrayLike, events: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """Log e-value [...] against "no slower beyond the floor": canary exceedances [..., thresholds], both arms' [..., thresholds, steps]."""
    return log_mean_exp(log_e_value(canary, events, shares, MORE))
