"""The evidence of a rollout: counts that add up, folded from batches of answered requests; small enough to be kept in the ledger.

A request is the unit: all its rows go to one arm. Requests that carry a routing key are counted by key, each key once per kind of
event, since a user who fails once tends to fail again. Base rates may do what they like; see `prodml_magics.stats.sequential`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.guards import is_latency, level_of
from prodml_magics.stats.sequential.difference import NO_WORSE, log_increments
from prodml_magics.stats.sequential.exceedances import LEVELS, Floor, freeze
from prodml_magics.stats.sequential.onset import beginnings_due
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["EVIDENCE_FORMAT", "FLOOR", "Evidence", "Requests", "Seen", "begin", "fold", "kinds_of", "lift_of"]

EVIDENCE_FORMAT = 1
FLOOR = Floor()
_LEARNED = 200
"""Live latencies from which thresholds are frozen when there is no earlier traffic."""

Counts = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
"""Events by kind, arm (control, canary) and step."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the verdicts of one rollout rest on."""

    rollout: int
    shares: tuple[float, ...]
    requests: tuple[tuple[int, ...], tuple[int, ...]]
    """Randomised requests by arm and step: what the split is judged by."""
    counts: Counts
    """Events by kind, in the order of `kinds_of`."""
    beginnings: tuple[Counts, ...] = ()
    """`counts` as they were at each later beginning so far."""
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
    keyed: bool = False
    """Whether any request carried a routing key."""
    mismatch: bool = False
    passed: tuple[str, ...] = ()
    """Guards that were shown to be no worse at some look."""
    format: int = EVIDENCE_FORMAT

    @property
    def canary_requests(self) -> int:
        return sum(self.requests[1])


class Requests(NamedTuple):
    """A batch of randomised requests, [requests] each; `step` indexes the plan's steps, `key` is empty where none was sent."""

    canary: NDArray[np.bool_]
    step: NDArray[np.int64]
    status: NDArray[np.int64]
    latency_ms: NDArray[np.float64]
    key: Sequence[str]


Seen = dict[str, set[str]]
"""Keys that were counted already, per kind of event; it can be made anew from the request log, and is."""


def kinds_of(guards: Sequence[Guard]) -> tuple[str, ...]:
    """The kinds of events that `guards` need: one per rate, one per threshold, one per latency margin."""
    rates = [guard.metric for guard in guards if not is_latency(guard.metric)]
    latencies = [guard.metric for guard in guards if is_latency(guard.metric)]
    slower = [f"slower_{level}" for level in LEVELS] if latencies else []
    return (*rates, *slower, *latencies)


def begin(plan: RolloutPlan, rollout: int, *, latencies: NDArray[np.float64] | None = None, error_rate: float = 0.0) -> Evidence:
    """No evidence yet. `latencies` (ms) and `error_rate` are of earlier live traffic, where there was any."""
    shares = tuple(step / 100 for step in plan.steps)
    nothing = (tuple(0 for _ in shares), tuple(0 for _ in shares))
    absolute = [guard.metric for guard in plan.guards if not guard.relative]
    known = latencies is not None and len(latencies) >= _LEARNED
    return Evidence(
        rollout=rollout,
        shares=shares,
        requests=nothing,
        counts=tuple(nothing for _ in kinds_of(plan.guards)),
        differences={metric: (0.0,) * len(NO_WORSE) for metric in absolute},
        sizes=dict.fromkeys(absolute, ((0, 0), (0, 0))),
        thresholds=tuple(freeze(latencies).tolist()) if known and latencies is not None else (),
        earlier_error_rate=error_rate,
    )


def lift_of(guard: Guard, threshold: float) -> float:
    """What a canary request has to exceed where a live one exceeds `threshold` (ms): the margin, and at least the floor."""
    return max(threshold * (1 + guard.margin), threshold * FLOOR.ratio + FLOOR.milliseconds)


def fold(plan: RolloutPlan, evidence: Evidence, batch: Requests, seen: Seen) -> Evidence:
    """`evidence` with `batch` added; `seen` takes the keys that it counts."""
    if not len(batch.canary):
        return evidence
    steps = len(evidence.shares)
    learned = _learned(evidence, batch)
    keyed = _keyed(batch)
    evidence = replace(learned, keyed=learned.keyed or bool(keyed.any()))
    happened = _happened(plan, evidence, batch) if learned.thresholds or not _slow(plan) else _rates_only(plan, batch)
    fresh = {kind: _first(mask, keyed, batch.key, seen.setdefault(kind, set())) for kind, mask in happened.items()}
    nothing = np.zeros((2, steps), np.int64)
    added = [_table(fresh[kind], batch, steps) if kind in fresh else nothing for kind in kinds_of(plan.guards)]
    counts = tuple(_plus(old, new) for old, new in zip(evidence.counts, added, strict=True))
    requests = _plus(evidence.requests, _table(np.ones(len(batch.canary), bool), batch, steps))
    after = _with_differences(plan, evidence, batch, keyed, seen)
    after = replace(after, counts=counts, requests=requests)
    return _with_beginnings(after)


def _slow(plan: RolloutPlan) -> bool:
    return any(is_latency(guard.metric) for guard in plan.guards)


def _learned(evidence: Evidence, batch: Requests) -> Evidence:
    """Thresholds are learned from the first live requests where there was no earlier traffic; those are then spent."""
    if evidence.thresholds:
        return evidence
    learning = (*evidence.learning, *batch.latency_ms[~batch.canary].tolist())[: 10 * _LEARNED]
    return replace(evidence, learning=learning)


def _happened(plan: RolloutPlan, evidence: Evidence, batch: Requests) -> dict[str, NDArray[np.bool_]]:
    found = _rates_only(plan, batch)
    if _slow(plan):
        thresholds = np.array(evidence.thresholds)
        limits = np.where(batch.canary[:, None], FLOOR.lifted(thresholds), thresholds)
        slower = batch.latency_ms[:, None] > limits
        found |= {f"slower_{level}": slower[:, index] for index, level in enumerate(LEVELS)}
        for guard in plan.guards:
            if is_latency(guard.metric):
                found[guard.metric] = _beyond_margin(guard, evidence, batch)
    return found


def _beyond_margin(guard: Guard, evidence: Evidence, batch: Requests) -> NDArray[np.bool_]:
    threshold = evidence.thresholds[LEVELS.index(level_of(guard.metric))]
    return batch.latency_ms > np.where(batch.canary, lift_of(guard, threshold), threshold)


def _rates_only(plan: RolloutPlan, batch: Requests) -> dict[str, NDArray[np.bool_]]:
    masks = {"error_rate": batch.status >= 500, "timeout_rate": batch.status == 504}
    return {guard.metric: masks[guard.metric] for guard in plan.guards if guard.metric in masks}


def _keyed(batch: Requests) -> NDArray[np.bool_]:
    return np.fromiter((bool(key) for key in batch.key), np.bool_, len(batch.key))


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


def _table(mask: NDArray[np.bool_], batch: Requests, steps: int) -> NDArray[np.int64]:
    """How many of `mask` fall on each arm and step, [2, steps]."""
    cells = batch.canary[mask] * steps + batch.step[mask]
    return np.bincount(cells, minlength=2 * steps).reshape(2, steps)


def _plus(old: Sequence[Sequence[int]], new: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    control, canary = (np.asarray(old) + new).tolist()
    return tuple(control), tuple(canary)


def _with_differences(plan: RolloutPlan, evidence: Evidence, batch: Requests, keyed: NDArray[np.bool_], seen: Seen) -> Evidence:
    if not evidence.differences:
        return evidence
    units = _first(np.ones(len(batch.canary), bool), keyed, batch.key, seen.setdefault("units", set()))
    happened = _rates_only(plan, batch)
    differences, sizes = dict(evidence.differences), dict(evidence.sizes)
    for guard in plan.guards:
        if guard.metric in differences:
            sums, size = _difference(guard, evidence, batch, units, happened[guard.metric])
            differences[guard.metric], sizes[guard.metric] = sums, size
    return replace(evidence, differences=differences, sizes=sizes)


def _difference(
    guard: Guard, evidence: Evidence, batch: Requests, units: NDArray[np.bool_], failed: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[tuple[int, int], tuple[int, int]]]:
    steps = len(evidence.shares)
    rows = _table(units, batch, steps)
    events = _table(units & failed, batch, steps)
    (old_events, _), (old_rows, _) = evidence.sizes[guard.metric]
    # Known before the batch: what the control showed so far, and earlier traffic as if it were a hundred requests.
    control = (old_events + 100 * evidence.earlier_error_rate + 0.1) / (old_rows + 100 + 1)
    sums = np.array(evidence.differences[guard.metric])
    for step in np.flatnonzero(rows.sum(axis=0)):
        if evidence.shares[step] < 1:
            sums += log_increments(events[:, step], rows[:, step], evidence.shares[step], control, guard.margin, NO_WORSE)
    old = np.array(evidence.sizes[guard.metric])
    new = (old + np.stack([events.sum(axis=1), rows.sum(axis=1)])).tolist()
    return tuple(sums.tolist()), ((new[0][0], new[0][1]), (new[1][0], new[1][1]))


def _with_beginnings(evidence: Evidence) -> Evidence:
    """Beginnings that are due keep the counts as they are, and thresholds freeze, behind the batch: neither looks ahead."""
    missing = beginnings_due(evidence.canary_requests) - len(evidence.beginnings)
    after = replace(evidence, beginnings=evidence.beginnings + (evidence.counts,) * missing) if missing > 0 else evidence
    if not after.thresholds and len(after.learning) >= _LEARNED:
        after = replace(after, thresholds=tuple(freeze(after.learning).tolist()), learning=())
    return after
