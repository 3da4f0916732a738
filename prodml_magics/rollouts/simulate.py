"""How long a step needs until it sees an effect, by simulation of the very tests: traffic as it was observed, the effect put into it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.buckets import buckets_for
from prodml_magics.rollouts.evidence import Evidence, begin, means_of
from prodml_magics.rollouts.fold import Requests, Seen, fold
from prodml_magics.rollouts.guards import bound_of, is_class, is_duration, is_latency, is_score, lower_is_better, range_of
from prodml_magics.rollouts.judge import judge
from prodml_magics.rollouts.labels import with_units
from prodml_magics.rollouts.means import Units
from prodml_magics.rollouts.money import clip_of
from prodml_magics.rollouts.planner import Traffic, lost_of
from prodml_magics.stats.sequential.rows_of_values import moved
from prodml_magics.wire.rollouts import Guard, RolloutPlan, RolloutState

__all__ = ["requests_with", "simulated_rows"]

_START = datetime(2000, 1, 1, tzinfo=UTC)
_LOOKS = 25
"""Looks until harm is expected to be seen, and so many times as long at most."""
_LONGEST = 4
_LEAST_BATCH = 25


def simulated_rows(
    plan: RolloutPlan, effect: Guard, traffic: Traffic, *, expected: float, runs: int, power: float, seed: int = 0
) -> float:
    """Requests of both arms until the share `power` of `runs` rollouts, all on the first step of `plan`, have shown harm.

    All guards of the plan decide together, as they do in a rollout. `expected` says how far apart looks are; inf when the effect is
    not seen within four times as many requests.
    """
    rng = np.random.default_rng(seed)
    batch = max(_LEAST_BATCH, round(expected / _LOOKS))
    found = [_until_harm(rng, plan, effect, traffic, batch) for _ in range(runs)]
    return float(np.quantile(found, power, method="higher"))


def _until_harm(rng: np.random.Generator, plan: RolloutPlan, effect: Guard, traffic: Traffic, batch: int) -> float:
    state = RolloutState(model="", id=1, plan=plan, phase="running", step=0, began_at=_START, step_at=_START, by="")
    evidence, seen = begin(plan, 1, latencies=traffic.run_ms, error_rate=traffic.failed / max(traffic.requests, 1)), Seen()
    evidence = replace(evidence, buckets=buckets_for(traffic.memory))
    labels = [_Labels(rng, guard, effect, traffic) for guard in means_of(plan)]
    for taken in range(batch, _LOOKS * _LONGEST * batch + 1, batch):
        requests = requests_with(rng, state.share, effect, traffic, batch)
        evidence = fold(plan, evidence, requests, seen)
        for each in labels:
            evidence = each.with_batch(plan, evidence, requests.canary, taken)
        if judge(state, evidence).harm:
            return float(taken)
    return float("inf")


class _Labels:
    """What comes for one guard that waits for labels, as late as it came in truth."""

    def __init__(self, rng: np.random.Generator, guard: Guard, effect: Guard, traffic: Traffic) -> None:
        self._rng, self._guard = rng, guard
        self._often = traffic.labelled.get(guard.metric, 1.0)
        self._delays = traffic.delays.get(guard.metric, np.zeros(1)) / 3600 * traffic.per_hour
        known = traffic.known(guard.metric)
        worse = effect.margin if effect.metric == guard.metric else 0.0
        self._pools = _pools(guard.metric, known, worse)
        self._clip = None if range_of(guard.metric) is not None else clip_of(known)
        self._noted, self._canary, self._value = np.zeros(0), np.zeros(0, np.bool_), np.zeros(0)

    def with_batch(self, plan: RolloutPlan, evidence: Evidence, canary: NDArray[np.bool_], taken: int) -> Evidence:
        """`evidence` with the labels that came until so many requests were `taken`, the last of which are `canary` [batch]."""
        mine = canary[self._rng.random(len(canary)) < self._often]
        value = np.where(mine, *(self._rng.choice(pool, len(mine)) for pool in self._pools))
        noted = taken + self._rng.choice(self._delays, len(mine))
        self._noted, self._canary = np.append(self._noted, noted), np.append(self._canary, mine)
        self._value = np.append(self._value, value)
        order = np.argsort(self._noted, kind="stable")
        order = order[: np.searchsorted(self._noted[order], taken, "right")]
        units = Units(self._canary[order], np.zeros(len(order), np.int64), self._value[order])
        return with_units(plan, self._guard, evidence, units, lambda: self._clip, interval=False)


def _pools(metric: str, known: NDArray[np.float64], worse: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the canary and of the control, the higher the better."""
    if range_of(metric) is None:
        sign = -1.0 if lower_is_better(metric) else 1.0
        return sign * known * (1 - sign * worse), sign * known
    lost, width = lost_of(metric, known), bound_of(metric)
    return -width * moved(lost, worse / width), -width * lost


def requests_with(rng: np.random.Generator, share: float, effect: Guard, traffic: Traffic, rows: int) -> Requests:
    """Requests as they came, each a run of its own; the canary's with the effect."""
    canary = rng.random(rows) < share
    run_ms = rng.choice(traffic.run_ms, rows)
    if is_latency(effect.metric) or is_duration(effect.metric):
        run_ms = np.where(canary, run_ms * (1 + effect.margin), run_ms)
    timed_out = _events(rng, canary, traffic.rate("timeout_rate"), effect, "timeout_rate")
    failed = _events(rng, canary, traffic.rate("error_rate"), effect, "error_rate")
    fallback = canary & _events(rng, canary, traffic.rate("fallback_rate"), effect, "fallback_rate")
    status = np.where(timed_out, 504, np.where(failed, 500, 200))
    status = np.where(_events(rng, canary, traffic.rate("rejected"), effect, "rejected"), 422, status)
    said = {metric: _events(rng, canary, traffic.rate(metric), effect, metric) for metric in traffic.said if is_class(metric)}
    score = _scores(rng, canary, effect, traffic)
    return Requests(canary, np.zeros(rows, np.int64), status, run_ms, np.ones(rows, np.int64), [""] * rows, fallback, said, score)


def _scores(rng: np.random.Generator, canary: NDArray[np.bool_], effect: Guard, traffic: Traffic) -> NDArray[np.float64] | None:
    """Scores as they were; with the effect on them the canary's are moved towards the end that has more room."""
    known = next((values for metric, values in traffic.values.items() if is_score(metric)), None)
    if known is None:
        return None
    drawn = rng.choice(known, len(canary))
    if not is_score(effect.metric):
        return drawn
    low = known.mean() <= 0.5
    pool = moved(known if low else 1 - known, effect.margin)
    return np.where(canary, rng.choice(pool if low else 1 - pool, len(canary)), drawn)


def _events(rng: np.random.Generator, canary: NDArray[np.bool_], rate: float, effect: Guard, metric: str) -> NDArray[np.bool_]:
    worse = rate
    if effect.metric == metric:
        worse = rate * (1 + effect.margin) if effect.relative else rate + effect.margin
    return rng.random(len(canary)) < np.where(canary, min(worse, 1.0), rate)
