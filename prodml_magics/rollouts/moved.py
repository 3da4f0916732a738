"""Scores of answers, between 0 and 1, canary against control: has their mean moved, by exact block pairs in the order of arrival.

Nobody can say whether a higher score is better, so that either direction counts: beyond the margin it is worse, and within it on both
sides it is no worse. Requests wait for the rest of their block, within their step; how many wait is bounded by counts alone.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.stats.sequential.block_pairs import STAKES, control_rows, log_gains, log_mean_of, pair
from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.onset import beginnings_due, log_over_onsets

__all__ = ["Moved", "Scored", "add_scores", "interval", "log_moved", "log_within"]

Floats = NDArray[np.float64]
_BOUND = 1.0
_BINS = 500
"""Of a difference of 1: what the confidence sequence is read from."""
_WAITING = 4000
_NONE = (0.0,) * len(STAKES)


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers say of the mean score."""

    units: tuple[int, int] = (0, 0)
    """Answered units by arm (control, canary)."""
    sums: tuple[float, float] = (0.0, 0.0)
    squares: tuple[float, float] = (0.0, 0.0)
    beyond: tuple[tuple[float, ...], tuple[float, ...]] = (_NONE, _NONE)
    """Σ log gains of each stake on "higher by more than the margin", and on "lower"."""
    inside: tuple[tuple[float, ...], tuple[float, ...]] = (_NONE, _NONE)
    """The same on "higher by less than the margin", and on "lower"."""
    differences: tuple[int, ...] = ()
    """How many differences of blocks lie in each bin of 1/500, from −1 to 1; empty before the first."""
    begun: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    """`beyond` as it was at each later beginning."""
    waiting: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    """Scores that wait for the rest of their block, by step and arm (control, canary)."""

    @property
    def variance(self) -> float:
        """Of a unit, both arms together."""
        count = max(sum(self.units), 1)
        return max(sum(self.squares) / count - (sum(self.sums) / count) ** 2, 0.0)


class Scored(NamedTuple):
    """Answered units [units] in the order in which they came; `step` indexes the plan's."""

    canary: NDArray[np.bool_]
    step: NDArray[np.int64]
    score: Floats


def add_scores(moved: Moved, batch: Scored, shares: tuple[float, ...], margin: float) -> Moved:
    """`moved` with `batch` in it."""
    if not len(batch.canary):
        return moved
    waiting = list(moved.waiting) or [((), ())] * len(shares)
    apart = [np.zeros(0)]
    for step in np.unique(batch.step).tolist():
        if shares[step] < 1:
            mine = batch.step == step
            left, right = (np.append(waiting[step][arm], batch.score[mine & (batch.canary == bool(arm))]) for arm in (1, 0))
            blocks = pair(left, right, control_rows(shares[step]))
            apart.append(blocks.differences)
            waiting[step] = (tuple(blocks.control[:_WAITING].tolist()), tuple(blocks.canary[:_WAITING].tolist()))
    d = np.concatenate(apart)
    sides = [batch.score[~batch.canary], batch.score[batch.canary]]
    found = Moved(
        units=(moved.units[0] + len(sides[0]), moved.units[1] + len(sides[1])),
        sums=_plus(moved.sums, [float(side.sum()) for side in sides]),
        squares=_plus(moved.squares, [float((side**2).sum()) for side in sides]),
        beyond=_gained(moved.beyond, (d, -d), -margin),
        inside=_gained(moved.inside, (-d, d), margin),
        differences=_binned(moved.differences, d),
        begun=moved.begun,
        waiting=tuple(waiting),
    )
    missing = beginnings_due(found.units[1]) - len(found.begun)
    return replace(found, begun=found.begun + (found.beyond,) * missing) if missing > 0 else found


def _plus(old: tuple[float, float], new: list[float]) -> tuple[float, float]:
    return old[0] + new[0], old[1] + new[1]


def _gained(
    old: tuple[tuple[float, ...], tuple[float, ...]], sides: tuple[Floats, Floats], margin: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    up, down = ((np.array(known) + log_gains(side, margin, _BOUND)).tolist() for known, side in zip(old, sides, strict=True))
    return tuple(up), tuple(down)


def _binned(old: tuple[int, ...], d: Floats) -> tuple[int, ...]:
    if not len(d):
        return old
    new = np.bincount(np.floor((np.clip(d, -1, 1) + 1) * _BINS).astype(np.int64), minlength=2 * _BINS + 1)
    return tuple((new + np.array(old)).tolist()) if old else tuple(new.tolist())


def log_moved(moved: Moved) -> float:
    """Log e-value against "within the margin": half of the stake on either side, from the start on and from every beginning."""
    gains = np.array([moved.beyond, *(np.subtract(moved.beyond, begun) for begun in moved.begun)])
    return float(log_over_onsets(log_mean_exp(log_mean_of(gains))))


def log_within(moved: Moved) -> float:
    """Log e-value against "moved by the margin or more": the side that is shown less."""
    return float(log_mean_of(np.array(moved.inside)).min())


def interval(moved: Moved, alpha: float) -> tuple[float, float]:
    """Confidence sequence for the difference of the means, canary minus control.

    It is read from binned differences, each taken at the edge that makes the interval wider.
    """
    counts = np.array(moved.differences, np.float64)
    if not counts.any():
        return -_BOUND, _BOUND
    kept = np.flatnonzero(counts)
    edges, counts = kept / _BINS - 1, counts[kept]
    low = _end(edges, counts, alpha)
    return low, -_end(-np.minimum(edges + 1 / _BINS, 1.0), counts, alpha)


def _end(values: Floats, counts: Floats, alpha: float) -> float:
    """The largest mean below which `values` bet everything away at alpha/2."""
    low, high = -_BOUND, float(values @ counts / counts.sum())
    for _ in range(30):
        middle = (low + high) / 2
        gains = np.log1p(STAKES * ((values - middle) / (_BOUND + abs(middle)))[:, None])
        refused = float(log_mean_of(counts @ gains)) >= np.log(2 / alpha)
        low, high = (middle, high) if refused else (low, middle)
    return low
