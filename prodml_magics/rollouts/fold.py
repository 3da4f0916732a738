"""Batches of answered requests added to the evidence of a rollout.

For failures a request is the unit: all its rows go to one arm. Requests that carry a routing key are counted by key, each key once per
kind of failure, since a user who fails once tends to fail again. For latency a run of the model is the unit, see `runs`. Base rates
may do what they like; see `prodml_magics.stats.sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import add
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.baking import Answered, fold_baked
from prodml_magics.rollouts.buckets import add_to_buckets
from prodml_magics.rollouts.durations import add_durations
from prodml_magics.rollouts.evidence import (
    FLOOR,
    LEARNED,
    Beginning,
    Evidence,
    durations_of,
    latencies_of,
    lift_of,
    limits_of,
    rates_of,
    scores_of,
    with_thresholds,
)
from prodml_magics.rollouts.guards import is_duration, is_latency, is_rate, level_of
from prodml_magics.rollouts.moved import Scored, add_scores
from prodml_magics.rollouts.runs import Tally, add_runs, joined, parted
from prodml_magics.stats.sequential.difference import NO_WORSE, log_increment
from prodml_magics.stats.sequential.exceedances import LEVELS
from prodml_magics.stats.sequential.onset import beginnings_due
from prodml_magics.stats.sequential.quantiles import add_binned, bins_of
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["Requests", "Seen", "failures_of", "fold", "fold_live", "series_of"]


_SIZES = 64
"""More than the size classes of runs that there can be."""


class Requests(NamedTuple):
    """A batch of randomised requests, [requests] each; `step` indexes the plan's steps, `key` is empty where none was sent."""

    canary: NDArray[np.bool_]
    step: NDArray[np.int64]
    status: NDArray[np.int64]
    run_ms: NDArray[np.float64]
    """Time of the model run in which the request was answered; what it took in all where it was given up."""
    run_rows: NDArray[np.int64]
    """Rows of that run, on the first request of each; 0 on the others."""
    key: Sequence[str]
    fallback: NDArray[np.bool_] | None = None
    """Whether another version stood in for the one that kept failing; none did where this is null."""
    said: Mapping[str, NDArray[np.bool_]] = MappingProxyType({})
    """Whether it said a class, by guard on one."""
    score: NDArray[np.float64] | None = None
    """NaN where there is none; null where it is not guarded."""


Seen = dict[str, set[str]]
"""Keys that were counted already, per kind of event; it can be made anew from the request log, and is."""


def fold(plan: RolloutPlan, evidence: Evidence, batch: Requests, seen: Seen) -> Evidence:
    """`evidence` with `batch` added; `seen` takes the keys that it counts."""
    if not len(batch.canary):
        return evidence
    steps = len(evidence.shares)
    keyed, happened = _keyed(batch), _failed(plan, batch)
    everyone = np.ones(len(batch.canary), bool)
    masks = [*happened.values(), everyone]
    if keyed.any():  # differences are of units, of which each fails at its first request or never
        fresh = [_first(mask, keyed, batch.key, seen.setdefault(metric, set())) for metric, mask in happened.items()]
        units = _first(everyone, keyed, batch.key, seen.setdefault("units", set()))
        masks = [*fresh, everyone, *(units & mask for mask in happened.values()), units]
    tables = _tables(masks, batch, steps)
    most = len(happened) + 1
    counts = tuple(_plus(old, new) for old, new in zip(evidence.counts, tables, strict=False))
    requests = _plus(evidence.requests, tables[most - 1])
    after = _with_differences(plan, evidence, dict(zip(happened, tables[-most:], strict=False)), tables[-1])
    after = replace(after, counts=counts, requests=requests, keyed=evidence.keyed or len(masks) > most)
    after = _with_scores(plan, after, batch, keyed, seen)
    return _with_beginnings(_with_runs(plan, after, batch) if latencies_of(plan) or durations_of(plan) else after)


def fold_live(
    plan: RolloutPlan, evidence: Evidence, writer: str, batch: Requests, second: NDArray[np.int64], seen: Seen
) -> Evidence:
    """`evidence` with requests that the candidate answered as the live version; `second` (since 1970) says when they came."""
    if not len(batch.canary):
        return evidence
    answered = Answered(_failed(plan, batch), batch.run_ms, batch.run_rows > 0, second, batch.key)
    baked = fold_baked(evidence.baked, writer, answered, limits_of(plan, evidence), seen.setdefault("live", set()))
    return replace(evidence, baked=baked, keyed=evidence.keyed or any(batch.key))


def _failed(plan: RolloutPlan, batch: Requests) -> dict[str, NDArray[np.bool_]]:
    fallback = np.zeros(len(batch.status), bool) if batch.fallback is None else batch.fallback
    failed = {
        guard.metric: failures_of(guard.metric, batch.status, fallback) for guard in rates_of(plan) if is_rate(guard.metric)
    }
    nobody = np.zeros(len(batch.status), bool)
    return {
        guard.metric: failed[guard.metric] if guard.metric in failed else batch.said.get(guard.metric, nobody)
        for guard in rates_of(plan)
    }


def failures_of(metric: str, status: NDArray[np.int64], fallback: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which requests [requests] failed in the sense of a rate guard, by their HTTP status and whether another version stood in."""
    if metric == "fallback_rate":
        return fallback
    if metric == "rejected":
        return (status >= 400) & (status < 500)
    return status >= 500 if metric == "error_rate" else status == 504


def _with_runs(plan: RolloutPlan, evidence: Evidence, batch: Requests) -> Evidence:
    """Runs are counted once there are thresholds; those from which the thresholds are learned are spent."""
    first = batch.run_rows > 0
    canary, took, rows = batch.canary[first], batch.run_ms[first], batch.run_rows[first]
    if latencies_of(plan):  # for people alone, so that no more is done here than count
        control, mine = evidence.times
        bins = bins_of(took)
        times = add_binned(dict(control), bins[~canary]), add_binned(dict(mine), bins[canary])
        evidence = replace(evidence, times=times)
    if evidence.slower is None:
        learning = (*evidence.learning, *took[~canary].tolist())
        after = replace(evidence, learning=learning)
        return with_thresholds(after, learning) if len(learning) >= LEARNED else after
    guards = latencies_of(plan)
    beyond = took[:, None] > np.where(canary[:, None], *_limits(guards, evidence.thresholds))
    slower = add_runs(evidence.slower, canary, beyond[:, : len(LEVELS)], MORE)
    evidence = _with_durations(plan, evidence, batch)
    sizes = np.log2(np.maximum(rows, 1)).astype(np.int64)
    buckets = evidence.buckets
    if buckets is not None:
        buckets = add_to_buckets(buckets, canary, sizes, _averaged(plan, evidence.thresholds, canary, took, beyond))
    margins = dict(evidence.margins)
    classes = sorted(set(sizes.tolist())) if guards else []
    for size in classes:  # a smaller batch is quicker: alike is only what is of like size
        of_size = sizes == size if len(classes) > 1 else slice(None)
        names = [f"{guard.metric}/{size}" for guard in guards]
        known = joined([margins.get(name) or Tally.empty(1, len(FEWER)) for name in names])
        fresh = add_runs(known, canary[of_size], beyond[of_size, len(LEVELS) :], FEWER)
        margins |= zip(names, parted(fresh), strict=True)
    return replace(evidence, slower=slower, margins=margins, buckets=buckets)


def series_of(plan: RolloutPlan) -> tuple[str, ...]:
    """What is averaged in buckets: times with the floor and with the margin, what is beyond each threshold, and each guard's margin."""
    return _series_among(plan.guards)


@lru_cache(maxsize=64)
def _series_among(guards: tuple[Guard, ...]) -> tuple[str, ...]:
    mean = ("mean", "mean within its margin") if any(is_duration(guard.metric) for guard in guards) else ()
    slow = (f"slow {level:g}" for level in LEVELS)
    return (*mean, *slow, *(guard.metric for guard in guards if is_latency(guard.metric)))


def _averaged(
    plan: RolloutPlan,
    thresholds: tuple[float, ...],
    canary: NDArray[np.bool_],
    took: NDArray[np.float64],
    beyond: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What runs that `took` milliseconds count in buckets, [runs, series]; `beyond` says which limits they exceed."""
    times = []
    for guard in durations_of(plan):
        clip, lifted = thresholds[-1], FLOOR.lifted(took)
        controls = (lifted, np.maximum(took * (1 + guard.margin), lifted))
        times += [np.minimum(np.where(canary, took, control), clip) for control in controls]
    return np.column_stack([*times, beyond.astype(np.float64)]) if times else beyond.astype(np.float64)


def _with_durations(plan: RolloutPlan, evidence: Evidence, batch: Requests) -> Evidence:
    guards = durations_of(plan)
    if not guards:
        return evidence
    first = batch.run_rows > 0
    sizes = np.log2(batch.run_rows[first]).astype(np.int64)
    stratum = batch.step[first] * _SIZES + sizes
    clip, margin = evidence.thresholds[-1], guards[0].margin
    durations = add_durations(
        evidence.durations, batch.canary[first], batch.run_ms[first], stratum, clip=clip, margin=margin, floor=FLOOR
    )
    return replace(evidence, durations=durations)


def _with_scores(plan: RolloutPlan, evidence: Evidence, batch: Requests, keyed: NDArray[np.bool_], seen: Seen) -> Evidence:
    """The first answered request of each key counts, and every one without a key."""
    if evidence.moved is None or batch.score is None:
        return evidence
    units = _first(np.isfinite(batch.score), keyed, batch.key, seen.setdefault("score", set()))
    scored = Scored(batch.canary[units], batch.step[units], batch.score[units])
    return replace(evidence, moved=add_scores(evidence.moved, scored, evidence.shares, scores_of(plan)[0].margin))


@lru_cache(maxsize=64)
def _limits(guards: tuple[Guard, ...], thresholds: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What runs of the canary, and of the control, have to exceed to be slow at each level, and beyond each guard's margin."""
    of_guards = [thresholds[LEVELS.index(level_of(guard.metric))] for guard in guards]
    lifted = [lift_of(guard, threshold) for guard, threshold in zip(guards, of_guards, strict=True)]
    return np.array([*FLOOR.lifted(np.array(thresholds)).tolist(), *lifted]), np.array([*thresholds, *of_guards])


def _keyed(batch: Requests) -> NDArray[np.bool_]:
    return np.fromiter(map(bool, batch.key), np.bool_, len(batch.key))


def _first(mask: NDArray[np.bool_], keyed: NDArray[np.bool_], keys: Sequence[str], seen: set[str]) -> NDArray[np.bool_]:
    """`mask` without what a key has shown before; `seen` takes the rest."""
    again = np.flatnonzero(mask & keyed)
    if not len(again):
        return mask
    kept = mask.copy()
    for index in again.tolist():
        kept[index] = keys[index] not in seen
        seen.add(keys[index])
    return kept


def _tables(masks: Sequence[NDArray[np.bool_]], batch: Requests, steps: int) -> NDArray[np.int64]:
    """How many of each of `masks` fall on each arm and step, [masks, 2, steps]."""
    cells = batch.canary * steps + batch.step
    falls = (cells[:, None] == np.arange(2 * steps)).astype(np.float64)
    return (np.array(masks, np.float64) @ falls).astype(np.int64).reshape(len(masks), 2, steps)


def _plus(old: Sequence[Sequence[int]], new: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    control, canary = (np.asarray(old) + new).tolist()
    return tuple(control), tuple(canary)


def _with_differences(
    plan: RolloutPlan, evidence: Evidence, events: Mapping[str, NDArray[np.int64]], rows: NDArray[np.int64]
) -> Evidence:
    """With the `events` by guard, and the `rows`, of the units of a batch, [2, steps] each."""
    if not evidence.differences:
        return evidence
    differences, sizes = dict(evidence.differences), dict(evidence.sizes)
    asked = [step for step in np.flatnonzero(rows.any(axis=0)).tolist() if evidence.shares[step] < 1]
    seen: tuple[int, int] = tuple(rows.sum(axis=1).tolist())
    for guard in rates_of(plan):
        if guard.metric in differences:
            found = _difference(guard, evidence, events[guard.metric], rows, asked, seen)
            differences[guard.metric], sizes[guard.metric] = found
    return replace(evidence, differences=differences, sizes=sizes)


def _difference(
    guard: Guard,
    evidence: Evidence,
    events: NDArray[np.int64],
    rows: NDArray[np.int64],
    asked: Sequence[int],
    seen: tuple[int, int],
) -> tuple[tuple[float, ...], tuple[tuple[int, int], tuple[int, int]]]:
    """Log e-values and sizes with the `events` and `rows` of a batch, [2, steps], whose rows fall on the steps `asked`; `seen` in all."""
    ((old_events, mine_failed), (old_rows, mine)) = evidence.sizes[guard.metric]
    # Known before the batch: what the control showed so far, and earlier traffic as if it were a hundred requests; to a quarter of an
    # octave, so that the bets of one look serve the next.
    control = (old_events + 100 * evidence.earlier_error_rate + 0.1) / (old_rows + 100 + 1)
    control = 2 ** (round(4 * math.log2(control)) / 4)
    sums = evidence.differences[guard.metric]
    (failed, failed_canary), (units, canary_units) = events.tolist(), rows.tolist()
    for step in asked:
        of_step = (failed[step], failed_canary[step]), (units[step], canary_units[step])
        more = log_increment(*of_step, evidence.shares[step], control, guard.margin, NO_WORSE)
        sums = tuple(map(add, sums, more))
    size = ((old_events + sum(failed), mine_failed + sum(failed_canary)), (old_rows + seen[0], mine + seen[1]))
    return sums, size


def _with_beginnings(evidence: Evidence) -> Evidence:
    """A beginning that is due keeps the counts as they are behind the batch: it does not look ahead."""
    missing = beginnings_due(evidence.canary_requests) - len(evidence.beginnings)
    begun = Beginning(evidence.counts, evidence.slower)
    return replace(evidence, beginnings=evidence.beginnings + (begun,) * missing) if missing > 0 else evidence
