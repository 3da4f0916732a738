"""How many units until a mean is seen to be higher, or shown not to be, over values that were observed.

What a block gains for each stake is a random vector, whose mean and spread are those of blocks of observed values: nothing of their law is
guessed, however skewed. Its sums are drawn as paths, stretch by stretch, of which few are needed since all of them share one growth; a
path ends where the bets together reach their limit. So chance that helps one stake or another counts as it does in truth, which no
bound on the best stake alone tells: that is off by half where values are rare ones.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.sequential.block_pairs import STAKES, control_rows
from prodml_magics.stats.sequential.clipped_mean import BURN_IN, Difference, log_higher
from prodml_magics.stats.sequential.mixture import log_mean_exp

__all__ = ["BETWEEN", "moved", "rows_for_clipped_mean", "rows_for_values"]

Floats = NDArray[np.float64]

_PATHS = 480
_STRETCHES = 40
"""Until the best stake alone is expected to reach the limit."""
_LONGEST = 6
"""So many times as long at most."""
_TABLE = 4096
"""Blocks whose gains are drawn from."""
_SUMMED = 48
"""Blocks of a stretch of which more add up to a normal one."""
BETWEEN = 0.5826
"""Standard deviations of a stretch by which a walk is beyond its limit where it is seen there first (Chernoff 1965; Siegmund 1985)."""


def moved(values: Floats, higher: float) -> Floats:
    """Values [any] like `values` [units], in [0, 1], with a mean that is `higher`.

    All of them lie nearer to 1 by one factor; where there are only 0 and 1, some of the zeros are ones.

    >>> moved(np.array([0.0, 0.0, 1.0, 1.0]), 0.25).mean(), moved(np.array([0.0, 0.2, 0.4]), 0.4).round(2).tolist()
    (np.float64(0.75), [0.5, 0.6, 0.7])
    """
    room = max(1 - float(values.mean()), 1e-9)
    if not np.isin(values, (0.0, 1.0)).all():
        return np.asarray(1 - (1 - values) * max(1 - higher / room, 0.0))
    count = max(len(values), _TABLE)
    return (np.arange(count) < round(min(float(values.mean()) + higher, 1.0) * count)).astype(np.float64)


def rows_for_values(
    share: float,
    values: Floats,
    *,
    higher: float = 0.0,
    margin: float = 0.0,
    beyond: float = 0.0,
    both: bool = False,
    alpha: float = 0.05,
    guards: int = 1,
    power: float | None = None,
) -> float:
    """Units of both arms until block pairs show a mean that is `higher` by more than `beyond`, or "higher by less than `margin`".

    `values` [units] are some of the control's, within [0, 1]; the canary's are `moved`. With `both` sides neither higher nor lower by
    the `margin` has to be shown. The mean, or by which number a share `power` has seen it; inf where it may never be seen. Within 20 % of
    simulations of the tests at shares from 1 to 50 %, for laws from symmetric to one rare event.
    """
    rng, block = np.random.default_rng(0), control_rows(share)
    gains = _gains(rng, values, moved(values, higher), block, margin=margin, beyond=beyond, both=both)
    growth = gains.mean(axis=0)
    slowest = growth.reshape(-1, len(STAKES)).max(axis=1).min()
    if slowest <= 0:
        return math.inf
    limit = math.log(guards / alpha)
    taken = _blocks_taken(rng, gains, limit, stretch=max(1, round(limit / slowest / _STRETCHES)))
    return float(taken.mean() if power is None else np.quantile(taken, power)) * (1 + block)


def rows_for_clipped_mean(
    share: float, sd: float, apart: float, *, alpha: float = 0.05, guards: int = 1, power: float | None = None
) -> float:
    """Units of both arms until `log_higher` sees a mean that is higher by `apart`, where a value has the deviation `sd`.

    The mean, or by which number a share `power` has seen it; never before the canary has its first `BURN_IN`, and inf when there is
    nothing to see. The observed difference is followed along paths of Brownian motion in the information that units bring.
    """
    if apart <= 0 or sd <= 0:
        return math.inf
    limit, first = math.log(guards / alpha), BURN_IN / share
    each = share * (1 - share) / sd**2  # information of a unit
    last = max(2 * first, _LONGEST * 4 * (limit + 2) / (apart**2 * each))
    units = np.geomspace(first, last, _MOMENTS)
    steps = np.diff(units * each, prepend=0.0)
    walks = np.cumsum(np.random.default_rng(0).standard_normal((_PATHS, _MOMENTS)) * np.sqrt(steps), axis=1)
    seen = apart + walks / (units * each)
    taken = [_first_seen(row, units, each, sd, limit) for row in seen.tolist()]
    return float(np.mean(taken) if power is None else np.quantile(taken, power))


_MOMENTS = 150


def _first_seen(seen: list[float], units: Floats, each: float, sd: float, limit: float) -> float:
    """Units of the first moment at which the differences `seen` [moments] are enough; of the last one where none is."""
    for number, value in zip(units.tolist(), seen, strict=True):
        if log_higher(Difference(value, 1 / (number * each), sd / 10)) >= limit:
            return float(number)
    return float(units[-1])


def _gains(
    rng: np.random.Generator, values: Floats, canary: Floats, block: int, *, margin: float, beyond: float, both: bool
) -> Floats:
    """Of some blocks, what each stake gains [blocks, stakes]; of two sides one behind the other."""
    mine = _evenly(rng, canary, _TABLE)
    theirs = _evenly(rng, values, _TABLE * block).reshape(_TABLE, block).mean(axis=1)
    apart = mine - theirs
    if not margin:
        return np.log1p(STAKES * ((apart - beyond) / (1 + beyond))[:, None])
    sides = (apart, -apart) if both else (apart,)
    return np.concatenate([np.log1p(STAKES * ((margin - each) / (1 + margin))[:, None]) for each in sides], axis=1)


def _evenly(rng: np.random.Generator, values: Floats, count: int) -> Floats:
    """`count` of `values` in any order, each about equally often: their mean is the values' own, not one by chance."""
    ordered = np.sort(values)
    return rng.permutation(ordered[(np.arange(count) * len(ordered) + rng.integers(count)) // count % len(ordered)])


def _blocks_taken(rng: np.random.Generator, gains: Floats, limit: float, stretch: int) -> Floats:
    """Blocks [paths] until the bets of every side together have reached `limit`; looked at behind each stretch of blocks."""
    stakes = len(STAKES)
    mean, spread = gains.mean(axis=0) * stretch, _root_of(np.cov(gains.T)) * math.sqrt(stretch)
    reached = limit - BETWEEN * (math.sqrt(stretch) - 1) * float(gains.std(axis=0)[np.argmax(mean)])
    total, taken, going = np.zeros((_PATHS, gains.shape[1])), np.zeros(_PATHS), np.arange(_PATHS)
    for number in range(1, _LONGEST * _STRETCHES + 1):
        if stretch > _SUMMED:
            total[going] += mean + rng.standard_normal((len(going), len(mean))) @ spread
        else:
            total[going] += gains[rng.integers(len(gains), size=(len(going), stretch))].sum(axis=1)
        taken[going] = number * stretch
        shown = log_mean_exp(total[going].reshape(len(going), -1, stakes)).min(axis=1) >= reached
        going = going[~shown]
        if not len(going):
            break
    return taken


def _root_of(covariance: Floats) -> Floats:
    """A matrix R with RᵀR = `covariance`, which hardly has full rank."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)
