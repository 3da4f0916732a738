"""A window in few numbers: counts on the reference's grid, which add up over shards, replicas, machines and stretches of time.

What a sketch says is exact at every edge of the grid. Between two edges the distribution functions are known only to lie
between their values there, which bounds the KS distance from both sides (`SketchComparison.ks`, `ks_upper`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.grid import grid_counts, grid_edges
from prodml_magics.stats.drift.reference import NumericColumn

__all__ = [
    "NumericSketch",
    "SketchGrid",
    "TextSketch",
    "empty_sketch",
    "merge",
    "sketch_columns",
    "sketch_grid",
    "sketch_numbers",
]

_CHUNK = 131_072
"""Values that are sorted at a time: they stay in a core's cache, and float32 sums over them keep their digits."""


class SketchGrid(NamedTuple):
    """Where a numeric column is counted: `edges` of the reference's dtype, and the middle from which moments are taken.

    `inside` [edges] is the share of the reference's rows of the cell below each edge that do not lie on the edge: near one
    for continuous values, zero for values that are all edges themselves.
    """

    edges: NDArray[Any]
    centre: float
    scale: float
    inside: NDArray[np.float64]


class NumericSketch(NamedTuple):
    """`rows` of which `missing`; int64 `counts` [edges + 1] per cell; sums in float64.

    `beyond` holds how far, in all, values lie below the first edge and above the last; `moments` the sums of z and z², where
    z = (x − centre)/scale, over finite values, of which there are `finite`.
    """

    rows: int
    missing: int
    counts: NDArray[np.int64]
    beyond: NDArray[np.float64]
    moments: NDArray[np.float64]
    finite: int


class TextSketch(NamedTuple):
    """`rows` of which `missing`, and the sketches of what describes the texts."""

    rows: int
    missing: int
    parts: Mapping[str, NumericSketch]


def sketch_grid(column: NumericColumn) -> SketchGrid:
    """The grid of a reference column; the same for every window, machine and release."""
    defined = column.sd > 0
    edges = np.union1d(grid_edges(column.values), column.edges).astype(column.values.dtype)
    below, upto = (np.searchsorted(column.values, edges, side) for side in ("left", "right"))
    in_cell = np.diff(upto, prepend=0)
    inside = (in_cell - (upto - below)) / np.maximum(in_cell, 1)
    return SketchGrid(edges, column.mean if defined else 0.0, column.sd if defined else 1.0, inside)


def sketch_numbers(grid: SketchGrid, numbers: Numbers) -> NumericSketch:
    """Count values on the grid: a sort of each chunk, and one search per edge instead of one per value.

    Values are rounded to the reference's dtype first, as `detect` does. NaN among them counts as missing.
    """
    values, missing = numbers.values, numbers.rows - len(numbers.values)
    if grid.edges.dtype.kind == "i" and values.dtype.kind == "f":
        grid = grid._replace(edges=grid.edges.astype(np.float64))  # as `detect` does: a fraction is not cut off
    if not len(grid.edges):
        gaps = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
        counts = np.array([len(values) - gaps], dtype=np.int64)
        return NumericSketch(numbers.rows, missing + gaps, counts, np.zeros(2), np.zeros(2), 0)
    sketch = empty_sketch(grid)._replace(rows=missing, missing=missing)
    for start in range(0, len(values), _CHUNK):
        sketch = merge(sketch, _sketch_chunk(grid, values[start : start + _CHUNK]))
    return sketch


def _sketch_chunk(grid: SketchGrid, values: NDArray[Any]) -> NumericSketch:
    with np.errstate(over="ignore"):
        values = np.sort(values.astype(grid.edges.dtype, copy=False))
    rows = len(values)
    if values.dtype.kind == "f" and np.isnan(values[-1]):
        values = values[: np.searchsorted(values, np.nan)]
    counts = grid_counts(values, grid.edges)
    moments, finite = _moments(values, grid)
    return NumericSketch(rows, rows - len(values), counts, _beyond(values, counts, grid), moments, finite)


def _beyond(values: NDArray[Any], counts: NDArray[np.int64], grid: SketchGrid) -> NDArray[np.float64]:
    low, high = grid.edges[0], grid.edges[-1]
    below, above = values[: np.searchsorted(values, low)], values[len(values) - counts[-1] :]
    precision = np.longdouble if values.dtype.kind == "i" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [np.subtract(low, below, dtype=precision).sum(), np.subtract(above, high, dtype=precision).sum()]
    return np.array(sums, dtype=np.float64)


def _moments(values: NDArray[Any], grid: SketchGrid) -> tuple[NDArray[np.float64], int]:
    """Sums of z and z² of the finite ones among sorted values."""
    if values.dtype.kind == "f" and len(values) and not (np.isfinite(values[0]) and np.isfinite(values[-1])):
        values = values[np.isfinite(values)]
    precision = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.subtract(values, grid.centre, dtype=precision)
        z *= precision.type(1 / grid.scale)
        return np.array([z.sum(), np.dot(z, z)], dtype=np.float64), len(values)


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


def sketch_columns(
    grids: Mapping[str, SketchGrid], columns: Mapping[str, Numbers], workers: int | None = None
) -> dict[str, NumericSketch]:
    """Sketches of many columns, spread over threads (numpy's sort releases the GIL)."""
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(columns, pool.map(lambda name: sketch_numbers(grids[name], columns[name]), columns), strict=True))
