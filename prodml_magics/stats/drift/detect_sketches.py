"""`detect` for windows of which only sketches are at hand: too large for memory, or gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.stats.drift import calibration
from prodml_magics.stats.drift.bucket import Bucket, Sketch
from prodml_magics.stats.drift.calibration import CHUNKS, FEWEST_CALIBRATION_ROWS, Calibration
from prodml_magics.stats.drift.changed import Changed
from prodml_magics.stats.drift.columns import Levels, Vectors
from prodml_magics.stats.drift.comparison import (
    Comparison,
    Side,
    binned_distances,
    compare_levels,
    compare_numbers,
    compare_texts,
    side_of,
)
from prodml_magics.stats.drift.cube import Cube
from prodml_magics.stats.drift.detect import Current, Gathered, absence, judged, shares_evidence
from prodml_magics.stats.drift.detection import Detection
from prodml_magics.stats.drift.embeddings import compare_vectors
from prodml_magics.stats.drift.grid import grid_counts
from prodml_magics.stats.drift.kernels import NumericStatistics
from prodml_magics.stats.drift.level_counts import LevelCounts, levels_of
from prodml_magics.stats.drift.limits import Limits, limits_of_values
from prodml_magics.stats.drift.reference import (
    Column,
    EmbeddingColumn,
    LevelColumn,
    NumericColumn,
    Reference,
    TextColumn,
    level_column,
)
from prodml_magics.stats.drift.sketch import NumericSketch, TextSketch, empty_sketch, sketch_grid
from prodml_magics.stats.drift.sketch_detail import bins_of, quartiles_of
from prodml_magics.stats.drift.verdict import Evidence, Tolerances
from prodml_magics.stats.multiplicity import Adjustment

__all__ = ["detect_between", "detect_sketches"]

_CLOCK = SystemClock()
_DEVICE = "cpu, from sketches"
_WIDE = 0.02
"""A KS distance that the grid leaves open by more than this is told with both of its bounds."""


def detect_sketches(
    reference: Reference,
    sketches: Bucket,
    *,
    alpha: float = 0.05,
    tolerances: Tolerances | None = None,
    fdr: Adjustment = "bh",
    changed: Mapping[str, Changed] = {},
    vectors: Mapping[str, tuple[Vectors, int]] = {},
    clock: Clock = _CLOCK,
) -> Detection:
    """What `detect` says, from sketches by column name, made on the grids of the reference (`bucket.grids_of`).

    The KS distance is that at the edges of the grid, which the exact one exceeds by at most the share of rows in a cell; a
    lower bound taken from it still holds. PSI and Jensen–Shannon distance are exact on the bins of the reference. `changed` are columns
    that were not sketched, because only one side has them or they hold another kind of values; `vectors` are columns of which there is
    no sketch, as rows that were drawn from so many: they are compared by those.
    """
    started = clock.monotonic()
    sides = _Sides(reference, {name: _own(reference.columns[name]) for name in sketches}, own=True)
    current = {name: _current(reference.columns[name], found) for name, found in sketches.items()}
    for name, (drawn, rows) in vectors.items():
        gaps = round((drawn.rows - len(drawn.values)) * rows / max(1, drawn.rows))
        current[name] = Current(drawn._replace(rows=rows), gaps)
    current = {name: current[name] for name in reference.names if name in current}
    return _detect(sides, current, alpha, tolerances, fdr, clock, started, changed)


def detect_between(
    reference: Reference,
    before: Bucket,
    now: Bucket,
    chunks: Sequence[Bucket] = (),
    *,
    alpha: float = 0.05,
    tolerances: Tolerances | None = None,
    fdr: Adjustment = "bh",
    clock: Clock = _CLOCK,
) -> Detection:
    """Two windows compared with each other, from sketches on the grids of the reference; no row of either is touched.

    `chunks` are the buckets that `before` is the sum of, oldest first: of 20 or more, with 1,000 rows in all, tolerances and the
    correlation of rows are taken as `prepare` does it from 20 chunks of rows; of fewer the reference's own hold.
    """
    started = clock.monotonic()
    names = [name for name in now if name in before and name in reference.columns]
    columns = {name: _as_reference(reference.columns[name], before[name], chunks, name) for name in names}
    sides = _Sides(Reference(columns, reference.extras), {name: before[name] for name in names}, own=False)
    current = {name: _current(reference.columns[name], now[name]) for name in names}
    return _detect(sides, current, alpha, tolerances, fdr, clock, started)


class _Sides(NamedTuple):
    """The columns that are compared with, and their sketches; whether those are of the reference's `own` values."""

    reference: Reference
    sketches: Mapping[str, Sketch | None]
    own: bool


def _own(column: Column) -> Sketch | None:
    """A reference column's own values on its grid; categories need none."""
    if isinstance(column, NumericColumn):
        return _own_numbers(column)
    if isinstance(column, TextColumn):
        return TextSketch(column.rows, column.missing, {name: _own_numbers(part) for name, part in column.parts.items()})
    return None


def _own_numbers(column: NumericColumn) -> NumericSketch:
    grid = sketch_grid(column)
    return empty_sketch(grid)._replace(rows=len(column.values), counts=grid_counts(column.values, grid.edges))


def _as_reference(column: Column, sketch: Sketch, chunks: Sequence[Bucket], name: str) -> Column:
    """The column of a reference that holds what was sketched, for what does not need its values."""
    if isinstance(column, LevelColumn) and isinstance(sketch, LevelCounts):
        found = level_column(levels_of(column.levels, sketch))
        return found._replace(calibration=_calibrated(column, chunks, name))
    if isinstance(column, NumericColumn):
        own = column._replace(rows=sketch.rows, missing=sketch.missing, rank_error=0.0)
        return own._replace(calibration=_calibrated(column, chunks, name))
    assert isinstance(column, TextColumn)
    assert isinstance(sketch, TextSketch)
    of_part = {
        part: _as_reference(own, sketch.parts[part], [_part(chunk, name, part) for chunk in chunks], part)
        for part, own in column.parts.items()
    }
    parts = {part: own for part, own in of_part.items() if isinstance(own, NumericColumn)}
    return column._replace(rows=sketch.rows, missing=sketch.missing, parts=parts)


def _part(chunk: Bucket, name: str, part: str) -> Bucket:
    """A part of a text in a chunk, as a column of its own."""
    text = chunk.get(name)
    return {part: text.parts[part]} if isinstance(text, TextSketch) else {}


def _calibrated(column: Column, chunks: Sequence[Bucket], name: str) -> Calibration | None:
    parts = [chunk[name] for chunk in chunks if name in chunk and chunk[name].rows]
    rows = np.array([part.rows for part in parts], dtype=np.int64)
    if len(parts) < CHUNKS or rows.sum() < FEWEST_CALIBRATION_ROWS:
        return column.calibration
    counts = np.array([_counted(part) for part in parts])
    missing = np.array([part.missing for part in parts], dtype=np.int64)
    # As many rows in each of twenty as whole buckets allow.
    place = np.minimum((np.cumsum(rows) - rows / 2) * CHUNKS // rows.sum(), CHUNKS - 1).astype(np.intp)
    gathered = [_gathered(values, place) for values in (counts, missing, rows)]
    of_values = calibration.of_grid if isinstance(column, NumericColumn) else calibration.of_counts
    of_missing = calibration.of_shares(gathered[1], gathered[2])
    return Calibration(of_values(gathered[0]), of_missing, int(rows.sum()))


def _counted(sketch: Sketch) -> np.ndarray:
    if isinstance(sketch, LevelCounts):
        return np.append(sketch.counts, sum(sketch.new.values()) + sketch.further)
    assert isinstance(sketch, NumericSketch)
    return sketch.counts


def _gathered(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    found = np.zeros((CHUNKS, *values.shape[1:]), np.int64)
    np.add.at(found, place, values)
    return found


def _detect(
    sides: _Sides,
    current: dict[str, Current],
    alpha: float,
    tolerances: Tolerances | None,
    fdr: Adjustment,
    clock: Clock,
    started: float,
    changed: Mapping[str, Changed] = {},
) -> Detection:
    reference = sides.reference
    comparisons = [_comparison(sides, name, current[name], tolerances, alpha) for name in current]
    others = [shares_evidence(reference, name, current[name], tolerances, alpha) for name in current]
    gathered = Gathered(reference, current, comparisons, others, changed, device=_DEVICE)
    return judged(gathered, alpha, fdr)._replace(seconds=clock.monotonic() - started)


def _current(column: Column, found: Sketch) -> Current:
    if isinstance(found, LevelCounts):
        assert isinstance(column, LevelColumn)
        return Current(levels_of(column.levels, found), found.missing)
    return Current(found, found.missing)


def _comparison(sides: _Sides, name: str, current: Current, tolerances: Tolerances | None, alpha: float) -> Comparison:
    column, found = sides.reference.columns[name], current.found
    absent = absence("the reference", column.rows, column.missing) or absence("the current rows", found.rows, current.missing)
    if absent:
        return Comparison(absent)
    if isinstance(column, EmbeddingColumn) and isinstance(found, Vectors):
        return compare_vectors(column, found, (), alpha, present_now=found.rows - current.missing)
    if isinstance(column, LevelColumn) and isinstance(found, Levels):
        return compare_levels(column, found, limits_of_values(column, tolerances, alpha))
    own = sides.sketches[name]
    if isinstance(column, NumericColumn) and isinstance(found, NumericSketch) and isinstance(own, NumericSketch):
        return _compare(sides, column, own, found, limits_of_values(column, tolerances, alpha))
    assert isinstance(column, TextColumn)
    assert isinstance(found, TextSketch)
    assert isinstance(own, TextSketch)
    parts = {part: (column.parts[part], own.parts[part], sketch) for part, sketch in found.parts.items()}
    return compare_texts(
        {
            part: _compare(sides, before, parts_own, now, limits_of_values(before, tolerances, alpha))
            for part, (before, parts_own, now) in parts.items()
        }
    )


def _compare(sides: _Sides, column: NumericColumn, own: NumericSketch, now: NumericSketch, limits: Limits) -> Comparison:
    found, upper = _statistics(column, own, now)
    side = _side(sides, column, own)
    compared = compare_numbers(side, int(now.counts.sum()), found, limits, *binned_distances([side], [found]))
    evidence = compared.evidence
    if not isinstance(evidence, Evidence) or upper - found.ks < _WIDE:
        return compared
    note = f"by the sketch it lies between {found.ks:.2f} and {upper:.2f}"
    return compared._replace(evidence=evidence._replace(note="; ".join(filter(None, [evidence.note, note]))))


def _side(sides: _Sides, column: NumericColumn, own: NumericSketch) -> Side:
    if sides.own:
        return side_of(column)
    grid = sketch_grid(column)
    return Side(int(own.counts.sum()), quartiles_of(grid, own), bins_of(column, grid, own), column.unit, sd=column.sd)


def _statistics(column: NumericColumn, own: NumericSketch, sketch: NumericSketch) -> tuple[NumericStatistics, float]:
    """And the largest KS distance that the counts allow."""
    cube = Cube({"": column}, buckets=2)
    grid = cube.grids[""]
    cube.append({"": own})
    cube.append({"": sketch})
    found = cube.compare((0, 1), (1, 2))
    distance = float(found.wasserstein[0])
    bins, quarters = bins_of(column, grid, sketch), quartiles_of(grid, sketch)
    statistics = NumericStatistics(float(found.ks[0]), distance if np.isfinite(distance) else np.nan, bins, quarters)
    return statistics, float(found.ks_upper[0])
