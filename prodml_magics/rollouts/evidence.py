"""The evidence of a rollout: counts that add up, small enough to be kept in the ledger, and which guards read what of it.

It is folded from batches of answered requests, see `fold`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from prodml_magics.rollouts.baking import Baked, Before
from prodml_magics.rollouts.buckets import Buckets, buckets_for
from prodml_magics.rollouts.durations import Durations
from prodml_magics.rollouts.guards import is_class, is_duration, is_latency, is_mean, is_rate, is_score, level_of
from prodml_magics.rollouts.means import MeanTally
from prodml_magics.rollouts.money import Clip
from prodml_magics.rollouts.moved import Moved
from prodml_magics.rollouts.runs import Tally
from prodml_magics.stats.sequential.difference import NO_WORSE
from prodml_magics.stats.sequential.exceedances import LEVELS, Floor, freeze
from prodml_magics.stats.sequential.memory import memory_of
from prodml_magics.stats.sequential.rate_ratio import MORE
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = [
    "Beginning",
    "EVIDENCE_FORMAT",
    "Evidence",
    "FLOOR",
    "LEARNED",
    "begin",
    "durations_of",
    "latencies_of",
    "lift_of",
    "limits_of",
    "means_of",
    "rates_of",
    "scores_of",
    "with_thresholds",
]


EVIDENCE_FORMAT = 1


FLOOR = Floor()


LEARNED = 200
"""Live runs from which thresholds are frozen when there is no earlier traffic."""


Counts = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
"""Events by rate guard, arm (control, canary) and step."""


Binned = dict[int, int] | tuple[tuple[int, int], ...]
"""How many values lie in each bin; earlier releases kept pairs."""


class Beginning(msgspec.Struct, frozen=True):
    """The counts as they were at a later beginning."""

    counts: Counts
    slower: Tally | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the verdicts of one rollout rest on."""

    rollout: int
    shares: tuple[float, ...]
    requests: tuple[tuple[int, ...], tuple[int, ...]]
    """Randomised requests by arm and step: what the split is judged by."""
    counts: Counts
    """Failures, or answers that say a class, in the order of the plan's guards on them."""
    slower: Tally | None = None
    """Runs beyond the thresholds, a canary's beyond the lifted ones; none until there are thresholds."""
    margins: dict[str, Tally] = {}
    """Runs beyond each latency guard's margin, by guard and size class of the run (``latency_p99/3``: 8 to 15 rows)."""
    beginnings: tuple[Beginning, ...] = ()
    differences: dict[str, tuple[float, ...]] = {}
    """Log e-values of each guess, for guards with an absolute margin."""
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    """For the same guards: events and units by arm, the first request of each unit alone."""
    thresholds: tuple[float, ...] = ()
    """Milliseconds at `LEVELS` of earlier traffic; empty until there was enough of it."""
    learning: tuple[float, ...] = ()
    earlier_error_rate: float = 0.0
    marks: dict[str, int] = {}
    """Per writer of the request log, the sequence number up to which its rows are counted."""
    means: dict[str, MeanTally] = {}
    """What the labels that have come say, by guard; made anew from rows and labels whenever some have come."""
    clips: dict[str, Clip] = {}
    """Limits of metrics without bounds, by guard; frozen when there were enough values."""
    moved: Moved | None = None
    """What the answers say of the mean score; none where it is not guarded."""
    durations: dict[str, Durations] = {}
    """Moments of run times, where their mean is guarded, by step and size class of the run."""
    buckets: Buckets | None = None
    """The same by buckets of runs, where runs of earlier traffic remember each other."""
    times: tuple[Binned, Binned] = ((), ())
    """Runs by arm and bin of 2 % of their times, where their quantiles are guarded: what their bands are read from."""
    keyed: bool = False
    """Whether any request carried a routing key."""
    mismatch: bool = False
    passed: tuple[str, ...] = ()
    """Guards that were shown to be no worse at some look."""
    before: Before = Before()
    """What the control answered before the rollout: what a candidate that is live is held against."""
    baked: Baked = Baked()
    """What the candidate answered since it is live."""
    format: int = EVIDENCE_FORMAT

    @property
    def canary_requests(self) -> int:
        return sum(self.requests[1])


def rates_of(plan: RolloutPlan) -> tuple[Guard, ...]:
    """The guards that count requests: those that failed, or those whose answer says a class."""
    return _among(plan.guards, _counts_requests)


def _counts_requests(metric: str) -> bool:
    return is_rate(metric) or is_class(metric)


@lru_cache(maxsize=256)
def _among(guards: tuple[Guard, ...], meant: Callable[[str], bool]) -> tuple[Guard, ...]:
    """Kept, since every look asks for the same."""
    return tuple(guard for guard in guards if meant(guard.metric))


def latencies_of(plan: RolloutPlan) -> tuple[Guard, ...]:
    """The guards that count slow runs."""
    return _among(plan.guards, is_latency)


def durations_of(plan: RolloutPlan) -> tuple[Guard, ...]:
    """The guards on the mean time of runs."""
    return _among(plan.guards, is_duration)


def scores_of(plan: RolloutPlan) -> tuple[Guard, ...]:
    """The guards on the mean score."""
    return _among(plan.guards, is_score)


def means_of(plan: RolloutPlan) -> tuple[Guard, ...]:
    """The guards that wait for labels."""
    return _among(plan.guards, is_mean)


def begin(
    plan: RolloutPlan,
    rollout: int,
    *,
    latencies: NDArray[np.float64] | None = None,
    error_rate: float = 0.0,
    before: Before | None = None,
) -> Evidence:
    """No evidence yet. `latencies` (ms, of runs), `error_rate` and `before` are of earlier live traffic, where there was any."""
    shares = tuple(step / 100 for step in plan.steps)
    nothing = (tuple(0 for _ in shares), tuple(0 for _ in shares))
    absolute = [guard.metric for guard in rates_of(plan) if not guard.relative]
    evidence = Evidence(
        rollout=rollout,
        shares=shares,
        requests=nothing,
        counts=tuple(nothing for _ in rates_of(plan)),
        differences={metric: (0.0,) * len(NO_WORSE) for metric in absolute},
        sizes=dict.fromkeys(absolute, ((0, 0), (0, 0))),
        earlier_error_rate=error_rate,
        before=before or Before(),
        moved=Moved() if scores_of(plan) else None,
    )
    return with_thresholds(evidence, latencies) if latencies is not None and len(latencies) >= LEARNED else evidence


def with_thresholds(evidence: Evidence, latencies: ArrayLike) -> Evidence:
    """`evidence` that counts slow runs from now on; `latencies` (ms, of runs) say what is slow."""
    known = np.asarray(latencies, np.float64)
    thresholds = tuple(freeze(known).tolist())
    return replace(
        evidence,
        thresholds=thresholds,
        learning=(),
        slower=Tally.empty(len(LEVELS), len(MORE)),
        before=replace(evidence.before, runs=len(known)),
        buckets=buckets_for(memory_of(np.minimum(known, thresholds[-1]))),
    )


def lift_of(guard: Guard, threshold: float) -> float:
    """What a canary run has to exceed where a live one exceeds `threshold` (ms): the margin, and at least the floor."""
    return max(threshold * (1 + guard.margin), threshold * FLOOR.ratio + FLOOR.milliseconds)


def limits_of(plan: RolloutPlan, evidence: Evidence) -> dict[str, float]:
    """Milliseconds that a run of the candidate may take, by latency guard; empty while there are no thresholds."""
    if not evidence.thresholds:
        return {}
    found = {guard: evidence.thresholds[LEVELS.index(level_of(guard.metric))] for guard in latencies_of(plan)}
    return {guard.metric: lift_of(guard, threshold) for guard, threshold in found.items()}
