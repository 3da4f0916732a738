"""The reference, summarised once: per column a sorted sample or counts of levels, and the missing values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import calibration
from prodml_magics.stats.drift.arrays import as_array, is_missing
from prodml_magics.stats.drift.calibration import CHUNKS, FEWEST_CALIBRATION_ROWS, Calibration, Variability
from prodml_magics.stats.drift.codes import Steps
from prodml_magics.stats.drift.columns import (
    Levels,
    Numbers,
    as_levels,
    as_numbers,
    as_rows,
    as_texts,
    as_vectors,
    chunked_levels,
    is_numeric,
    is_vectors,
    named_columns,
)
from prodml_magics.stats.drift.grid import grid_counts, grid_edges
from prodml_magics.stats.drift.joint.calibration import JointCalibration, calibrate_jointly
from prodml_magics.stats.drift.joint.movement import runs, variability_of_vectors
from prodml_magics.stats.drift.joint.rows import MOST_COLUMNS, JointRows, drawn, joint_rows, scale_of, spread, standardised
from prodml_magics.stats.drift.movements import movements_of_counts, movements_of_numbers
from prodml_magics.stats.drift.statistics import Scale
from prodml_magics.stats.drift.text import is_text, text_parts
from prodml_magics.stats.drift.whole_rows import whole_rows

__all__ = [
    "BINS",
    "MOST_LEVELS",
    "Column",
    "EmbeddingColumn",
    "LevelColumn",
    "NumericColumn",
    "Reference",
    "TextColumn",
    "bin_counts",
    "level_column",
    "moments",
    "numeric_column",
    "prepare",
    "summarised",
    "with_calibration",
]

BINS = 10
"""Numeric columns are binned at the reference's deciles for PSI and Jensen–Shannon."""

MOST_LEVELS = 1_000
"""A categorical column keeps its most frequent levels up to this many; the rest is pooled into `LevelColumn.other`."""


class NumericColumn(NamedTuple):
    """A numeric reference column: `rows` of which `missing`, and a sorted sample of the others, with its bins.

    Bin i holds the values above edge i−1 up to and including edge i; edges are values of the sample, or just below one that holds more
    than a bin's rows, so that every later window is binned alike. A constant column has three bins: below, at and above it. `mean` and
    `sd` are those of the sample, in float64; NaN where it is empty or holds an infinite value. `unit` is ``date``, ``duration`` or empty,
    as in `Numbers`. Where `rank_error` is above zero the values are a sketch of all rows: the rank of any number among them is that among
    all rows, each as a share, to within `rank_error`. Where there are `steps`, edges and the `grid` of sketches are rounded up to the ends
    of these.
    """

    rows: int
    missing: int
    values: NDArray[Any]
    edges: NDArray[Any]
    mean: float = math.nan
    sd: float = math.nan
    unit: str = ""
    calibration: Calibration | None = None
    rank_error: float = 0.0
    steps: Steps | None = None
    grid: NDArray[Any] | None = None

    @property
    def present(self) -> int:
        """Rows that the values stand for."""
        return self.rows - self.missing if self.rank_error else len(self.values)

    @property
    def iqr(self) -> float:
        """Interquartile range of the sample, NaN where it is empty or not finite."""
        if not len(self.values):
            return math.nan
        low, high = (self.values[len(self.values) * k // 4].item() for k in (1, 3))
        return float(high - low) if math.isfinite(high - low) else math.nan

    @property
    def counts(self) -> NDArray[np.int64]:
        """Sampled rows per bin, int64 [edges + 1]."""
        return bin_counts(self.values, self.edges)


class LevelColumn(NamedTuple):
    """A categorical reference column: `rows` of which `missing`, its levels with int64 counts, and `other` rows pooled."""

    rows: int
    missing: int
    levels: tuple[str, ...]
    counts: NDArray[np.int64]
    other: int
    calibration: Calibration | None = None


class TextColumn(NamedTuple):
    """A column of texts that hardly repeat: `rows` of which `missing`, and the numbers that describe the others, by name."""

    rows: int
    missing: int
    parts: Mapping[str, NumericColumn]
    calibration: Calibration | None = None
    texts: tuple[str, ...] = ()
    """At most 2,000 of them, in order, for who wants to make vectors of them."""


class EmbeddingColumn(NamedTuple):
    """A column of vectors: `rows` of which `missing`, and at most 2,000 of the others, float32 [kept, numbers]."""

    rows: int
    missing: int
    values: NDArray[np.float32]
    calibration: Calibration | None = None


Column = NumericColumn | LevelColumn | TextColumn | EmbeddingColumn


@dataclass(frozen=True)
class Reference:
    """What `detect` compares with, by column name; `extras` is any JSON-ready mapping that travels with it."""

    columns: Mapping[str, Column]
    extras: Mapping[str, Any] = field(default_factory=dict)
    rows: JointRows | None = None
    """Some rows of the numeric columns, for statistics of all of them at once."""
    joint: Mapping[str, JointCalibration] = field(default_factory=dict)
    """What those rows say of these statistics without drift."""
    whole: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Some whole rows, for what is asked of parts of them (`prodml_magics.stats.drift.whole_rows`)."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)


def prepare(
    x: Any,
    *,
    names: Sequence[str] | None = None,
    sample: int = 100_000,
    seed: int = 0,
    calibrate: bool | Literal["correlation"] = False,
    tables: bool = False,
    masked: Collection[str] = (),
    extras: Mapping[str, Any] | None = None,
    known: Mapping[str, Column] | None = None,
    whole: bool = False,
) -> Reference:
    """Summarise reference rows for `detect`: an array [rows, columns], a mapping of name to 1-D array, or a frame.

    Numbers, dates and durations (as seconds) are numeric, strings that hardly repeat are text, vectors of numbers of one length
    (an array [rows, numbers], or a list in each row) are embeddings, of which at most 2,000 rows are kept, everything else is
    categorical; None, NaN and NaT are missing. Up to `sample` values per numeric column are all kept, as float32 where that keeps
    them apart, else as float64, int64 or uint64; of more a sketch is kept, `sample` values at evenly spaced ranks, in which any
    rank is right to within 1/`sample` of the rows. `names` are the columns of an array. `extras` is kept as it is.

    With `calibrate` it is also found how many neighbouring rows tell as much as one, for the statistics of all numeric columns at once.
    With `tables`, which takes about a second, MMD and energy of all numeric columns are calibrated as well, and later windows need
    no permutations for them (`prodml_magics.stats.drift.joint.calibration`).

    With `whole` some rows are kept as they are as well, so that parts of them can be compared.

    Of `masked` columns only a coarse sketch is kept: of numbers at most 120 values, each of which stands for 20 rows or more and none
    of which is the smallest or largest; of categories those with 20 rows or more; and none of their rows.

    `known` are columns that `summarised` has seen before, with the same sample, seed and calibration.

    With `calibrate`, columns of at least 1,000 rows are held against themselves chunk by chunk, in the order of the rows,
    and `detect` takes tolerances and the correlation of neighbouring rows from that (`prodml_magics.stats.drift.calibration`); with
    ``"correlation"`` only the latter, and the tolerances for bare frames.

    Raises InvalidInput for columns of unequal length, complex numbers, or names that do not fit.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample} values tells nothing; give at least 1")
    columns: dict[str, Column] = {}
    given = named_columns(x, names)
    for name, values in given.items():
        column = (known or {}).get(name) or summarised(name, values, sample=sample, seed=seed, calibrate=bool(calibrate))
        column = _correlation(column) if calibrate == "correlation" else column
        columns[name] = coarse(column) if name in masked else column
    unmasked = {name: values for name, values in given.items() if name not in masked}
    rows = _joint(unmasked, columns, seed, bool(calibrate))
    count = max(map(len, given.values()), default=0)
    nulls = calibrate_jointly(spread(rows.values, count / rows.inflation)) if tables and rows is not None else {}
    return Reference(columns, dict(extras or {}), rows, nulls, whole_rows(unmasked, columns, seed=seed) if whole else {})


def summarised(name: str, x: Any, *, sample: int = 100_000, seed: int = 0, calibrate: bool = False) -> Column:
    """One column as `prepare` summarises it: what takes its time, and rests on no other column."""
    values = as_array(x)
    return _summary(name, values, sample, calibrate and len(values) >= FEWEST_CALIBRATION_ROWS, seed)


def with_calibration(reference: Reference, other: Reference) -> Reference:
    """A reference with what another one, of rows of the same origin in their order, says of neighbouring rows and of movement."""
    columns = {}
    for name, column in reference.columns.items():
        known = other.columns.get(name)
        if known is None or type(known) is not type(column):
            columns[name] = column
        elif isinstance(column, TextColumn) and isinstance(known, TextColumn):
            parts = {part: each._replace(calibration=known.parts[part].calibration) for part, each in column.parts.items()}
            columns[name] = column._replace(parts=parts, calibration=known.calibration)
        else:
            columns[name] = column._replace(calibration=known.calibration)
    rows = reference.rows
    if rows is not None and other.rows is not None and rows.names == other.rows.names:
        rows = rows._replace(inflation=other.rows.inflation)
    return replace(reference, columns=columns, rows=rows)


def _correlation(column: Column) -> Column:
    if isinstance(column, TextColumn):
        column = column._replace(parts={name: part._replace(calibration=_only(part)) for name, part in column.parts.items()})
    return column._replace(calibration=_only(column))


def _only(column: Column) -> Calibration | None:
    return None if column.calibration is None else column.calibration.correlation


def _joint(given: Mapping[str, NDArray[Any]], columns: Mapping[str, Column], seed: int, calibrate: bool) -> JointRows | None:
    numeric = {name: column for name, column in columns.items() if isinstance(column, NumericColumn)}
    scales = {name: scale_of(column.values, column.mean, column.sd) for name, column in numeric.items()}
    names = [name for name, (_, sd) in scales.items() if sd > 0 and name in given][:MOST_COLUMNS]
    if not names:
        return None
    found = joint_rows({name: as_rows(given[name]) for name in names}, scales, names, seed)
    count = len(given[names[0]])
    if not calibrate or count < FEWEST_CALIBRATION_ROWS:
        return found
    places = runs(count)
    neighbours = joint_rows({name: as_rows(given[name][places]) for name in names}, scales, names, seed)
    return found._replace(inflation=variability_of_vectors(standardised(neighbours.values, neighbours.values[:0])[0]).inflation)


def _summary(name: str, values: NDArray[Any], sample: int, calibrate: bool, seed: int) -> Column:
    if is_vectors(values):
        vectors = as_vectors(name, values)
        own = _calibrated_vectors(values, vectors.values) if calibrate else None
        return EmbeddingColumn(vectors.rows, vectors.rows - len(vectors.values), drawn(vectors.values, seed), own)
    if is_numeric(name, values):
        column = numeric_column(as_numbers(name, values), sample)
        return column._replace(calibration=_calibrated_numbers(name, values, column)) if calibrate else column
    found = as_levels(values)
    if values.dtype.kind != "b" and is_text(len(found.levels), int(found.counts.sum())):
        return _texts(values, as_texts(values), sample, calibrate)
    levels = level_column(found)
    return levels._replace(calibration=_calibrated_levels(values)) if calibrate else levels


def numeric_column(numbers: Numbers, sample: int = 100_000) -> NumericColumn:
    """A numeric column summarised, as `prepare` does it."""
    ordered = np.sort(numbers.values)
    if not numbers.unit:  # moments in float32 would be those of the next minute or two
        ordered = narrowed(ordered)
    missing = numbers.rows - len(ordered)
    if len(ordered) <= sample:
        return NumericColumn(numbers.rows, missing, ordered, _edges(ordered), *moments(ordered), unit=numbers.unit)
    kept = ordered[_even_ranks(len(ordered), sample)]
    kept[0], kept[-1] = ordered[0], ordered[-1]
    found = NumericColumn(numbers.rows, missing, kept, _edges(kept), *moments(ordered), unit=numbers.unit)
    return found._replace(rank_error=1 / sample)


def _even_ranks(rows: int, kept: int) -> NDArray[np.intp]:
    """The middle ranks of as many equal parts of the rows."""
    return (2 * np.arange(kept) + 1) * rows // (2 * kept)


_COARSE = 120
_ROWS_BEHIND = 20
"""Rows that a value of a masked column stands for, at the least."""


def coarse(column: Column) -> Column:
    """What may be kept of a column whose values nobody is to see."""
    if isinstance(column, TextColumn):
        return column._replace(parts={name: _coarse_numbers(part) for name, part in column.parts.items()}, texts=())
    if isinstance(column, EmbeddingColumn):
        return column._replace(values=column.values[:0])
    if isinstance(column, NumericColumn):
        return _coarse_numbers(column)
    kept = column.counts >= _ROWS_BEHIND
    levels = tuple(level for level, often in zip(column.levels, kept.tolist(), strict=True) if often)
    return column._replace(levels=levels, counts=column.counts[kept], other=column.other + int(column.counts[~kept].sum()))


def _coarse_numbers(column: NumericColumn) -> NumericColumn:
    """Of fewer than 20 present rows nothing."""
    kept = min(_COARSE, column.present // _ROWS_BEHIND)
    if not kept:
        return NumericColumn(column.rows, column.missing, column.values[:0], column.values[:0], unit=column.unit)
    values = column.values[_even_ranks(len(column.values), kept)]
    error = column.rank_error + 0.5 / kept + 0.5 / len(column.values)
    return column._replace(values=values, edges=_edges(values), rank_error=error)


def moments(values: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) in float64, NaN where undefined or too large."""
    if not len(values):
        return math.nan, math.nan
    precision = np.longdouble if values.dtype.kind in "iu" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        mean, sd = float(values.mean(dtype=precision)), float(values.std(dtype=precision))
    return (mean, sd) if math.isfinite(mean) and math.isfinite(sd) else (math.nan, math.nan)


def level_column(found: Levels) -> LevelColumn:
    """The most frequent levels with their counts, the rest pooled."""
    present = int(found.counts.sum())
    counts = found.counts[:MOST_LEVELS]
    return LevelColumn(found.rows, found.rows - present, found.levels[:MOST_LEVELS], counts, present - int(counts.sum()))


def _texts(values: NDArray[Any], texts: list[str], sample: int, calibrate: bool) -> TextColumn:
    described = text_parts(texts)
    parts = {name: numeric_column(Numbers(numbers, len(numbers)), sample) for name, numbers in described.items()}
    found = TextColumn(len(values), len(values) - len(texts), parts, texts=kept_texts(texts))
    if not calibrate or len(texts) < FEWEST_CALIBRATION_ROWS:
        return found
    own = {name: part._replace(calibration=_calibrated_numbers(name, described[name], part)) for name, part in parts.items()}
    return found._replace(parts=own, calibration=Calibration(Variability(), _calibrated_gaps(values), len(values)))


def kept_texts(texts: list[str]) -> tuple[str, ...]:
    """At most 2,000 of the texts in their order, as runs of neighbours, and of long ones as many as fit a megabyte or two."""
    chosen = [texts[place] for place in runs(len(texts))]
    size = sum(map(len, chosen))
    return tuple(chosen) if size <= _MOST_CHARACTERS else tuple(chosen[: len(chosen) * _MOST_CHARACTERS // size])


_MOST_CHARACTERS = 1_000_000


def _calibrated_vectors(values: NDArray[Any], present: NDArray[np.float32]) -> Calibration:
    gaps = Variability() if len(present) == len(values) else _gaps_of_chunks(~_whole(values))
    of_values = variability_of_vectors(present[runs(len(present))]) if len(present) >= FEWEST_CALIBRATION_ROWS else Variability()
    return Calibration(of_values, gaps, len(values))


def _whole(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row holds a whole vector."""
    if values.ndim == 2:
        whole: NDArray[np.bool_] = np.isfinite(values).all(axis=1)
        return whole
    return np.array([len(as_vectors("", values[i : i + 1]).values) > 0 for i in range(len(values))])


def _calibrated_gaps(values: NDArray[Any]) -> Variability:
    return _gaps_of_chunks(np.array([is_missing(value) for value in values.tolist()]))


def _gaps_of_chunks(gaps: NDArray[np.bool_]) -> Variability:
    chunks = np.array_split(gaps, CHUNKS)
    hits, rows = (np.array([count(chunk) for chunk in chunks], dtype=np.int64) for count in (np.count_nonzero, len))
    return calibration.of_shares(hits, rows) if hits.any() else Variability()


def _calibrated_numbers(name: str, values: NDArray[Any], column: NumericColumn) -> Calibration:
    """Counted on the grid of the whole column: a chunk then only needs sorting."""
    edges = grid_edges(column.values)
    chunks = [as_numbers(name, chunk) for chunk in np.array_split(values, CHUNKS)]
    ordered = [np.sort(chunk.values) for chunk in chunks]
    counts = np.array([grid_counts(chunk, edges) for chunk in ordered])
    rows = np.array([chunk.rows for chunk in chunks])
    missing = calibration.of_shares(rows - counts.sum(axis=1), rows)
    others = movements_of_numbers(ordered, column.values, column.edges, Scale(column.sd, column.iqr))
    return Calibration(calibration.of_grid(counts), missing, column.rows, others)


def _calibrated_levels(values: NDArray[Any]) -> Calibration:
    counts = chunked_levels(values, CHUNKS)
    rows = np.bincount(np.arange(len(values)) * CHUNKS // len(values), minlength=CHUNKS)
    missing = rows - counts.sum(axis=1)
    of_missing = calibration.of_shares(missing, rows) if missing.any() else Variability()
    return Calibration(calibration.of_counts(counts), of_missing, len(values), movements_of_counts(counts))


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Sorted integers in float32 or float64 where those hold every integer as far out, else as they are; sorted floats in the
    narrower of both that merges fewer than 1 % of the distinct ones."""
    if values.dtype.kind in "iu":
        return _narrowed_integers(values)
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore", under="ignore"):
            narrow = values.astype(dtype)
        if _distinct(narrow) >= 0.99 * _distinct(values) and np.isinf(narrow).sum() == np.isinf(values).sum():
            return narrow
    return values


def _narrowed_integers(values: NDArray[Any]) -> NDArray[Any]:
    farthest = max(abs(int(values[0])), abs(int(values[-1]))) if len(values) else 0
    for dtype in (np.float32, np.float64):
        if farthest <= 2 ** (np.finfo(dtype).nmant + 1):
            return values.astype(dtype)
    return values


def _distinct(values: NDArray[Any]) -> int:
    return int((values[1:] != values[:-1]).sum()) + 1


def _edges(values: NDArray[Any]) -> NDArray[Any]:
    """Inner decile edges: the sample's own values at the ranks ⌈n·k/10⌉, without repeats.

    A value at more than one of these ranks holds more rows than a bin is to: it has a bin of its own, between an edge just below it and
    itself, since rows that move from it to its neighbours would else stay in one bin. So has the value of a constant column.
    """
    if not len(values):
        return values
    ranks = sorted({math.ceil(len(values) * k / BINS) - 1 for k in range(1, BINS)})
    edges, often = np.unique(values[ranks], return_counts=True)
    alone = edges[(often > 1) | (values[0] == values[-1])]
    whole = len(alone) > 0 and values[0] < values[-1] and bool((values == np.rint(values)).all())
    return np.union1d(edges[(edges < values[-1]) | np.isin(edges, alone)], _just_below(alone, whole=whole))


def _just_below(values: NDArray[Any], *, whole: bool) -> NDArray[Any]:
    """Per value the next smaller one of its dtype, where there is one; of `whole` numbers half a step, which counting by bins can tell.

    Below zero it is the first normal number, since XLA takes others for zero.
    """
    if values.dtype.kind in "iu":
        return values[values > np.iinfo(values.dtype).min] - 1
    below = np.nextafter(values, values.dtype.type(-np.inf))
    if whole:
        return np.minimum(below, values - values.dtype.type(0.5))
    tiny = np.finfo(values.dtype).tiny
    return np.where(np.abs(below) < tiny, np.where(values > 0, 0, -tiny), below).astype(values.dtype)


def bin_counts(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of sorted values per bin, int64 [edges + 1]."""
    return grid_counts(values, edges)
