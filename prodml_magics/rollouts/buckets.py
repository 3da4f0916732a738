"""Latency where each arm has slow spells of its own: runs of one spell are slow together, so that buckets are compared, not runs.

Runs are split at random, so that weather that strikes both arms alike misleads nobody. But an arm that has its own (a pod, a cold cache,
a noisy neighbour) differs from the other for a while though both are alike in the long run, and tests of runs call that harm in most
rollouts. The cure is a mean over buckets that are longer than spells: D = canary − control in each, one value to a bucket.

Where earlier traffic has no memory there are no buckets, and nothing changes. Where it has one, nobody can know before `BURN_IN` of them
whose weather it is: guards on latency say nothing until then, and no step is left. From then on a quantile's e-value is the smaller of
two, that of runs, which holds where both arms share the weather, and that of buckets, which holds, asymptotically, either way: no choice
is made that could look for the larger one. Mean times are asymptotic as they are, so that the dispersion of D chooses: what disperses
as independent runs would is left to the test of runs, what disperses more is decided by its buckets.

Measured by `tests/benchmarks/rollouts.py --only spells`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.stats.sequential.clipped_mean import Difference, log_higher

__all__ = ["BURN_IN", "Buckets", "add_to_buckets", "buckets_for", "dispersed", "dispersion", "log_bucket_higher"]

Floats = NDArray[np.float64]

BURN_IN = 10
"""Buckets before which nothing is said."""

_TIMES = 5
"""By how much a bucket is longer than the memory of runs."""
_LONGEST = 200.0
"""Memory at most that buckets are made for: drift over hours has no end, and ten buckets of hours are no verdict."""
_REMEMBERS = 1.3
"""Memory from which there are buckets, and dispersion from which they decide."""
_LEAST = 1
"""Runs of either arm in a bucket."""
_AT_ONCE = 250
"""Runs that are added at once, so that it costs little; a bucket may be longer by as many."""
_REACH = 0.356
"""Standard deviations of D that the mixture spreads over: best at fifty buckets."""


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """Closed buckets as moments of D, and the one that is open."""

    length: int
    """Runs of both arms."""
    count: int = 0
    means: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()
    """Σ (D − its mean)²."""
    scarcity: float = 0.0
    """Σ 1/w, with w the runs of both arms that a bucket is worth: what the variance of D would be of independent runs of variance 1."""
    open: dict[str, tuple[float, ...]] = {}
    """By size of the run: runs of control and canary, then their sums."""
    runs: int = 0
    """All so far, with their sums and sums of squares."""
    sums: tuple[float, ...] = ()
    sums_of_squares: tuple[float, ...] = ()


def buckets_for(memory: float) -> Buckets | None:
    """None yet, where runs of earlier traffic remember each other for so many runs; null where they do not."""
    return Buckets(length=math.ceil(_TIMES * min(memory, _LONGEST))) if memory > _REMEMBERS else None


def add_to_buckets(buckets: Buckets, canary: NDArray[np.bool_], sizes: NDArray[np.int64], values: Floats) -> Buckets:
    """`buckets` with runs in them, of which each counts `values` [runs, series]; `sizes` [runs] are classes, compared within themselves."""
    step = max(buckets.length, _AT_ONCE)
    for start in range(0, len(canary), step):
        part = slice(start, start + step)
        buckets = _add(buckets, canary[part], sizes[part], values[part])
    return buckets


def _add(buckets: Buckets, canary: NDArray[np.bool_], sizes: NDArray[np.int64], values: Floats) -> Buckets:
    parts, classes = dict(buckets.open), set(sizes.tolist())
    for size in sorted(classes):
        mine = canary if len(classes) == 1 else canary & (sizes == size)
        theirs = ~canary if len(classes) == 1 else ~canary & (sizes == size)
        sides = values[theirs], values[mine]
        fresh = (float(len(sides[0])), float(len(sides[1])), *sides[0].sum(axis=0).tolist(), *sides[1].sum(axis=0).tolist())
        parts[str(size)] = _plus(parts.get(str(size), ()), fresh)
    after = replace(
        buckets,
        open=parts,
        runs=buckets.runs + len(canary),
        sums=_plus(buckets.sums, values.sum(axis=0).tolist()),
        sums_of_squares=_plus(buckets.sums_of_squares, (values * values).sum(axis=0).tolist()),
    )
    return _closed(after) if _is_full(parts, buckets.length) else after


def _plus(known: Sequence[float], fresh: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(add, known, fresh)) if known else tuple(fresh)


def _is_full(parts: dict[str, tuple[float, ...]], length: int) -> bool:
    control, canary = (sum(each[arm] for each in parts.values()) for arm in (0, 1))
    return control + canary >= length and min(control, canary) >= _LEAST and any(each[0] and each[1] for each in parts.values())


def _closed(buckets: Buckets) -> Buckets:
    both = np.array([each for each in buckets.open.values() if each[0] and each[1]])
    control, canary = both[:, 0], both[:, 1]
    count = (both.shape[1] - 2) // 2
    apart = both[:, 2 + count :] / canary[:, None] - both[:, 2 : 2 + count] / control[:, None]
    weights = control * canary / (control + canary)
    worth = float(weights.sum())
    d = weights @ apart / worth
    seen, old = buckets.count + 1, np.array(buckets.means or np.zeros(count))
    mean = old + (d - old) / seen
    squares = np.array(buckets.squares or np.zeros(count)) + (d - old) * (d - mean)
    return replace(
        buckets,
        count=seen,
        means=tuple(mean.tolist()),
        squares=tuple(squares.tolist()),
        scarcity=buckets.scarcity + 1 / worth,
        open={},
    )


def dispersion(buckets: Buckets) -> Floats:
    """By how much the variance of D exceeds that of independent runs, [series]; 1 where nothing varies."""
    if buckets.count < 2:
        return np.ones(len(buckets.sums))
    mean = np.array(buckets.sums) / buckets.runs
    of_runs = np.maximum(np.array(buckets.sums_of_squares) / buckets.runs - mean**2, 0.0) * buckets.scarcity / buckets.count
    of_buckets = np.array(buckets.squares) / (buckets.count - 1)
    return np.asarray(np.divide(of_buckets, of_runs, out=np.ones(len(mean)), where=of_runs > 0))


def dispersed(buckets: Buckets | None) -> NDArray[np.bool_]:
    """Which series [series] show spells that the arms do not share."""
    if buckets is None or buckets.count < BURN_IN:
        return np.zeros(0, np.bool_)
    return np.asarray(dispersion(buckets) > _REMEMBERS)


def log_bucket_higher(buckets: Buckets, series: Sequence[int], sign: float = 1.0) -> list[float]:
    """Log e-values, asymptotically, against "not higher" of some series; with `sign` −1 against "not lower"."""
    if buckets.count < BURN_IN:
        return [0.0 for _ in series]
    found = []
    for each in series:
        variance = buckets.squares[each] / (buckets.count - 1)
        found.append(log_higher(Difference(sign * buckets.means[each], variance / buckets.count, _REACH * math.sqrt(variance))))
    return found
