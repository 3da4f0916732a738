"""`detect` for windows of which only sketches are at hand: too large for memory, or gone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.stats.drift.columns import Levels
from prodml_magics.stats.drift.comparison import Comparison, compare_levels, compare_numbers, compare_texts
from prodml_magics.stats.drift.cube import Cube
from prodml_magics.stats.drift.detail import ColumnDetail, column_detail
from prodml_magics.stats.drift.detect import Current, absence, detection_of, shares_evidence, verdicts_of
from prodml_magics.stats.drift.detection import Detection
from prodml_magics.stats.drift.grid import grid_counts
from prodml_magics.stats.drift.kernels import NumericStatistics
from prodml_magics.stats.drift.limits import limits_of_values
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn, Reference, TextColumn
from prodml_magics.stats.drift.sketch import NumericSketch, SketchGrid, TextSketch, empty_sketch, sketch_grid
from prodml_magics.stats.drift.verdict import Tolerances
from prodml_magics.stats.multiplicity import Adjustment

__all__ = ["Sketched", "detect_sketches", "sketch_detail"]

Sketched = NumericSketch | Levels | TextSketch
_CLOCK = SystemClock()
_BINS = 40


def detect_sketches(
    reference: Reference,
    sketches: Mapping[str, Sketched],
    *,
    alpha: float = 0.05,
    tolerances: Tolerances | None = None,
    fdr: Adjustment = "bh",
    clock: Clock = _CLOCK,
) -> Detection:
    """What `detect` says, from sketches by column name: on the grids of the reference (`sketch_grid`), or counts of levels.

    The KS distance is that at the edges of the grid, which the exact one exceeds by at most the share of rows in a cell; a
    lower bound taken from it still holds. PSI and Jensen–Shannon distance are exact.
    """
    started = clock.monotonic()
    current = {name: Current(found, _missing(found)) for name, found in sketches.items()}
    comparisons = [_comparison(reference, name, current[name], tolerances, alpha) for name in current]
    others = [shares_evidence(reference, name, current[name], tolerances, alpha) for name in current]
    verdicts = verdicts_of([comparison.evidence for comparison in comparisons], others, alpha, fdr)
    return detection_of(reference, current, comparisons, verdicts, (), clock.monotonic() - started, "cpu, from sketches")


def _missing(found: Sketched) -> int:
    return found.rows - int(found.counts.sum()) if isinstance(found, Levels) else found.missing


def _comparison(reference: Reference, name: str, current: Current, tolerances: Tolerances | None, alpha: float) -> Comparison:
    column, found = reference.columns[name], current.found
    absent = absence("the reference", column.rows, column.missing) or absence("the current rows", found.rows, current.missing)
    if absent:
        return Comparison(absent)
    limits = limits_of_values(column, tolerances, alpha)
    if isinstance(column, LevelColumn) and isinstance(found, Levels):
        return compare_levels(column, found, limits)
    if isinstance(column, NumericColumn) and isinstance(found, NumericSketch):
        return compare_numbers(column, int(found.counts.sum()), _statistics(column, found), limits)
    assert isinstance(column, TextColumn) and isinstance(found, TextSketch)
    parts = {part: (column.parts[part], sketch) for part, sketch in found.parts.items()}
    return compare_texts(
        {part: compare_numbers(own, int(s.counts.sum()), _statistics(own, s), limits) for part, (own, s) in parts.items()}
    )


def _statistics(column: NumericColumn, sketch: NumericSketch) -> NumericStatistics:
    cube = Cube({"": column}, buckets=2)
    grid = cube.grids[""]
    present = len(column.values)
    cube.append({"": empty_sketch(grid)._replace(rows=present, counts=grid_counts(column.values, grid.edges))})
    cube.append({"": sketch})
    found = cube.compare((0, 1), (1, 2))
    distance = float(found.wasserstein[0])
    return NumericStatistics(
        float(found.ks[0]), distance if np.isfinite(distance) else np.nan, _bins(column, grid, sketch), _quartiles(grid, sketch)
    )


def _bins(column: NumericColumn, grid: SketchGrid, sketch: NumericSketch) -> np.ndarray:
    """Rows per decile bin: every edge of a bin is one of the grid."""
    upto = np.cumsum(sketch.counts)[np.searchsorted(grid.edges, column.edges)]
    return np.diff(upto, prepend=0, append=int(sketch.counts.sum())).astype(np.int64)


def _quartiles(grid: SketchGrid, sketch: NumericSketch) -> tuple[float, float, float]:
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


def sketch_detail(reference: Reference, found: Sketched, name: str) -> ColumnDetail:
    """Reference and now side by side, as `column_detail` gives it, from a sketch."""
    column = reference.columns[name]
    if isinstance(column, TextColumn) and isinstance(found, TextSketch):
        column, found = column.parts["length"], found.parts["length"]
    if isinstance(column, NumericColumn) and isinstance(found, NumericSketch):
        return _number_detail(column, found, name)
    assert isinstance(found, Levels)
    # The detail needs shares only, so that each level stands for itself as often as 10,000 rows would have it.
    values = np.repeat(np.array(found.levels, dtype=object), np.maximum(1, found.counts * 10_000 // max(1, found.counts.sum())))
    return column_detail(reference, values, name)


def _number_detail(column: NumericColumn, found: NumericSketch, name: str) -> ColumnDetail:
    own = column_detail(Reference({name: column}), column.values, name, _BINS)
    if not found.counts.sum() or not len(column.values):
        return own._replace(current=(0.0,) * len(own.reference))
    edges, upto = _knots(sketch_grid(column), found)
    inner = np.interp(own.edges, edges, upto / upto[-1])
    # What lies beyond the picture is counted in its end bins.
    inner[0], inner[-1] = 0.0, 1.0
    return own._replace(current=tuple(np.diff(inner).tolist()), note="from counts on the reference's quantiles")
