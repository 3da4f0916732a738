"""How long each step of a ladder needs until its guards can see an effect, at the traffic and variance that were observed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.evidence import FLOOR
from prodml_magics.rollouts.guards import bound_of, is_latency, is_mean, level_of
from prodml_magics.stats.sequential.exceedances import LEVELS, freeze
from prodml_magics.stats.sequential.rows_needed import rows_for_difference, rows_for_mean, rows_for_ratio, spread
from prodml_magics.wire.rollouts import Guard

__all__ = ["Traffic", "rows_until_harm", "rows_until_no_worse", "seen_in_step", "sighted"]

_LEAST_RATE = 0.5


class Traffic(NamedTuple):
    """What was observed of the live version."""

    requests: int
    hours: float
    failed: int
    timed_out: int
    run_ms: NDArray[np.float64]
    labelled: float = 0.0
    """Share of the requests that have a label; 0 when there is none to plan with."""
    lost: Mapping[str, tuple[float, float]] = MappingProxyType({})
    """Mean and variance of what a labelled answer loses, by guard: 1 where it is wrong, or its log loss."""

    @property
    def per_hour(self) -> float:
        return self.requests / self.hours

    def rate(self, metric: str) -> float:
        """Failures per request; half a failure where there was none, since none in so many does not mean never."""
        count = {"error_rate": self.failed, "timeout_rate": self.timed_out}.get(metric, 0)
        return max(count, _LEAST_RATE) / max(self.requests, 1)


def rows_until_harm(
    guard: Guard, effect: Guard, traffic: Traffic, share: float, *, alpha: float, guards: int, power: float
) -> float:
    """Requests of both arms until `effect` is shown as harm with probability `power`; inf when it never is."""
    if is_latency(guard.metric):
        return spread(power) * _until_slower(effect.margin, traffic, share, alpha, guards)
    if is_mean(guard.metric):
        return spread(power) * _until_mean(guard, traffic, share, alpha, guards, worse=effect.margin)
    rate = traffic.rate(guard.metric)
    ratio = 1 + effect.margin if effect.relative else (rate + effect.margin) / rate
    # Beyond the largest ratio that is bet on, a larger one is seen no sooner than its events come.
    return spread(power) * rows_for_ratio(share, rate, ratio, high=max(10.0, ratio * 1.1), alpha=alpha, guards=2 * guards)


_UNKNOWN = {"accuracy": (0.5, 0.25), "log_loss": (1.5, 2.25)}
"""Mean and variance where they are largest: what is planned with while no label has come."""


def _until_mean(
    guard: Guard, traffic: Traffic, share: float, alpha: float, guards: int, *, worse: float = 0.0, margin: float = 0.0
) -> float:
    """Only requests with a label count; where there was none, every one is taken to get one."""
    lost, variance = traffic.lost.get(guard.metric, _UNKNOWN[guard.metric])
    bound = bound_of(guard.metric)
    units = rows_for_mean(share, lost, variance, worse=worse, margin=margin, bound=bound, alpha=alpha, guards=guards)
    return units / (traffic.labelled or 1.0)


def _until_slower(effect: float, traffic: Traffic, share: float, alpha: float, guards: int) -> float:
    """The threshold that sees it first carries the mean over all of them."""
    thresholds = freeze(traffic.run_ms)
    found = [math.inf]
    for threshold in np.unique(thresholds):
        control = float((traffic.run_ms > threshold).mean())
        canary = float((traffic.run_ms * (1 + effect) > FLOOR.lifted(threshold)).mean())
        if canary > control > 0:
            ratio = canary / control
            rows = rows_for_ratio(
                share, control, ratio, high=max(10.0, ratio * 1.1), alpha=alpha, guards=2 * guards * len(LEVELS)
            )
            found.append(rows)
    return min(found)


def rows_until_no_worse(guard: Guard, traffic: Traffic, share: float, *, alpha: float, power: float) -> float:
    """Requests of both arms until a candidate that is as good as the live version is shown to be, with probability `power`."""
    if is_latency(guard.metric):
        threshold = float(freeze(traffic.run_ms, [level_of(guard.metric)])[0])
        lifted = max(threshold * (1 + guard.margin), float(FLOOR.lifted(np.array([threshold]))[0]))
        control, canary = ((traffic.run_ms > limit).mean() for limit in (threshold, lifted))
        ratio = max(float(canary), _LEAST_RATE / len(traffic.run_ms)) / max(float(control), 1e-9)
        return spread(power) * rows_for_ratio(share, float(control), ratio, low=0.1, high=1 / 1.1, alpha=alpha)
    if is_mean(guard.metric):
        return spread(power) * _until_mean(guard, traffic, share, alpha, 1, margin=guard.margin)
    rate = traffic.rate(guard.metric)
    if not guard.relative:
        return spread(power) * rows_for_difference(share, rate, 0.0, guard.margin, alpha=alpha)
    null = 1 + guard.margin
    return spread(power) * rows_for_ratio(share, rate, 1.0, null=null, low=0.8 / null, high=1.2 / null, points=12, alpha=alpha)


def seen_in_step(share: float, per_hour: float, *, min_rows: int, bake: float) -> float:
    """Requests of both arms that a step sees at least before it is left: `min_rows` of the canary's and `bake` seconds."""
    return max(min_rows / share, per_hour * bake / 3600)


def sighted(shares: Sequence[float], needed: Sequence[float], per_hour: float, *, deadline: float) -> list[float]:
    """The shares of a ladder at which the effect can be seen within `deadline` seconds."""
    return [share for share, rows in zip(shares, needed, strict=True) if rows / per_hour * 3600 <= deadline]
