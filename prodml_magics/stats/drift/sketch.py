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
from prodml_magics.stats.drift.table import BINS, Scratch, Table, places, scratch, table_between

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
"""Values that are counted at a time: they stay in a core's cache, and float32 sums over them keep their digits."""

_FEWEST_FOR_TABLE = 16_384
_MOST_BESIDE = 0.3
"""Share of the values in bins that have to be sorted, from which on sorting all of them is quicker."""


_MANY = 0.5
"""Share of the values in bins with an edge from which on all are looked at."""


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
    """Count values on the grid: by bins where few of them share one with an edge, else by a sort and one search per edge.

    Values are rounded to the reference's dtype first, as `detect` does. NaN among them counts as missing.
    """
    values, missing = numbers.values, numbers.rows - len(numbers.values)
    if grid.edges.dtype.kind in "iu" and values.dtype.kind == "f":
        grid = grid._replace(edges=grid.edges.astype(np.float64))  # as `detect` does: a fraction is not cut off
    if not len(grid.edges):
        gaps = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
        counts = np.array([len(values) - gaps], dtype=np.int64)
        return NumericSketch(numbers.rows, missing + gaps, counts, np.zeros(2), np.zeros(2), 0)
    sketch = empty_sketch(grid)._replace(rows=missing, missing=missing)
    table = _edge_table(grid) if len(values) >= _FEWEST_FOR_TABLE else None
    for start in range(0, len(values), _CHUNK):
        chunk = _rounded(values[start : start + _CHUNK], grid.edges.dtype)
        made = _sketch_by_bins(grid, table, chunk) if table is not None else _sketch_by_sorting(grid, np.sort(chunk))
        if made is None:  # too many values beyond the reference's
            table, made = None, _sketch_by_sorting(grid, np.sort(chunk))
        sketch = merge(sketch, made)
    return sketch


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the dtype of a grid; those of the other signedness that it cannot hold at its end."""
    if {values.dtype.kind, dtype.kind} == {"i", "u"}:
        values = np.minimum(values, np.iinfo(np.int64).max) if dtype.kind == "i" else np.maximum(values, 0)
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


class _EdgeTable(NamedTuple):
    """A table over a grid: the bin of each edge; per bin the one edge in it, else inf; and whether a bin's values are sorted.

    Those of the outer bins are, since how far they lie beyond the grid is told, and those of bins with several edges.
    """

    table: Table
    of_edges: NDArray[np.intp]
    edge: NDArray[Any]
    sorted_bins: NDArray[np.bool_]
    special: NDArray[np.bool_]
    """Bins that are sorted or hold an edge."""
    room: Scratch


def _edge_table(grid: SketchGrid) -> _EdgeTable | None:
    """Between the inner edges: the outermost rows of a long tail would leave few bins for all others."""
    edges, skipped = grid.edges, len(grid.edges) // 100
    table = table_between(edges[skipped], edges[-1 - skipped])
    if table is None:
        return None
    of_edges = places(table, edges)
    held = np.bincount(of_edges, minlength=BINS + 2)
    sorted_bins = held > 1
    sorted_bins[[0, -1]] = True
    edge = np.full(BINS + 2, np.inf, edges.dtype)
    edge[of_edges] = np.where(sorted_bins[of_edges], np.inf, edges)
    return _EdgeTable(table, of_edges, edge, sorted_bins, sorted_bins | (held > 0), scratch(np.empty(_CHUNK, edges.dtype)))


def _sketch_by_bins(grid: SketchGrid, made: _EdgeTable, values: NDArray[Any]) -> NumericSketch | None:
    """None where so many values lie in bins that have to be sorted that sorting all is quicker."""
    rows, gaps = len(values), np.isnan(values)
    if gaps.any():
        values = values[~gaps]
    place = places(made.table, values, made.room)
    of_bins = np.bincount(place, minlength=BINS + 2)
    if of_bins[made.sorted_bins].sum() > _MOST_BESIDE * len(values):
        return None
    above, beside = _beside_edges(made, values, place, of_bins)
    counts = _counts_by_bins(grid.edges, made, of_bins, above, beside)
    finite = not len(beside) or bool(np.isfinite(beside[0]) and np.isfinite(beside[-1]))  # infinite values lie in the outer bins
    moments, known = _moments(values if finite else values[np.isfinite(values)], grid)
    return NumericSketch(rows, rows - len(values), counts, _beyond(beside, counts, grid), moments, known)


def _beside_edges(
    made: _EdgeTable, values: NDArray[Any], place: NDArray[np.intp], of_bins: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Per bin with one edge the values above it, and the values of the bins that are sorted, sorted.

    Places are looked up by number, which is several times quicker than by mask; few values are picked out first.
    """
    if of_bins[made.special].sum() < _MANY * len(values):
        near = np.flatnonzero(made.special.take(place))
        values, place = values.take(near), place.take(near)
    above = place.take(np.flatnonzero(values > made.edge.take(place)))
    beside = values.take(np.flatnonzero(made.sorted_bins.take(place)))
    return np.bincount(above, minlength=BINS + 2), np.sort(beside)


def _counts_by_bins(
    edges: NDArray[Any], made: _EdgeTable, of_bins: NDArray[np.intp], above: NDArray[np.intp], beside: NDArray[Any]
) -> NDArray[np.int64]:
    """Rows per cell of the grid: up to an edge lie all of lower bins, and of its own those that are not `above` it, per bin.

    `beside` are the values of bins that are sorted.
    """
    lower = np.cumsum(of_bins) - of_bins
    of_sorted = np.where(made.sorted_bins, of_bins, 0)
    lower_sorted = np.cumsum(of_sorted) - of_sorted
    own = np.where(
        made.sorted_bins[made.of_edges],
        np.searchsorted(beside, edges, side="right") - lower_sorted[made.of_edges],
        (of_bins - above)[made.of_edges],
    )
    upto = lower[made.of_edges] + own
    return np.diff(upto, prepend=0, append=int(of_bins.sum())).astype(np.int64)


def _sketch_by_sorting(grid: SketchGrid, values: NDArray[Any]) -> NumericSketch:
    rows = len(values)
    if values.dtype.kind == "f" and np.isnan(values[-1]):
        values = values[: np.searchsorted(values, np.nan)]
    counts = grid_counts(values, grid.edges)
    finite = values
    if values.dtype.kind == "f" and len(values) and not (np.isfinite(values[0]) and np.isfinite(values[-1])):
        finite = values[np.isfinite(values)]
    moments, known = _moments(finite, grid)
    return NumericSketch(rows, rows - len(values), counts, _beyond(values, counts, grid), moments, known)


def _beyond(values: NDArray[Any], counts: NDArray[np.int64], grid: SketchGrid) -> NDArray[np.float64]:
    """`values` are sorted, and hold all that lie beyond the grid."""
    low, high = grid.edges[0], grid.edges[-1]
    below, above = values[: np.searchsorted(values, low)], values[len(values) - counts[-1] :]
    precision = np.longdouble if values.dtype.kind in "iu" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [np.subtract(low, below, dtype=precision).sum(), np.subtract(above, high, dtype=precision).sum()]
    return np.array(sums, dtype=np.float64)


def _moments(values: NDArray[Any], grid: SketchGrid) -> tuple[NDArray[np.float64], int]:
    """Sums of z and z² of finite values, and how many there are."""
    precision = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.subtract(values, grid.centre, dtype=precision)
        z *= precision.type(1 / grid.scale)
        total = z.sum()
        z *= z  # not a product of vectors, which would start threads of its own beside those of the columns
        return np.array([total, z.sum()], dtype=np.float64), len(values)


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
