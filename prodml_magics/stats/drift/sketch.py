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

from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.counter import CHUNK, BinnedGrid, GridCounter, binned
from prodml_magics.stats.drift.grid import grid_edges
from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid, empty_sketch, merge
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.scratch import Scratch
from prodml_magics.stats.drift.step_counter import StepCounter

__all__ = [
    "NumberCounter",
    "NumericSketch",
    "SketchGrid",
    "TextSketch",
    "empty_sketch",
    "merge",
    "sketch_columns",
    "sketch_grid",
    "sketch_numbers",
]

_FEWEST_FOR_TABLE = 16_384


class TextSketch(NamedTuple):
    """`rows` of which `missing`, and the sketches of what describes the texts."""

    rows: int
    missing: int
    parts: Mapping[str, NumericSketch]


def sketch_grid(column: NumericColumn) -> SketchGrid:
    """The grid of a reference column; the same for every window, machine and release."""
    defined = column.sd > 0
    edges = column.grid
    if edges is None:
        edges = np.union1d(grid_edges(column.values), column.edges).astype(column.values.dtype)
    below, upto = (np.searchsorted(column.values, edges, side) for side in ("left", "right"))
    in_cell = np.diff(upto, prepend=0)
    inside = (in_cell - (upto - below)) / np.maximum(in_cell, 1)
    return SketchGrid(edges, column.mean if defined else 0.0, column.sd if defined else 1.0, inside, column.steps)


class NumberCounter:
    """Counts the values of a column on its grid, part after part.

    Values are rounded to the reference's dtype first, as `detect` does. NaN among them counts as missing. `made` is `binned(grid)`;
    `scratch` may serve many counters, one after another.
    """

    def __init__(self, grid: SketchGrid, made: BinnedGrid | None = None, scratch: Scratch | None = None) -> None:
        self._grid, scratch = grid, scratch or Scratch()
        self._counter = GridCounter(grid, made, scratch) if grid.steps is None else StepCounter(grid, grid.steps, scratch)
        self._fractions: GridCounter | None = None

    def count(self, numbers: Numbers) -> None:
        """Values of float32, float64, int64 or uint64."""
        values, missing = numbers.values, numbers.rows - len(numbers.values)
        if not len(self._grid.edges):
            gaps = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
            assert isinstance(self._counter, GridCounter)
            self._counter.set_aside(len(values) - gaps, missing + gaps)
            return
        counter: GridCounter | StepCounter = self._counter
        dtype = self._grid.edges.dtype
        if dtype.kind in "iu" and values.dtype.kind == "f":
            counter, dtype = self._of_fractions(), np.dtype(np.float64)
        counter.count(_rounded(values[:0], dtype), missing)
        for start in range(0, len(values), CHUNK):
            counter.count(_rounded(values[start : start + CHUNK], dtype))

    def _of_fractions(self) -> GridCounter:
        """As `detect` does: a fraction is not cut off."""
        if self._fractions is None:
            self._fractions = GridCounter(self._grid._replace(edges=self._grid.edges.astype(np.float64)))
        return self._fractions

    def sketch(self) -> NumericSketch:
        found = self._counter.sketch()
        return found if self._fractions is None else merge(found, self._fractions.sketch())


def sketch_numbers(grid: SketchGrid, numbers: Numbers) -> NumericSketch:
    """Count values on the grid: by bins where few of them share one with an edge, else by a sort and one search per edge.

    Values are rounded to the reference's dtype first, as `detect` does. NaN among them counts as missing.
    """
    counter = NumberCounter(grid, binned(grid) if len(numbers.values) >= _FEWEST_FOR_TABLE else None)
    counter.count(numbers)
    return counter.sketch()


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the dtype of a grid; those of the other signedness that it cannot hold at its end."""
    if {values.dtype.kind, dtype.kind} == {"i", "u"}:
        values = np.minimum(values, np.iinfo(np.int64).max) if dtype.kind == "i" else np.maximum(values, 0)
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def sketch_columns(
    grids: Mapping[str, SketchGrid], columns: Mapping[str, Numbers], workers: int | None = None
) -> dict[str, NumericSketch]:
    """Sketches of many columns, spread over threads (numpy's sort releases the GIL)."""
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(columns, pool.map(lambda name: sketch_numbers(grids[name], columns[name]), columns), strict=True))
