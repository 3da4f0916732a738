"""Labels of a past rollout, as they came: what a look at some moment would have known of those whom the other plan gave to each arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.evidence import Evidence, means_of
from prodml_magics.rollouts.labels import control_clip, with_units
from prodml_magics.rollouts.means import Units
from prodml_magics.rollouts.money import LEAST, Clip, clip_of
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["Given", "Late", "noted_after", "with_late"]

Floats = NDArray[np.float64]


class Late(NamedTuple):
    """What came late for one guard, about the answers [requests] of a record."""

    value: Floats
    """Mean over the rows of an answer that were labelled first, the higher the better; NaN where none was."""
    delay: Floats
    """Seconds from the answer to its label; NaN where there is none."""
    rows: Floats
    """How many rows the value is the mean of."""
    before: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))
    """Values of a metric on answers from before the rollout, in its own unit, and in which second of the rollout they came."""


class Given(NamedTuple):
    """Requests that were given to an arm so far, [requests] each."""

    request: NDArray[np.int64]
    answer: NDArray[np.int64]
    """Whose answer it got."""
    canary: NDArray[np.bool_]
    step: NDArray[np.int64]

    @classmethod
    def none(cls) -> Given:
        """Nobody yet."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, np.zeros(0, np.bool_), nothing)

    def plus(self, other: Given) -> Given:
        """Both, one behind the other."""
        return Given(
            np.concatenate([self.request, other.request]),
            np.concatenate([self.answer, other.answer]),
            np.concatenate([self.canary, other.canary]),
            np.concatenate([self.step, other.step]),
        )

    def among(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Given:
        """Those of the requests that are `kept`, a mask or places."""
        return Given(self.request[kept], self.answer[kept], self.canary[kept], self.step[kept])


def noted_after(late: Mapping[str, Late], given: Given, second: Floats) -> Given:
    """Those of `given` about whose answer any label ever came: all others never count."""
    known = np.zeros(len(second), np.bool_)
    for each in late.values():
        known |= np.isfinite(each.delay)
    return given.among(known[given.answer])


def with_late(
    plan: RolloutPlan,
    evidence: Evidence,
    late: Mapping[str, Late],
    given: Given,
    second: Floats,
    unit: NDArray[np.int64],
    stretch: tuple[float, float],
) -> Evidence:
    """`evidence` with the labels that came by the end of `stretch` (seconds); as it was where none came within it.

    `second` and `unit` [requests] say when each request of the record came, and which ones are of one unit.
    """
    for guard in means_of(plan):
        of = late.get(guard.metric)
        if of is None:
            continue
        noted = _noted(of, given, second)
        if not ((noted > stretch[0]) & (noted <= stretch[1])).any():
            continue
        come = noted <= stretch[1]
        units = _units(of, given.among(come), noted[come], unit)
        evidence = _with(plan, guard, evidence, of, units, stretch[1])
    return evidence


def _noted(of: Late, given: Given, second: Floats) -> Floats:
    """When the label of each came: of an answer that is lent when its own did, since labels that come together come for both arms.

    To the microsecond, so that labels of one moment stay of one moment. NaN where the answer has none.
    """
    own, lent = of.delay[given.request], of.delay[given.answer]
    delay = np.where(np.isfinite(own) & np.isfinite(lent), own, lent)
    return np.round(second[given.request] + delay, 6)


def _with(plan: RolloutPlan, guard: Guard, evidence: Evidence, of: Late, units: Units, until: float) -> Evidence:
    def clip() -> Clip | None:
        values = of.before[0][of.before[1] <= until]
        return clip_of(values) if len(values) >= LEAST else control_clip(guard, units)

    return with_units(plan, guard, evidence, units, clip, interval=False)


def _units(of: Late, given: Given, noted: Floats, unit: NDArray[np.int64]) -> Units:
    """Units in the order in which their labels came, each with the mean over those of its rows that were labelled first."""
    order = np.lexsort((given.request, noted))
    given, noted = given.among(order), noted[order]
    _, first, name = np.unique(unit[given.request], return_index=True, return_inverse=True)
    leads = first[name]
    same = (noted == noted[leads]) & (given.canary == given.canary[leads]) & (given.step == given.step[leads])
    rows = of.rows[given.answer] * same
    total, weight = (np.bincount(name, each) for each in (np.nan_to_num(of.value[given.answer]) * rows, rows))
    ranked = np.argsort(first, kind="stable")
    return Units(given.canary[first[ranked]], given.step[first[ranked]], (total / np.maximum(weight, 1))[ranked])
