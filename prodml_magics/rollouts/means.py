"""Label-based evidence: the mean of a bounded score of labelled answers, canary against control, by exact block pairs.

Labels come late, so units are paired in the order in which their labels came, within the step in which they were answered. A label's
delay must not depend on the arm: whether labels come for both arms in their shares is tested as the split itself is, and where they
do not, the comparison is void.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.stats.sequential.block_pairs import control_rows, log_gains, log_mean_of, pair
from prodml_magics.stats.sequential.onset import beginnings_due, log_over_onsets
from prodml_magics.stats.sequential.sample_ratio import ALPHA, log_mismatch

__all__ = ["MeanTally", "Units", "labels_mismatch", "log_lower", "tally_of", "with_beginnings"]

Floats = NDArray[np.float64]
_HALVINGS = 30


class Units(NamedTuple):
    """Labelled units [units] in the order in which their labels came; `value` is the higher the better, `step` indexes the plan's."""

    canary: NDArray[np.bool_]
    step: NDArray[np.int64]
    value: Floats


class MeanTally(msgspec.Struct, frozen=True, kw_only=True):
    """What the labels that have come say of one guard."""

    units: tuple[int, int]
    """Labelled units by arm (control, canary)."""
    sums: tuple[float, float]
    squares: tuple[float, float]
    blocks: int
    """Canary units that were held against their block of control units."""
    harm: tuple[float, ...]
    """Σ log gains of each stake on "lower at all"."""
    no_worse: tuple[float, ...]
    """The same on "lower by less than the margin"."""
    low: float | None
    high: float | None
    """Confidence sequence for the difference of the means, canary minus control; null where nothing bounds it yet."""
    begun: tuple[tuple[float, ...], ...] = ()
    """`harm` as it was at each later beginning: a harm that comes late is held against what came since."""
    mismatch: bool = False
    """Whether labels come more often for one arm than its share."""

    @property
    def variance(self) -> float:
        """Of a unit, both arms together."""
        count = max(sum(self.units), 1)
        return max(sum(self.squares) / count - (sum(self.sums) / count) ** 2, 0.0)


def with_beginnings(tally: MeanTally, before: MeanTally | None) -> MeanTally:
    """`tally`, made anew, with the beginnings of the one `before`, and those that are due now: they do not look ahead."""
    begun = () if before is None else before.begun
    missing = beginnings_due(tally.blocks) - len(begun)
    return replace(tally, begun=begun + (tally.harm,) * max(missing, 0))


def log_lower(tally: MeanTally) -> float:
    """Log e-value against "not lower": from the start on and from every beginning."""
    each = [tally.harm, *(np.subtract(tally.harm, begun) for begun in tally.begun)]
    return float(log_over_onsets(log_mean_of(np.array(each))))


def tally_of(
    units: Units, shares: tuple[float, ...], margin: float, bound: float, alpha: float, *, interval: bool = True
) -> MeanTally:
    """The evidence of `units`; differences of two values lie in [−`bound`, `bound`], `margin` is in their unit.

    It is a function of the units alone, so that it can be made anew whenever labels have come. The `interval` is for people: it takes
    most of the time, and is left unbounded without.
    """
    differences = np.concatenate([np.zeros(0), *(_differences(units, step, share) for step, share in enumerate(shares))])
    sides = [~units.canary, units.canary]
    low, high = _interval(differences, bound, alpha) if interval else (-bound, bound)
    return MeanTally(
        units=(int(sides[0].sum()), int(sides[1].sum())),
        sums=(float(units.value[sides[0]].sum()), float(units.value[sides[1]].sum())),
        squares=(float((units.value[sides[0]] ** 2).sum()), float((units.value[sides[1]] ** 2).sum())),
        blocks=len(differences),
        harm=tuple(log_gains(-differences, 0.0, bound).tolist()),
        no_worse=tuple(log_gains(differences, margin, bound).tolist()),
        low=low,
        high=high,
        mismatch=labels_mismatch(units, shares),
    )


def _differences(units: Units, step: int, share: float) -> Floats:
    mine = units.step == step
    if share >= 1 or not mine.any():
        return np.zeros(0)
    canary, value = units.canary[mine], units.value[mine]
    return pair(value[canary], value[~canary], control_rows(share)).differences


def labels_mismatch(units: Units, shares: tuple[float, ...]) -> bool:
    """Whether labels come more often for one arm than its share."""
    split = np.array(shares) < 1
    both = np.bincount(units.step, minlength=len(shares))[split]
    return float(log_mismatch(units.canary.sum(), both, np.array(shares)[split])) >= math.log(1 / ALPHA)


def _interval(differences: Floats, bound: float, alpha: float) -> tuple[float, float]:
    """Means that neither side bets away at alpha/2, by halving: the bets grow as the mean that they are held against moves off."""
    if not len(differences):
        return -bound, bound
    centre = float(np.clip(differences, -bound, bound).mean())

    def low_refused(mean: float) -> bool:
        return float(log_mean_of(log_gains(differences, -mean, bound))) >= math.log(2 / alpha)

    def high_refused(mean: float) -> bool:
        return float(log_mean_of(log_gains(-differences, mean, bound))) >= math.log(2 / alpha)

    edge = bound * (1 - 1e-9)
    low = _edge(low_refused, centre, -edge)
    return low, _edge(high_refused, centre, edge)


def _edge(refused: Callable[[float], bool], inside: float, outside: float) -> float:
    if not refused(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if refused(middle) else (middle, outside)
    return outside
