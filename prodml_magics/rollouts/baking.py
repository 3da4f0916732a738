"""A version that answers everything has no control beside it: while it bakes it is held against the traffic before it.

Failed units and slow runs may come no more often than they did then, by the margins. How often that was is known from a sample alone,
so that the upper end of what it may have been counts. Whatever else has changed since counts as well: this is a weaker verdict than a
canary's, and it says so. Of every five seconds one run counts, since runs of one moment are slow together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.guards import is_latency, level_of
from prodml_magics.stats.sequential.tolerance import log_exceeds, log_within
from prodml_magics.wire.rollouts import Guard

__all__ = ["Answered", "Baked", "Before", "fold_baked", "log_as_before", "log_unwell", "seen_of", "tolerated", "upper_share"]

_LITTLE_KNOWN = 0.05
"""How far above the share that was seen it may have been at most: where there was little or no traffic, the errors decide alone."""
_HALVINGS = 50
_STRETCH = 5
"""Seconds of which one run counts: a machine that is short of breath for a moment is no slower version."""


class Before(msgspec.Struct, frozen=True):
    """What the version before it had answered: units, those that failed by metric, and the runs that the thresholds are from."""

    units: int = 0
    failed: dict[str, int] = {}
    runs: int = 0


class Baked(msgspec.Struct, frozen=True):
    """What a version has answered since it is live."""

    requests: int = 0
    units: int = 0
    """Requests, or keys where they were sent: the first request of each."""
    failed: dict[str, int] = {}
    """Units by rate guard."""
    runs: int = 0
    slow: dict[str, int] = {}
    """Runs beyond its limit, by latency guard."""
    stretches: dict[str, int] = {}
    """Per writer of the request log, the last five seconds (their number since 1970) of which a run counts."""


class Answered(NamedTuple):
    """Requests of one writer in order, [requests] each."""

    failed: Mapping[str, NDArray[np.bool_]]
    """By rate guard."""
    run_ms: NDArray[np.float64]
    begins_run: NDArray[np.bool_]
    """True for the first request of each run of the model."""
    second: NDArray[np.int64]
    """Since 1970, in which it was received."""
    key: Sequence[str]
    """Empty where none was sent."""


def fold_baked(baked: Baked, writer: str, batch: Answered, limits: Mapping[str, float], seen: set[str]) -> Baked:
    """`baked` with `batch` added; `limits` are milliseconds by latency guard, `seen` takes the keys that count."""
    if not len(batch.second):
        return baked
    fresh = np.fromiter((_fresh(key, seen) for key in batch.key), np.bool_, len(batch.key))
    failed = {name: baked.failed.get(name, 0) + int((mask & fresh).sum()) for name, mask in batch.failed.items()}
    last = baked.stretches.get(writer, -1)
    stretch = batch.second[batch.begins_run] // _STRETCH
    took = batch.run_ms[batch.begins_run][(np.diff(stretch, prepend=last) != 0) & (stretch > last)]
    slow = {name: baked.slow.get(name, 0) + int((took > limit).sum()) for name, limit in limits.items()}
    return replace(
        baked,
        requests=baked.requests + len(batch.second),
        units=baked.units + int(fresh.sum()),
        failed=failed,
        runs=baked.runs + (len(took) if limits else 0),
        slow=slow,
        stretches={**baked.stretches, writer: int(stretch.max(initial=last))},
    )


def _fresh(key: str, seen: set[str]) -> bool:
    if not key:
        return True
    known = key in seen
    seen.add(key)
    return not known


def upper_share(hits: float, of: int, alpha: float) -> float:
    """The largest share that `hits` of `of` do not speak against at `alpha`, by Chernoff's bound: n KL(hits/n ‖ u) = log(1/alpha).

    >>> round(upper_share(0, 1000, 0.05), 5)
    0.00299
    """
    if not of:
        return 1.0
    share = min(hits / of, 1.0)
    low, high = share, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if of * _divergence(share, middle) < math.log(1 / alpha) else (low, middle)
    return high


def _divergence(a: float, b: float) -> float:
    if not 0 < b < 1:
        return 0.0 if a == b else math.inf
    first = a * math.log(a / b) if a else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def tolerated(guard: Guard, before: Before, guards: int, alpha: float) -> float | None:
    """The share of failed units, or of slow runs, that is still as before; none where nothing is known of latencies.

    It holds for all `guards` together with probability 1 − alpha/2.
    """
    if is_latency(guard.metric):  # its margin is in the limit that a run has to exceed
        if not before.runs:
            return None
        beyond = 1 - level_of(guard.metric)
        return min(upper_share(beyond * before.runs, before.runs, alpha / (2 * guards)), beyond + _LITTLE_KNOWN)
    failed, units = before.failed.get(guard.metric, 0), before.units
    share = failed / units if units else 0.0
    most = min(upper_share(failed, units, alpha / (2 * guards)), share + _LITTLE_KNOWN)
    return min(most * (1 + guard.margin) if guard.relative else most + guard.margin, 0.9)


def log_unwell(guards: Sequence[Guard], before: Before, baked: Baked, alpha: float) -> dict[str, float]:
    """Log e-value by guard against "no more often than is tolerated"."""
    return _by_guard(guards, before, baked, alpha, log_exceeds)


def log_as_before(guards: Sequence[Guard], before: Before, baked: Baked, alpha: float) -> dict[str, float]:
    """Log e-value by guard against "as often as is tolerated, or more"."""
    return _by_guard(guards, before, baked, alpha, log_within)


def _by_guard(
    guards: Sequence[Guard], before: Before, baked: Baked, alpha: float, log_e: Callable[[int, int, float], Any]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for guard in guards:
        most = tolerated(guard, before, len(guards), alpha)
        events, of = seen_of(guard, baked)
        found[guard.metric] = 0.0 if most is None else float(log_e(events, of, most))
    return found


def seen_of(guard: Guard, baked: Baked) -> tuple[int, int]:
    """What happened, and out of how many units or runs."""
    if is_latency(guard.metric):
        return baked.slow.get(guard.metric, 0), baked.runs
    return baked.failed.get(guard.metric, 0), baked.units
