"""Two samples on their common support: the distinct values of both, in order, with the rows of each side at each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Float, Int, Real

__all__ = ["Support", "compressed", "distributions", "pooled", "steps"]


class Support(NamedTuple):
    """Counts of both sides at `points` float64 [k], ascending: those of one pair [k], or of many [..., k].

    `points` are measured from the smallest value, so that no offset costs precision, and hold NaN or inf where a value does.
    `bin_of` int [k] is the reference's bin that a point lies in.
    """

    points: Float[NDArray[np.float64], " points"]
    before: Int[NDArray[Any], "... points"]
    now: Int[NDArray[Any], "... points"]
    bin_of: Int[NDArray[np.intp], " points"]

    @property
    def binned(self) -> tuple[Int[NDArray[Any], "... bins"], Int[NDArray[Any], "... bins"]]:
        """Counts [..., bins] of both sides over the bins that hold a row of either."""
        starts = np.flatnonzero(np.diff(self.bin_of, prepend=-1))
        return np.add.reduceat(self.before, starts, axis=-1), np.add.reduceat(self.now, starts, axis=-1)


def pooled(
    reference: Real[NDArray[Any], " n"], current: Real[NDArray[Any], " m"], edges: Real[NDArray[Any], " edges"]
) -> Support:
    """The support of two non-empty samples, each sorted ascending, of one dtype and without NaN; bins end at `edges`."""
    values = np.concatenate([reference, current])
    values.sort(kind="stable")
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    values = values[first]
    before, now = (
        np.diff(np.searchsorted(side, values, side="right"), prepend=0).astype(np.int64) for side in (reference, current)
    )
    return Support(_offsets(values), before, now, np.searchsorted(edges, values, side="left"))


def _offsets(values: NDArray[Any]) -> NDArray[np.float64]:
    precision = np.longdouble if values.dtype.kind in "iu" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        return np.subtract(values, values[0], dtype=precision).astype(np.float64)


def distributions(
    support: Support,
) -> tuple[Float[NDArray[np.float64], "... points"], Float[NDArray[np.float64], "... points"]]:
    """Right-limit empirical distribution functions of both sides at every point, [..., k]."""
    before, now = np.cumsum(support.before, axis=-1), np.cumsum(support.now, axis=-1)
    return before / before[..., -1:], now / now[..., -1:]


def steps(support: Support) -> Float[NDArray[np.float64], " steps"]:
    """Distance [k − 1] from each point to the next."""
    with np.errstate(invalid="ignore"):
        return np.diff(support.points)


def compressed(support: Support, cells: int) -> Support:
    """At most about `cells` points with as many rows each, none across two bins; a point is the mean of those it stands for."""
    if len(support.points) <= cells:
        return support
    weight = support.before / support.before.sum() + support.now / support.now.sum()
    place = np.minimum((np.cumsum(weight) / 2 * cells).astype(np.int64), cells)
    starts = np.flatnonzero(np.append(True, (np.diff(place) > 0) | (np.diff(support.bin_of) > 0)))
    total = np.add.reduceat(weight, starts)
    with np.errstate(invalid="ignore", over="ignore"):
        points = np.add.reduceat(weight * support.points, starts) / total
    before, now = np.add.reduceat(support.before, starts), np.add.reduceat(support.now, starts)
    return Support(points, before, now, support.bin_of[starts])
