"""A reference whose grids end at the ends of equal steps, for what is counted once and thrown away: counting a value asks half as much.

On quantiles themselves the values that share a step with one have to be compared with it. Rounded up to the end of its step, which is a
fraction of a thousandth of the range, an edge leaves nothing to compare: the rows per step tell all. Both sides are counted on the same
edges, so that what is said at them is as exact as at quantiles.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.counter import table_of
from prodml_magics.stats.drift.reference import NumericColumn, Reference
from prodml_magics.stats.drift.sketch import sketch_grid
from prodml_magics.stats.drift.table import BINS, Table, last_of_bins, places_of

__all__ = ["with_steps"]

_LEAST_INSIDE = 0.9
"""Share of a cell's rows that do not lie on its edge: where many do, as of rounded numbers, edges stay where they are."""


def with_steps(reference: Reference) -> Reference:
    """The same, its columns of floats counted on steps where no two edges share one."""
    columns = dict(reference.columns)
    for name, column in columns.items():
        if isinstance(column, NumericColumn):
            columns[name] = _stepped(column)
    return replace(reference, columns=columns)


def _stepped(column: NumericColumn) -> NumericColumn:
    values = column.values
    if values.dtype.kind != "f" or not len(values) or not np.isfinite([values[0], values[-1], column.sd]).all():
        return column
    grid = sketch_grid(column)
    edges, inner = grid.edges, grid.edges[1:-1]
    if (
        len(inner) < 2
        or grid.inside[1:-1].min() < _LEAST_INSIDE
        or not edges[0] < column.edges[0] <= column.edges[-1] < edges[-1]
    ):
        return column
    table = table_of(grid)
    if table is None or not _apart(table, edges):
        return column
    stepped = np.concatenate([edges[:1], last_of_bins(table, inner), edges[-1:]])
    return column._replace(edges=last_of_bins(table, column.edges), steps=table, grid=stepped)


def _apart(table: Table, edges: NDArray[Any]) -> bool:
    """Whether every inner edge has a bin of its own between the outer bins, and stays below the last edge when it is rounded up."""
    inner = edges[1:-1]
    place = places_of(table, inner)
    apart = (np.diff(place) > 0).all() and place[0] > 0 and place[-1] <= BINS
    return bool(apart and last_of_bins(table, inner)[-1] < edges[-1])
