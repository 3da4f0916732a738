"""How many requests until a guard can be expected to see an effect: closed forms for plans and for "rows still needed"."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["rows_for_difference", "rows_for_mean", "rows_for_ratio", "spread"]

_FAR = 1e15
_FLUCTUATION = 0.25
_SPREAD = 0.5
"""Nats, fitted to simulations of the tests: what chance adds to a mixture, and what a spread stake costs."""


def rows_for_ratio(
    share: float,
    rate: float,
    ratio: float,
    *,
    null: float = 1.0,
    low: float = 1.1,
    high: float = 10.0,
    points: int = 24,
    alpha: float = 0.05,
    guards: int = 1,
) -> float:
    """Mean requests of both arms until `log_e_value` with `points` bets in [low, high]·null reaches guards/alpha; inf if never.

    Solves N KL(θ(ratio)‖θ(null)) = log(guards/alpha) − log g(N) for the events N, where g is the weight of the bets that lie within
    the reach of N events around the true ratio. Within 20 % of the simulated mean
    at shares from 1 to 50 % and ratios from 1.5 to 5.
    """
    bets = share * ratio / (share * ratio + 1 - share)
    fair = share * null / (share * null + 1 - share)
    gain = _divergence(bets, fair)
    if gain <= 0 or rate <= 0:
        return math.inf
    density = 1 / math.log(high / low)

    def lacking(events: float) -> float:
        reach = 1 / math.sqrt(events * bets * (1 - bets))
        inside = _normal((math.log(high * null) - math.log(ratio)) / reach) - _normal(
            (math.log(low * null) - math.log(ratio)) / reach
        )
        weight = min(1.0, max(density * math.sqrt(2 * math.pi) * reach * inside, 1 / points))
        return math.log(guards / alpha) - math.log(weight) - _FLUCTUATION - events * gain

    return _root(lacking) / (rate * (1 - share + share * ratio))


def rows_for_difference(share: float, rate: float, difference: float, margin: float, *, alpha: float = 0.05) -> float:
    """Mean requests of both arms until "no worse by `margin`" is shown, when the canary's rate is `rate` + `difference`.

    log(1/alpha) over the information per request: the divergence of the true pair of rates from the nearest one at the margin.
    """
    import numpy as np

    from prodml_magics.stats.sequential.difference import boundary

    a0 = max(rate, 1e-9)
    a1 = max(a0 + difference, 1e-9)
    if a1 - a0 >= margin * (1 - 1e-9):
        return math.inf
    s0 = float(boundary(np.float64(a0), np.float64(a1), share, margin))
    gain = share * _divergence(a1, s0 + margin) + (1 - share) * _divergence(a0, s0)
    return (math.log(1 / alpha) + _SPREAD) / gain


def rows_for_mean(
    share: float,
    lost: float,
    variance: float,
    *,
    worse: float = 0.0,
    margin: float = 0.0,
    bound: float = 1.0,
    alpha: float = 0.05,
    guards: int = 1,
) -> float:
    """Mean labelled units of both arms until block pairs show a mean that is `worse`, or with a `margin` "no worse by the margin".

    A unit loses `lost` on average with this `variance` (accuracy: the share of wrong answers): taken as one loss of equal size for
    some of the units, so that accuracy is exact. log(guards/alpha) and what the mixture of stakes costs, over the growth of the best
    of them per block. Within 20 % of the simulated mean at shares from 1 to 50 %.
    """
    import numpy as np

    from prodml_magics.stats.sequential.block_pairs import STAKES, control_rows

    lost = min(max(lost, 1e-6), bound)
    size = min(max((lost**2 + max(variance, 1e-12)) / lost, lost), bound)
    often, block = lost / size, control_rows(share)
    hurt = min((lost + worse) / size, 1.0)
    control = np.arange(block + 1)
    weights = np.exp([_log_binomial(block, int(k), often) for k in control])
    against = margin if margin else 0.0
    growth = np.zeros(len(STAKES))
    for happens, canary in ((hurt, 1.0), (1 - hurt, 0.0)):
        difference = size * (control / block - canary)
        payoff = (against + (difference if margin else -difference)) / (bound + against)
        growth += happens * (np.log1p(STAKES[:, None] * payoff) @ weights)
    best = float(growth.max())
    return (math.log(guards / alpha) + 2 * _SPREAD) / best * (1 + block) if best > 0 else math.inf


def _log_binomial(n: int, k: int, p: float) -> float:
    p = min(max(p, 1e-12), 1 - 1e-12)
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(p) + (n - k) * math.log1p(-p)


def spread(power: float) -> float:
    """By which multiple of the mean a share `power` of the rollouts has decided: half by 0.77, eight of ten by 1.45.

    In between and beyond on a log scale in the share that has not; both points are medians over simulated cells.
    """
    undecided = max(1 - power, 1e-6)
    slope = (1.45 - 1 / 1.3) / math.log(0.5 / 0.2)
    return max(0.1, 1 / 1.3 + slope * math.log(0.5 / undecided))


def _divergence(a: float, b: float) -> float:
    """KL(Bernoulli(a)‖Bernoulli(b)) in nats."""
    return (a * math.log(a / b) if a else 0.0) + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def _normal(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def _root(lacking: Callable[[float], float]) -> float:
    low, high = 1e-3, 1.0
    while lacking(high) > 0 and high < _FAR:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if lacking(middle) > 0 else (low, middle)
    return high
