"""How long each step of a ladder needs until its guards can see an effect, at the traffic and variance that were observed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.buckets import BURN_IN, buckets_for
from prodml_magics.rollouts.evidence import FLOOR
from prodml_magics.rollouts.guards import (
    bound_of,
    is_class,
    is_duration,
    is_latency,
    is_mean,
    is_score,
    label_guard,
    level_of,
    lower_is_better,
    range_of,
)
from prodml_magics.rollouts.money import clip_of
from prodml_magics.stats.sequential.exceedances import LEVELS, freeze
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, within
from prodml_magics.stats.sequential.rows_needed import (
    rows_for_difference,
    spread,
)
from prodml_magics.stats.sequential.rows_of_events import Bets, rows_for_events
from prodml_magics.stats.sequential.rows_of_values import rows_for_clipped_mean, rows_for_values
from prodml_magics.wire.rollouts import Guard

__all__ = ["Traffic", "lost_of", "rows_until_harm", "rows_until_no_worse", "seen_in_step", "sighted"]

_LEAST_RATE = 0.5


class Traffic(NamedTuple):
    """What was observed of the live version."""

    requests: int
    hours: float
    failed: int
    timed_out: int
    run_ms: NDArray[np.float64]
    memory: float = 1.0
    """For how many runs on end one is as slow as the next; 1 where they do not remember each other."""
    rejected: float = 0.0
    """Of the requests of earlier rollouts, the share that the live version rejected: outside of rollouts they are not recorded."""
    labelled: Mapping[str, float] = MappingProxyType({})
    """Share of the requests that have a label, or the metric, by guard; absent when there is none to plan with."""
    values: Mapping[str, NDArray[np.float64]] = MappingProxyType({})
    """Scores of answers, or what labels and metrics said of them, by guard, each in its own unit (accuracy: 1 where it was right)."""
    delays: Mapping[str, NDArray[np.float64]] = MappingProxyType({})
    """Seconds from the answer to what `values` say of it, for guards that wait for labels."""
    said: Mapping[str, int] = MappingProxyType({})
    """Answers that say a class, by guard."""

    @property
    def per_hour(self) -> float:
        return self.requests / self.hours

    def known(self, metric: str) -> NDArray[np.float64]:
        """Values of a guard that waits for labels; while no label has come those that vary most, and none of a metric."""
        found = self.values.get(metric, np.zeros(0))
        return np.array(range_of(metric), np.float64) if not len(found) and label_guard(metric) else found

    def rate(self, metric: str) -> float:
        """Failures per request; half a failure where there was none, since none in so many does not mean never."""
        rejected = self.rejected * self.requests
        counts = {"error_rate": self.failed, "timeout_rate": self.timed_out, "rejected": rejected, **self.said}
        count = counts.get(metric, 0)
        return max(count, _LEAST_RATE) / max(self.requests, 1)


def _bucketed(traffic: Traffic, share: float) -> float:
    """Requests that are asked for before latency is judged, where runs are slow in spells."""
    buckets = buckets_for(traffic.memory)
    return 0.0 if buckets is None else BURN_IN * max(buckets.length, 1 / share)


def rows_until_harm(
    guard: Guard, effect: Guard, traffic: Traffic, share: float, *, alpha: float, guards: int, power: float
) -> float:
    """Requests of both arms until `effect` is shown as harm with probability `power`; inf when it never is."""
    if is_latency(guard.metric):
        return max(_until_slower(effect.margin, traffic, share, alpha, guards, power), _bucketed(traffic, share))
    if is_duration(guard.metric):
        return max(_until_longer(traffic, share, alpha, guards, power, effect=effect.margin), _bucketed(traffic, share))
    if is_score(guard.metric):
        return _until_moved(guard, effect.margin, traffic, share, alpha, guards, power)
    if is_class(guard.metric):
        return _until_said(guard, effect.margin, traffic.rate(guard.metric), share, alpha, guards, power)
    if is_mean(guard.metric):
        return _until_mean(guard, traffic, share, alpha, _staked(guard) * guards, power, worse=effect.margin)
    rate = traffic.rate(guard.metric)
    ratio = 1 + effect.margin if effect.relative else (rate + effect.margin) / rate
    return rows_for_events(share, rate, ratio, [Bets(MORE)], alpha=alpha, guards=2 * guards, power=power)


def _staked(guard: Guard) -> int:
    """The start has half of the stake where harm may begin later."""
    return 1 if range_of(guard.metric) is None else 2


def _until_mean(
    guard: Guard,
    traffic: Traffic,
    share: float,
    alpha: float,
    guards: int,
    power: float,
    *,
    worse: float = 0.0,
    margin: float = 0.0,
) -> float:
    """Only requests with a label count, and they as late as labels come."""
    values = traffic.known(guard.metric)
    if not len(values):
        return math.inf
    units = _until_lower(guard, values, share, alpha, guards, power, worse=worse, margin=margin)
    late = float(np.median(traffic.delays.get(guard.metric, np.zeros(1))))
    return units / traffic.labelled.get(guard.metric, 1.0) + late / 3600 * traffic.per_hour


def _until_lower(
    guard: Guard,
    values: NDArray[np.float64],
    share: float,
    alpha: float,
    guards: int,
    power: float,
    *,
    worse: float,
    margin: float,
) -> float:
    """Units whose `values` have a range by what each loses, from 0 at its best end to 1; else by what its clipped values vary."""
    if range_of(guard.metric) is not None:
        width = bound_of(guard.metric)
        return rows_for_values(
            share,
            lost_of(guard.metric, values),
            higher=worse / width,
            margin=margin / width,
            alpha=alpha,
            guards=guards,
            power=power,
        )
    clip = clip_of(values)
    known = np.clip(values, clip.low, clip.high)
    factor = 1 + worse if lower_is_better(guard.metric) else 1 - worse
    sd = math.sqrt(share * (factor * known).var() + (1 - share) * known.var())
    apart = float(known.mean()) * (worse or margin)
    return rows_for_clipped_mean(share, sd, apart, alpha=alpha, guards=guards, power=power)


def lost_of(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each of `values` [any], in the metric's own unit, loses: from 0 at the better end of its range to 1 at the other."""
    limits = range_of(metric)
    assert limits is not None
    low, high = limits
    return np.clip((values - low if lower_is_better(metric) else high - values) / (high - low), 0.0, 1.0)


def _until_moved(guard: Guard, effect: float, traffic: Traffic, share: float, alpha: float, guards: int, power: float) -> float:
    """Either way has half of the stake, and the start half of that; it is taken to move where there is more room."""
    if effect <= guard.margin:
        return math.inf
    values = traffic.values[guard.metric]
    values = values if values.mean() <= 0.5 else 1 - values
    return rows_for_values(share, values, higher=effect, beyond=guard.margin, alpha=alpha, guards=2 * 2 * guards, power=power)


def _until_said(guard: Guard, effect: float, rate: float, share: float, alpha: float, guards: int, power: float) -> float:
    """Either way has half of the stake, and the start half of that."""
    null = 1 + guard.margin
    bets = Bets(MORE * null, null)
    return rows_for_events(share, rate, 1 + effect, [bets], alpha=alpha, guards=2 * 2 * guards, power=power)


def _until_longer(
    traffic: Traffic,
    share: float,
    alpha: float,
    guards: int,
    power: float,
    *,
    effect: float | None = None,
    margin: float = 0.0,
) -> float:
    """Runs as they were, the canary's longer by `effect` than the floor allows; without one as long, within the margin."""
    clip = float(freeze(traffic.run_ms)[-1])
    lifted = FLOOR.lifted(traffic.run_ms)
    control = np.minimum(lifted if effect is not None else np.maximum(traffic.run_ms * (1 + margin), lifted), clip)
    canary = np.minimum(traffic.run_ms * (1 + (effect or 0.0)), clip)
    apart = float(canary.mean() - control.mean()) * (1 if effect is not None else -1)
    sd = math.sqrt(share * canary.var() + (1 - share) * control.var())
    return rows_for_clipped_mean(share, sd, apart, alpha=alpha, guards=guards, power=power)


def _until_slower(effect: float, traffic: Traffic, share: float, alpha: float, guards: int, power: float) -> float:
    """The threshold that sees it first carries the mean over all of them."""
    thresholds = freeze(traffic.run_ms)
    found = [math.inf]
    for threshold in np.unique(thresholds):
        control = float((traffic.run_ms > threshold).mean())
        canary = float((traffic.run_ms * (1 + effect) > FLOOR.lifted(threshold)).mean())
        if canary > control > 0:
            staked = 2 * guards * len(LEVELS)
            ratio = canary / control
            found.append(rows_for_events(share, control, ratio, [Bets(MORE)], alpha=alpha, guards=staked, power=power))
    return min(found)


def rows_until_no_worse(guard: Guard, traffic: Traffic, share: float, *, alpha: float, power: float) -> float:
    """Requests of both arms until a candidate that is as good as the live version is shown to be, with probability `power`."""
    if is_latency(guard.metric):
        threshold = float(freeze(traffic.run_ms, [level_of(guard.metric)])[0])
        lifted = max(threshold * (1 + guard.margin), float(FLOOR.lifted(np.array([threshold]))[0]))
        control, canary = ((traffic.run_ms > limit).mean() for limit in (threshold, lifted))
        ratio = max(float(canary), _LEAST_RATE / len(traffic.run_ms)) / max(float(control), 1e-9)
        rows = rows_for_events(share, float(control), ratio, [Bets(FEWER)], alpha=alpha, power=power)
        return max(rows, _bucketed(traffic, share))
    if is_duration(guard.metric):
        return max(_until_longer(traffic, share, alpha, 1, power, margin=guard.margin), _bucketed(traffic, share))
    if is_score(guard.metric):
        return rows_for_values(share, traffic.values[guard.metric], margin=guard.margin, both=True, alpha=alpha, power=power)
    if is_mean(guard.metric):
        return _until_mean(guard, traffic, share, alpha, 1, power, margin=guard.margin)
    rate = traffic.rate(guard.metric)
    if not guard.relative:
        rows = rows_for_difference(share, rate, 0.0, guard.margin, alpha=alpha)
        by_chance = min(1.0, rows * rate / 3)  # where nothing fails nothing is left to chance
        return rows * (1 + (spread(power) - 1) * by_chance)
    null, ratios = 1 + guard.margin, within(guard.margin)
    sides = [Bets(ratios, null), *([Bets(1 / ratios, 1 / null)] if is_class(guard.metric) else [])]
    return rows_for_events(share, rate, 1.0, sides, alpha=alpha, power=power)


def seen_in_step(share: float, per_hour: float, *, min_rows: int, bake: float) -> float:
    """Requests of both arms that a step sees at least before it is left: `min_rows` of the canary's and `bake` seconds."""
    return max(min_rows / share, per_hour * bake / 3600)


def sighted(shares: Sequence[float], needed: Sequence[float], per_hour: float, *, deadline: float) -> list[float]:
    """The shares of a ladder at which the effect can be seen within `deadline` seconds."""
    return [share for share, rows in zip(shares, needed, strict=True) if rows / per_hour * 3600 <= deadline]
