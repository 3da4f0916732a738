"""A metric without bounds, such as revenue: clipped, and compared asymptotically.

Values are clipped to what all but one in a thousand of earlier ones lay within on either side, so that no single one decides: what is
compared is the mean of clipped values. Where there are no earlier ones the first of the live version in the rollout tell the limits,
and are spent. A margin is a share of the live version's mean, and says nothing where that is not above 0.

Looked at ten times in 20,000 units, one of two equal versions was called worse in at most 3.3 % of 400 simulated runs at 5 % alpha, and
one worse by just the margin no worse in at most 3.5 %: log-normal values (sigma 1 and 1.5) and purchases that one unit in fifty makes.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.means import MeanTally, Units, labels_mismatch
from prodml_magics.stats.sequential.clipped_mean import Difference, Moments, difference, half_width, log_higher

__all__ = ["LEAST", "Clip", "clip_of", "clipped_tally_of"]

Floats = NDArray[np.float64]
LEAST = 200
"""Values from which the limits are taken."""
_BEYOND = 0.001


class Clip(msgspec.Struct, frozen=True):
    """Limits that were frozen before they were used."""

    low: float
    high: float
    spent: int = 0
    """How many of the live version's first units in the rollout they come from."""


def clip_of(values: Floats, spent: int = 0) -> Clip:
    """Limits that all but one in a thousand of `values` [any] lie within on either side; the ends where those are one."""
    low, high = (float(each) for each in np.quantile(values, [_BEYOND, 1 - _BEYOND]))
    return Clip(low, high, spent) if low < high else Clip(float(values.min()), float(values.max()), spent)


def clipped_tally_of(
    units: Units, shares: tuple[float, ...], margin: float, clip: Clip, alpha: float, *, lower: bool
) -> MeanTally:
    """The evidence of `units`, whose `value` is the higher the better (a metric of which `lower` is better with its sign turned).

    `margin` is a share of the control's mean, `clip` in the unit of the metric itself.
    """
    sign = -1.0 if lower else 1.0
    spent = ~units.canary & (np.cumsum(~units.canary) <= clip.spent)
    canary, step = units.canary[~spent], units.step[~spent]
    value = sign * np.clip(sign * units.value[~spent], clip.low, clip.high)
    lowered = value - margin * sign * value
    same = [(step == number) & (share < 1) for number, share in enumerate(shares)]
    apart = difference([(Moments.of(value[mine & ~canary]), Moments.of(value[mine & canary])) for mine in same])
    within = difference([(Moments.of(lowered[mine & ~canary]), Moments.of(value[mine & canary])) for mine in same])
    sums = float(value[~canary].sum()), float(value[canary].sum())
    width = half_width(apart, alpha)
    return MeanTally(
        units=(int((~canary).sum()), int(canary.sum())),
        sums=sums,
        squares=(float((value[~canary] ** 2).sum()), float((value[canary] ** 2).sum())),
        blocks=int(canary.sum()),
        harm=(log_higher(_turned(apart)),),
        no_worse=(log_higher(within) if sign * sums[0] > 0 else 0.0,),
        low=apart.mean - width if math.isfinite(width) else None,
        high=apart.mean + width if math.isfinite(width) else None,
        mismatch=labels_mismatch(units, shares),
    )


def _turned(found: Difference) -> Difference:
    return found._replace(mean=-found.mean)
