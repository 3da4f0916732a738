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

from prodml_magics.stats.drift.codes import MOST, Steps, codes_of, last_of_steps, steps_over
from prodml_magics.stats.drift.reference import NumericColumn, Reference
from prodml_magics.stats.drift.sketch import sketch_grid

__all__ = ["with_steps"]

_COUNTS = 4_096, 8_192, 16_384
"""Steps over a grid, of which the fewest that part all edges are taken: the more there are, the longer it takes to count them."""

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
    counted = (steps_over(edges, count) for count in _COUNTS)
    steps = next((each for each in counted if each is not None and _apart(each, edges)), None)
    if steps is None:
        return column
    stepped = np.concatenate([edges[:1], last_of_steps(steps, inner), edges[-1:]])
    return column._replace(edges=last_of_steps(steps, column.edges), steps=steps, grid=stepped)


def _apart(steps: Steps, edges: NDArray[Any]) -> bool:
    """Whether every inner edge has a step of its own between the outermost, and stays below the last edge when it is rounded up."""
    inner = edges[1:-1]
    own = codes_of(steps, inner).astype(np.int64)
    apart = (np.diff(own) > 0).all() and abs(own).max() < MOST
    return bool(apart and last_of_steps(steps, inner)[-1] < edges[-1])
