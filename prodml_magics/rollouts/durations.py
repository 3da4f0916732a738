"""The mean time of model runs, canary against control, within a step and among runs of like size.

Times have no bound, so that they are clipped at the highest threshold of earlier traffic, and the verdict holds asymptotically. Harm is
tested beyond the floor of latencies and "no worse" at the margin: a control run is lengthened by either before it is held against.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.sequential.clipped_mean import Difference, Moments, difference
from prodml_magics.stats.sequential.exceedances import Floor

__all__ = ["Durations", "add_durations", "beyond_floor", "beyond_margin", "means", "shift"]

Floats = NDArray[np.float64]


class Durations(msgspec.Struct, frozen=True):
    """Of one step and size class: moments of clipped run times (ms)."""

    canary: Moments = Moments()
    control: Moments = Moments()
    floor: Moments = Moments()
    """Of the control's, lengthened by the floor."""
    margin: Moments = Moments()
    """Of the control's, lengthened by the margin."""


def add_durations(
    known: dict[str, Durations],
    canary: NDArray[np.bool_],
    took: Floats,
    stratum: NDArray[np.int64],
    *,
    clip: float,
    margin: float,
    floor: Floor,
) -> dict[str, Durations]:
    """`known`, by stratum, with runs in it: `took` [runs] milliseconds; `stratum` [runs] numbers step and size."""
    found = dict(known)
    for number in np.unique(stratum).tolist():
        mine = took[stratum == number]
        theirs = canary[stratum == number]
        control, before = mine[~theirs], found.get(str(number), Durations())
        lifted = floor.lifted(control)
        parts = (mine[theirs], control, lifted, np.maximum(control * (1 + margin), lifted))
        old = (before.canary, before.control, before.floor, before.margin)
        found[str(number)] = Durations(
            *(was.plus(Moments.of(np.minimum(values, clip))) for was, values in zip(old, parts, strict=True))
        )
    return found


def beyond_floor(known: dict[str, Durations]) -> Difference:
    """How much longer the canary's runs take than the control's with the floor."""
    return difference([(each.floor, each.canary) for each in known.values()])


def beyond_margin(known: dict[str, Durations]) -> Difference:
    """How much shorter the canary's runs take than the control's with the margin."""
    found = difference([(each.margin, each.canary) for each in known.values()])
    return found._replace(mean=-found.mean)


def shift(known: dict[str, Durations]) -> Difference:
    """Canary minus control, as they are."""
    return difference([(each.control, each.canary) for each in known.values()])


def means(known: dict[str, Durations]) -> tuple[Moments, Moments]:
    """All runs of the control, and of the canary."""
    control, canary = Moments(), Moments()
    for each in known.values():
        control, canary = control.plus(each.control), canary.plus(each.canary)
    return control, canary
