"""Between which values the rate ratio lies: a confidence sequence, valid at every look at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_sum_exp
from prodml_magics.stats.sequential.rate_ratio import log_likelihood

__all__ = ["RatioInterval", "ratio_interval"]

_LOGS = np.linspace(-2.4, 2.4, 49)
_PRIOR = 1.0 / (1.0 + (_LOGS / 0.3) ** 2)
_WEIGHTS: NDArray[np.float64] = _PRIOR / _PRIOR.sum()
_FAR = 12.0
_HALVINGS = 60


class RatioInterval(NamedTuple):
    """Ratios that the events do not speak against; ``(0, inf)`` before any event."""

    low: float
    high: float


def ratio_interval(canary: float, events: ArrayLike, shares: ArrayLike, alpha: float = 0.05) -> RatioInterval:
    """The ratios r with mixture / likelihood(r) < 1/alpha, for one count `canary` and `events` [steps] of both arms.

    The mixture is a Cauchy of scale 0.3 on log ρ over 49 points. Covers the true ratio at all looks together with probability at
    least 1 − alpha. The log likelihood is unimodal in log r, so both ends are found by halving.
    """
    total = np.asarray(events, np.float64)
    if not total.sum():
        return RatioInterval(0.0, float("inf"))
    mixture = float(log_sum_exp(log_likelihood(canary, total, shares, np.exp(_LOGS)), _WEIGHTS))

    def kept(log_ratio: float) -> bool:
        return mixture - float(log_likelihood(canary, total, shares, [np.exp(log_ratio)])[0]) < np.log(1 / alpha)

    grid = np.linspace(-_FAR, _FAR, 481)
    best = float(grid[np.argmax(log_likelihood(canary, total, shares, np.exp(grid)))])
    low = 0.0 if kept(-_FAR) else float(np.exp(_edge(kept, best, -_FAR)))
    high = float("inf") if kept(_FAR) else float(np.exp(_edge(kept, best, _FAR)))
    return RatioInterval(low, high)


def _edge(kept: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if kept(middle) else (inside, middle)
    return outside
