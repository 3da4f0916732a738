"""Counting a column on a grid, chunk by chunk: by bins where few values share one with an edge, else by a sort."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.grid import grid_counts
from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid
from prodml_magics.stats.drift.scratch import Scratch
from prodml_magics.stats.drift.table import BINS, Table, centred, places, places_of, room_for, table_over

__all__ = ["CHUNK", "BinnedGrid", "GridCounter", "binned", "table_of"]

CHUNK = 262_144
"""Values that are counted at a time: float32 sums over rows of them keep their digits, and threads ask for the interpreter less often than
with fewer, for which they would have to wait."""

_MOST_SORTED = 0.3
"""Share of the values in bins that have to be sorted, from which on sorting all of them is quicker."""

_MOST_KEPT = CHUNK
"""Values that are kept before they are sorted."""

_SCALES = 1e-12, 1e12
"""Of a grid that is counted by bins: squares of unscaled values of others might leave the range of float32."""


class BinnedGrid(NamedTuple):
    """A table over a grid: the bin of each edge, and per bin the smallest value in it that is looked at.

    Looked at are in a bin with one edge the values above that, and all values in bins that are sorted: the outer ones, since how far
    values lie beyond the grid is told, and those with several edges.
    """

    table: Table
    of_edges: NDArray[np.intp]
    looked_at: NDArray[Any]
    is_sorted: NDArray[np.bool_]
    sorted_bins: NDArray[np.intp]


def table_of(grid: SketchGrid) -> Table | None:
    """The bins by which values are counted on a grid; None where none help, and where steps tell all."""
    if not len(grid.edges) or grid.steps is not None or not _SCALES[0] < grid.scale < _SCALES[1]:
        return None
    return table_over(grid.edges, grid.centre)


def binned(grid: SketchGrid) -> BinnedGrid | None:
    """Bins over a grid, and what has to be looked at in them."""
    edges, table = grid.edges, table_of(grid)
    if table is None:
        return None
    of_edges = places_of(table, edges)
    is_sorted = np.bincount(of_edges, minlength=BINS + 2) > 1
    is_sorted[: of_edges[0] + 1] = is_sorted[of_edges[-1] :] = True
    is_sorted[[0, -1]] = True
    least, most = (-np.inf, np.inf) if edges.dtype.kind == "f" else (np.iinfo(edges.dtype).min, np.iinfo(edges.dtype).max)
    is_sorted[of_edges[edges >= most]] = True  # nothing lies above
    looked_at = np.full(BINS + 2, most, edges.dtype)
    one = ~is_sorted[of_edges]
    looked_at[of_edges[one]] = np.nextafter(edges[one], most) if edges.dtype.kind == "f" else edges[one] + 1
    looked_at[is_sorted] = least
    return BinnedGrid(table, of_edges, looked_at, is_sorted, np.flatnonzero(is_sorted))


class GridCounter:
    """The sketch of what was counted so far, of values of the grid's dtype [n] each time; not for several threads at once.

    `made` is `binned(grid)`, which many counters may share; without it all values are sorted. `scratch` may serve many, one after another.
    """

    def __init__(self, grid: SketchGrid, made: BinnedGrid | None = None, scratch: Scratch | None = None) -> None:
        self._grid, self._made = grid, made
        self._rows = self._missing = self._finite = 0
        self._counts = np.zeros(len(grid.edges) + 1, np.int64)
        self._beyond, self._moments = np.zeros(2), np.zeros(2)
        if made is not None:
            scratch = scratch or Scratch()
            self._room = room_for(made.table.dtype, CHUNK, scratch)
            self._least, self._is_above = (
                scratch.array(name, CHUNK, dtype) for name, dtype in (("least", grid.edges.dtype), ("above", np.bool_))
            )
            self._of_bins, self._above = (np.zeros(BINS + 2, np.int64) for _ in range(2))
            self._sorted_upto = np.zeros(len(grid.edges), np.int64)
            self._kept: list[tuple[NDArray[Any], NDArray[np.intp]]] = []
            self._kept_rows = 0

    @property
    def bins_help(self) -> bool:
        """Whether values are still counted by bins."""
        return self._made is not None

    def count(self, values: NDArray[Any], missing: int = 0) -> None:
        """NaN among the values is missing too; so are `missing` more rows."""
        self._rows += len(values) + missing
        self._missing += missing
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(values), CHUNK):
                chunk = values[start : start + CHUNK]
                if self._made is None or not self._by_bins(chunk, self._made):
                    self._by_sorting(np.sort(chunk))

    def set_aside(self, present: int, missing: int) -> None:
        """So many rows more, of a column of which the reference knows no value: a grid without edges has one cell."""
        self._rows += present + missing
        self._missing += missing
        self._counts[0] += present

    def sketch(self) -> NumericSketch:
        """Of all rows so far."""
        counts = self._counts + (0 if self._made is None else self._of_table())
        return NumericSketch(self._rows, self._missing, counts, self._beyond.copy(), self._moments.copy(), self._finite)

    def _by_bins(self, values: NDArray[Any], made: BinnedGrid) -> bool:
        """False, and nothing is counted, where so many lie in bins that have to be sorted that sorting all is quicker."""
        off = centred(made.table, values, self._room)
        total, squares = _sums(off)
        if not np.isfinite(total) and (gaps := np.isnan(values)).any():
            return self._without(values, gaps, made)
        place = places(made.table, off, self._room)
        of_bins = np.bincount(place, minlength=BINS + 2)
        if of_bins.take(made.sorted_bins).sum() > _MOST_SORTED * len(values):
            self._leave_bins()
            return False
        self._look_at(values, place, made)
        self._of_bins += of_bins
        if np.isfinite(total) and np.isfinite(squares):
            self._moments += (total / self._grid.scale, squares / self._grid.scale**2)
            self._finite += len(values)
        else:
            self._take_finite(values)
        return True

    def _without(self, values: NDArray[Any], gaps: NDArray[np.bool_], made: BinnedGrid) -> bool:
        present = values[~gaps]
        if self._by_bins(present, made):
            self._missing += len(values) - len(present)
            return True
        return False

    def _take_finite(self, values: NDArray[Any]) -> None:
        finite = values[np.isfinite(values)]
        self._moments += _moments(finite, self._grid)
        self._finite += len(finite)

    def _look_at(self, values: NDArray[Any], place: NDArray[np.intp], made: BinnedGrid) -> None:
        """Few values, whose places are looked up by number, which is several times quicker than by mask."""
        least, above = self._least[: len(values)], self._is_above[: len(values)]
        made.looked_at.take(place, out=least, mode="wrap")  # none lies outside, and this mode asks least
        chosen = np.flatnonzero(np.greater_equal(values, least, out=above))
        self._kept.append((values.take(chosen), place.take(chosen)))
        self._kept_rows += len(chosen)
        if self._kept_rows > _MOST_KEPT:
            self._settle(made)

    def _settle(self, made: BinnedGrid) -> None:
        """Count what was kept: values above the one edge in their bin, and all of the bins that are sorted."""
        if not self._kept:
            return
        values, place = (np.concatenate(each) for each in zip(*self._kept, strict=True))
        self._kept, self._kept_rows = [], 0
        self._above += np.bincount(place, minlength=BINS + 2)  # of the sorted bins nobody asks
        beside = np.sort(values.take(np.flatnonzero(made.is_sorted.take(place))))
        upto = np.searchsorted(beside, self._grid.edges, side="right")
        self._sorted_upto += upto
        self._beyond += _beyond(beside, int(upto[-1]), self._grid)

    def _of_table(self) -> NDArray[np.int64]:
        """Rows per cell: up to an edge lie all of lower bins, and of its own those that are not above it."""
        made = self._made
        assert made is not None
        self._settle(made)
        lower = np.cumsum(self._of_bins) - self._of_bins
        of_sorted = np.where(made.is_sorted, self._of_bins, 0)
        lower_sorted = np.cumsum(of_sorted) - of_sorted
        own = np.where(
            made.is_sorted[made.of_edges],
            self._sorted_upto - lower_sorted[made.of_edges],
            (self._of_bins - self._above)[made.of_edges],
        )
        upto = lower[made.of_edges] + own
        return np.diff(upto, prepend=0, append=int(self._of_bins.sum())).astype(np.int64)

    def _leave_bins(self) -> None:
        """What was counted by them so far stays, and what comes is sorted."""
        self._counts += self._of_table()
        self._made = None

    def _by_sorting(self, values: NDArray[Any]) -> None:
        rows, grid = len(values), self._grid
        if values.dtype.kind == "f" and rows and np.isnan(values[-1]):
            values = values[: np.searchsorted(values, np.nan)]
        counts = grid_counts(values, grid.edges)
        finite = values
        if values.dtype.kind == "f" and len(values) and not (np.isfinite(values[0]) and np.isfinite(values[-1])):
            finite = values[np.isfinite(values)]
        self._missing += rows - len(values)
        self._counts += counts
        self._moments += _moments(finite, grid)
        self._finite += len(finite)
        self._beyond += _beyond(values, len(values) - int(counts[-1]), grid)


def _beyond(values: NDArray[Any], upto_last: int, grid: SketchGrid) -> NDArray[np.float64]:
    """`values` are sorted and hold all that lie beyond the grid; so many of them lie up to its last edge."""
    low, high = grid.edges[0], grid.edges[-1]
    below, above = values[: np.searchsorted(values, low)], values[upto_last:]
    precision = np.longdouble if values.dtype.kind in "iu" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [np.subtract(low, below, dtype=precision).sum(), np.subtract(above, high, dtype=precision).sum()]
    return np.array(sums, dtype=np.float64)


def _moments(values: NDArray[Any], grid: SketchGrid) -> tuple[Any, Any]:
    """Sums of z and z² of finite values."""
    precision = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    z = np.subtract(values, grid.centre, dtype=precision)
    z *= precision.type(1 / grid.scale)
    return _sums(z)


_ROW = 8_192
"""Values of a product of vectors: BLAS would spread longer ones over threads of its own, beside those of the columns."""
_ONES = {dtype: np.ones(_ROW, dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def _sums(z: NDArray[Any]) -> tuple[Any, Any]:
    """Of z and z²: over rows in the dtype of z, over all of them in float64."""
    whole = len(z) // _ROW * _ROW
    rows, rest, ones = z[:whole].reshape(-1, _ROW), z[whole:], _ONES[z.dtype]
    total, squares = (np.add.reduce(np.vecdot(rows, each), dtype=np.float64) for each in (ones, rows))
    return total + np.vecdot(rest, ones[: len(rest)]), squares + np.vecdot(rest, rest)
