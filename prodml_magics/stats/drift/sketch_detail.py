"""What a sketch says of the values between the edges of its grid: quartiles, and shares for a picture."""

from __future__ import annotations

import numpy as np

from prodml_magics.stats.drift.bucket import Sketch
from prodml_magics.stats.drift.detail import ColumnDetail, column_detail
from prodml_magics.stats.drift.level_counts import LevelCounts, levels_of
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn, Reference, TextColumn, level_column
from prodml_magics.stats.drift.sketch import NumericSketch, SketchGrid, TextSketch, sketch_grid

__all__ = ["bins_of", "quartiles_of", "sketch_detail"]

_BINS = 40
_BARS = 10_000


def bins_of(column: NumericColumn, grid: SketchGrid, sketch: NumericSketch) -> np.ndarray:
    """Rows per decile bin of the reference, int64 [bins]: every edge of a bin is one of the grid."""
    upto = np.cumsum(sketch.counts)[np.searchsorted(grid.edges, column.edges)]
    return np.diff(upto, prepend=0, append=int(sketch.counts.sum())).astype(np.int64)


def quartiles_of(grid: SketchGrid, sketch: NumericSketch) -> tuple[float, float, float]:
    """The values at the quarters, inside a cell by interpolation; beyond the grid its tails' means."""
    edges, upto = _knots(grid, sketch)
    low, middle, high = (float(np.interp(upto[-1] * k / 4, upto, edges)) for k in (1, 2, 3))
    return low, middle, high


def _knots(grid: SketchGrid, sketch: NumericSketch) -> tuple[np.ndarray, np.ndarray]:
    """Values and the rows up to each, the tails reaching twice as far as they lie beyond the grid on average."""
    edges = grid.edges.astype(np.float64)
    below, above = sketch.counts[0], sketch.counts[-1]
    with np.errstate(invalid="ignore"):
        first = edges[0] - 2 * sketch.beyond[0] / max(1, below)
        last = edges[-1] + 2 * sketch.beyond[1] / max(1, above)
    knots = np.concatenate([[first], edges, [last]])
    finite = np.isfinite(knots)
    return knots[finite], np.concatenate([[0], np.cumsum(sketch.counts)])[finite]


def sketch_detail(reference: Reference, found: Sketch, name: str, before: Sketch | None = None) -> ColumnDetail:
    """Reference, or what `before` holds, and now side by side, as `column_detail` gives it, from sketches."""
    column = reference.columns[name]
    if isinstance(column, TextColumn) and isinstance(found, TextSketch):
        earlier = before.parts["length"] if isinstance(before, TextSketch) else None
        detail = _number_detail(column.parts["length"], found.parts["length"], name, earlier)
        return detail._replace(note=f"length of the texts in characters; {detail.note}")
    if isinstance(column, NumericColumn) and isinstance(found, NumericSketch):
        return _number_detail(column, found, name, before if isinstance(before, NumericSketch) else None)
    assert isinstance(column, LevelColumn)
    assert isinstance(found, LevelCounts)
    if isinstance(before, LevelCounts):
        reference = Reference({name: level_column(levels_of(column.levels, before))})
    now = levels_of(column.levels, found)
    # The detail needs shares only, so that each level stands for itself as often as 10,000 rows would have it.
    times = np.maximum(1, now.counts * _BARS // max(1, now.counts.sum()))
    return column_detail(reference, np.repeat(np.array(now.levels, dtype=object), times), name)


def _number_detail(column: NumericColumn, found: NumericSketch, name: str, before: NumericSketch | None) -> ColumnDetail:
    own = column_detail(Reference({name: column}), column.values, name, _BINS)
    if not len(column.values):
        return own._replace(current=(0.0,) * len(own.reference), current_upto=(0.0,) * len(own.points))
    grid, edges = sketch_grid(column), np.array(own.edges)
    earlier = own.reference if before is None else _shares(grid, before, edges)
    finite = np.isfinite(grid.edges)
    points = grid.edges[finite]
    if before is None:
        upto = tuple((np.searchsorted(column.values, points, side="right") / len(column.values)).tolist())
    else:
        upto = _upto(before, finite)
    return own._replace(
        reference=earlier,
        current=_shares(grid, found, edges),
        note="from counts on the reference's quantiles",
        points=tuple(points.astype(np.float64).tolist()),
        reference_upto=upto,
        current_upto=_upto(found, finite),
    )


def _upto(sketch: NumericSketch, finite: np.ndarray) -> tuple[float, ...]:
    """Shares of the rows up to each finite edge of the grid, which are exact."""
    total = int(sketch.counts.sum())
    return tuple((np.cumsum(sketch.counts)[:-1][finite] / max(1, total)).tolist())


def _shares(grid: SketchGrid, sketch: NumericSketch, edges: np.ndarray) -> tuple[float, ...]:
    """Per bin between the edges of a picture; what lies beyond it is counted in its end bins."""
    if not sketch.counts.sum():
        return (0.0,) * (len(edges) - 1)
    knots, upto = _knots(grid, sketch)
    inner = np.interp(edges, knots, upto / upto[-1])
    inner[0], inner[-1] = 0.0, 1.0
    return tuple(np.diff(inner).tolist())
