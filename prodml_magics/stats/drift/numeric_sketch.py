"""What is kept of the numbers of a window: counts on a grid, which add up, and a few sums."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.codes import Steps

__all__ = ["NumericSketch", "SketchGrid", "empty_sketch", "merge"]


class SketchGrid(NamedTuple):
    """Where a numeric column is counted: `edges` of the reference's dtype, and the middle from which moments are taken.

    `inside` [edges] is the share of the reference's rows of the cell below each edge that do not lie on the edge: near one
    for continuous values, zero for values that are all edges themselves. Where there are `steps`, every edge but the first and the last
    is the largest value of its step among these, and no other edge's: how many values lie in a step then tells all.
    """

    edges: NDArray[Any]
    centre: float
    scale: float
    inside: NDArray[np.float64]
    steps: Steps | None = None


class NumericSketch(NamedTuple):
    """`rows` of which `missing`; int64 `counts` [edges + 1] per cell; sums in float64.

    `beyond` holds how far, in all, values lie below the first edge and above the last; `moments` the sums of z and z², where
    z = (x − centre)/scale, over finite values, of which there are `finite`; NaN where values were counted by steps.
    """

    rows: int
    missing: int
    counts: NDArray[np.int64]
    beyond: NDArray[np.float64]
    moments: NDArray[np.float64]
    finite: int


def empty_sketch(grid: SketchGrid) -> NumericSketch:
    """Of no rows: what merging leaves as it is."""
    return NumericSketch(0, 0, np.zeros(len(grid.edges) + 1, np.int64), np.zeros(2), np.zeros(2), 0)


def merge(one: NumericSketch, other: NumericSketch) -> NumericSketch:
    """The sketch of both windows together; in any order and grouping the counts are the same, the sums up to rounding."""
    if len(one.counts) != len(other.counts):
        raise InvalidInput("the sketches were made on different grids; make both with one reference")
    return NumericSketch(
        one.rows + other.rows,
        one.missing + other.missing,
        one.counts + other.counts,
        one.beyond + other.beyond,
        one.moments + other.moments,
        one.finite + other.finite,
    )
