"""Every guard with its evidence, for people."""

from __future__ import annotations

import math
from typing import NamedTuple

from prodml_magics.rollouts.durations import means, shift
from prodml_magics.rollouts.e_values import events_of, log_harm, log_no_worse, margins_of
from prodml_magics.rollouts.evidence import Evidence, latencies_of
from prodml_magics.rollouts.guards import is_class, is_duration, is_latency, is_mean, is_score, lower_is_better, margin_text
from prodml_magics.rollouts.harm import culprits
from prodml_magics.rollouts.judge import void
from prodml_magics.rollouts.moved import interval
from prodml_magics.rollouts.notes import note_on
from prodml_magics.rollouts.rows_left import rows_left
from prodml_magics.rollouts.watched import unwell, watched_verdicts
from prodml_magics.stats.sequential.clipped_mean import half_width
from prodml_magics.stats.sequential.interval import ratio_interval
from prodml_magics.stats.sequential.rate_ratio import FEWER, log_e_value
from prodml_magics.wire.rollouts import Guard, GuardVerdict, RolloutPlan, RolloutState

__all__ = ["verdicts"]

_MOST = 700.0


def verdicts(state: RolloutState, evidence: Evidence) -> tuple[GuardVerdict, ...]:
    """Every guard with its evidence, for people."""
    if state.plan.at_once:
        return watched_verdicts(state.plan, evidence)
    harm = log_harm(state.plan, evidence)
    worse = {*culprits(harm, state.plan.alpha), *unwell(state.plan, evidence)}
    return tuple(_verdict(guard, state, evidence, harm, worse) for guard in state.plan.guards)


def _verdict(guard: Guard, state: RolloutState, evidence: Evidence, harm: dict[str, float], named: set[str]) -> GuardVerdict:
    plan = state.plan
    worse = bool(named & ({guard.metric} if not is_latency(guard.metric) else {each.metric for each in latencies_of(plan)}))
    passed = guard.metric in evidence.passed and not void(guard, evidence)
    log_good = log_no_worse(guard, plan, evidence)
    found = _found(guard, plan, evidence)
    return GuardVerdict(
        metric=guard.metric,
        margin=margin_text(guard),
        verdict="worse" if worse else "better" if found.better else "no worse" if passed else "undecided",
        e_worse=math.exp(min(_latency(harm) if is_latency(guard.metric) else harm[guard.metric], _MOST)),
        e_no_worse=math.exp(min(log_good, _MOST)),
        canary_events=found.canary,
        control_events=found.control,
        low=found.low,
        high=found.high,
        canary_rows=found.canary_rows,
        control_rows=found.control_rows,
        of="difference" if found.control_mean is not None or is_mean(guard.metric) else "ratio",
        canary_mean=found.canary_mean,
        control_mean=found.control_mean,
        rows_needed=None if passed or worse else rows_left(guard, state, evidence, log_good),
        note=note_on(guard, plan, evidence, events=found.canary + found.control),
    )


class _Found(NamedTuple):
    canary: int
    control: int
    low: float | None
    high: float | None
    better: bool
    canary_rows: int
    control_rows: int
    canary_mean: float | None = None
    control_mean: float | None = None


def _found(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> _Found:
    if is_mean(guard.metric):
        return _mean_found(guard, evidence)
    if is_score(guard.metric):
        return _score_found(plan, evidence)
    if is_duration(guard.metric):
        return _duration_found(plan, evidence)
    return _latency_found(guard, evidence) if is_latency(guard.metric) else _rate_found(guard, plan, evidence)


def _rate_found(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> _Found:
    canary, both = events_of(guard, plan, evidence)
    ratios = ratio_interval(canary.sum(), both, evidence.shares, plan.alpha)
    fewer = float(log_e_value(canary.sum(), both, evidence.shares, FEWER)) >= math.log(1 / plan.alpha)
    better = fewer and not is_class(guard.metric)
    high = ratios.high if math.isfinite(ratios.high) else None
    return _Found(int(canary.sum()), int(both.sum() - canary.sum()), ratios.low, high, better, *_requests(evidence))


def _latency_found(guard: Guard, evidence: Evidence) -> _Found:
    mine = margins_of(guard, evidence)
    control, canary = (sum(each.events[0][arm] for each in mine) for arm in (0, 1))
    return _Found(canary, control, None, None, False, *_requests(evidence))


def _mean_found(guard: Guard, evidence: Evidence) -> _Found:
    """Its events are the labelled units."""
    tally = evidence.means.get(guard.metric)
    if tally is None:
        return _Found(0, 0, None, None, False, 0, 0)
    control, canary = tally.units
    sign = -1.0 if lower_is_better(guard.metric) else 1.0  # kept the higher the better, shown as people know it
    low, high = (
        (-tally.high, -tally.low) if sign < 0 and tally.low is not None and tally.high is not None else (tally.low, tally.high)
    )
    means = [sign * total / units if units else None for total, units in zip(tally.sums, tally.units, strict=True)]
    better = tally.low is not None and tally.low > 0 and not tally.mismatch
    return _Found(canary, control, low, high, better, canary, control, means[1], means[0])


def _score_found(plan: RolloutPlan, evidence: Evidence) -> _Found:
    """Its events are the answered units."""
    if evidence.moved is None or not sum(evidence.moved.units):
        return _Found(0, 0, None, None, False, 0, 0)
    (control, canary), sums = evidence.moved.units, evidence.moved.sums
    low, high = interval(evidence.moved, plan.alpha)
    mine, theirs = (total / units if units else None for total, units in ((sums[1], canary), (sums[0], control)))
    return _Found(canary, control, low, high, False, canary, control, mine, theirs)


def _duration_found(plan: RolloutPlan, evidence: Evidence) -> _Found:
    """Its events are runs, its means milliseconds."""
    control, canary = means(evidence.durations)
    apart = shift(evidence.durations)
    width = half_width(apart, plan.alpha)
    low, high = (apart.mean - width, apart.mean + width) if math.isfinite(width) else (None, None)
    return _Found(
        canary.size,
        control.size,
        low,
        high,
        high is not None and high < 0,
        canary.size,
        control.size,
        canary.mean if canary.size else None,
        control.mean if control.size else None,
    )


def _requests(evidence: Evidence) -> tuple[int, int]:
    return sum(evidence.requests[1]), sum(evidence.requests[0])


def _latency(harm: dict[str, float]) -> float:
    return next((value for name, value in harm.items() if is_latency(name)), 0.0)
