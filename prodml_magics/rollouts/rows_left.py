"""Requests that "no worse" is expected to take still."""

from __future__ import annotations

import math
from functools import lru_cache

from prodml_magics.rollouts.e_values import events_of
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.guards import (
    bound_of,
    is_duration,
    is_latency,
    is_mean,
    is_score,
    level_of,
    lower_is_better,
    range_of,
)
from prodml_magics.stats.sequential.rows_needed import rows_for_difference, rows_for_mean, rows_for_ratio
from prodml_magics.stats.sequential.rows_of_values import rows_for_clipped_mean
from prodml_magics.wire.rollouts import Guard, RolloutPlan, RolloutState

__all__ = ["rows_left"]


def rows_left(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    """Requests that "no worse" is expected to take still, if the arms are alike and the rates stay as they are."""
    if is_mean(guard.metric):
        return _needed_of_mean(guard, state, evidence, log_good)
    if is_score(guard.metric):
        return _needed_of_score(guard, state, evidence, log_good)
    if is_duration(guard.metric):
        return None
    rows = _expected(guard, state.share, _control_rate(guard, state.plan, evidence), state.plan.alpha)
    left = rows * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    return round(left) if math.isfinite(left) else None


def _needed_of_mean(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    """In requests, at the rate at which labels come."""
    tally = evidence.means.get(guard.metric)
    answered = sum(map(sum, evidence.requests))
    if tally is None or not sum(tally.units) or not answered:
        return None
    mean, limits = sum(tally.sums) / sum(tally.units), range_of(guard.metric)
    if limits is None:
        sd, worth = math.sqrt(tally.variance), abs(mean)
        units = rows_for_clipped_mean(
            state.share, float(f"{sd:.2g}"), float(f"{worth * guard.margin:.2g}"), alpha=state.plan.alpha
        )
    else:
        lost = limits[1] - mean if not lower_is_better(guard.metric) else -mean - limits[0]
        units = rows_for_mean(
            state.share,
            float(f"{lost:.2g}"),
            float(f"{tally.variance:.2g}"),
            margin=guard.margin,
            bound=bound_of(guard.metric),
            alpha=state.plan.alpha,
        )
    left = units * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    return round(left * answered / sum(tally.units)) if math.isfinite(left) else None


def _needed_of_score(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    moved = evidence.moved
    if moved is None or not sum(moved.units):
        return None
    middle, variance = float(f"{sum(moved.sums) / sum(moved.units):.2g}"), float(f"{moved.variance:.2g}")
    units = rows_for_mean(state.share, middle, variance, margin=guard.margin, bound=1.0, alpha=state.plan.alpha)
    left = units * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    answered = sum(map(sum, evidence.requests))
    return round(left * answered / sum(moved.units)) if math.isfinite(left) else None


@lru_cache(maxsize=256)
def _expected(guard: Guard, share: float, rate: float, alpha: float) -> float:
    if not guard.relative:
        return rows_for_difference(share, rate, 0.0, guard.margin, alpha=alpha)
    if is_latency(guard.metric):  # how much rarer the margin makes an exceedance depends on the shape: a half stands for most
        return rows_for_ratio(share, rate, 0.5, low=0.1, high=1 / 1.1, alpha=alpha)
    null = 1 + guard.margin
    return rows_for_ratio(share, rate, 1.0, null=null, low=0.8 / null, high=1.2 / null, points=12, alpha=alpha)


def _control_rate(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> float:
    if is_latency(guard.metric):
        return 1 - level_of(guard.metric)
    canary, both = events_of(guard, plan, evidence)
    return float(f"{(both - canary).sum() / max(1, sum(evidence.requests[0])):.2g}")
