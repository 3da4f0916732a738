"""What one stretch of time holds of every column, as sketches on a reference's grids: made from rows, added up, kept as bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.stats.drift.arrays import as_array
from prodml_magics.stats.drift.columns import Numbers, as_levels, as_numbers, as_texts
from prodml_magics.stats.drift.level_counts import LevelCounts, add_levels, count_levels
from prodml_magics.stats.drift.reference import Column, EmbeddingColumn, LevelColumn, NumericColumn, Reference
from prodml_magics.stats.drift.sketch import NumericSketch, SketchGrid, TextSketch, merge, sketch_grid, sketch_numbers
from prodml_magics.stats.drift.text import text_parts

__all__ = ["BUCKET_FORMAT", "Bucket", "Grid", "Sketch", "add", "grids_of", "numbers", "pack", "sketch_column", "total", "unpack"]

BUCKET_FORMAT = 1
"""Of `pack`: zlib of MessagePack. When it changes, raise this and go on reading every older one."""

Sketch = NumericSketch | LevelCounts | TextSketch
Grid = SketchGrid | tuple[str, ...] | Mapping[str, SketchGrid]
"""How a column is counted: a numeric one's grid, the levels of a categorical one, the grids of the parts of a text."""

Bucket = Mapping[str, Sketch]
"""Sketches by column."""


def grids_of(reference: Reference) -> dict[str, Grid]:
    """How every column of a reference is counted, vectors aside; the same for every window, machine and release."""
    return {name: _grid(column) for name, column in reference.columns.items() if not isinstance(column, EmbeddingColumn)}


def _grid(column: Column) -> Grid:
    assert not isinstance(column, EmbeddingColumn)
    if isinstance(column, NumericColumn):
        return sketch_grid(column)
    return column.levels if isinstance(column, LevelColumn) else {name: sketch_grid(part) for name, part in column.parts.items()}


def sketch_column(name: str, grid: Grid, values: NDArray[Any]) -> Sketch:
    """Count a column's values [rows]; raises InvalidInput for one that is no longer numeric."""
    values = as_array(values)
    if isinstance(grid, SketchGrid):
        plain = values.dtype in (np.float32, np.float64) and grid.edges.dtype.kind == "f"
        return sketch_numbers(grid, Numbers(values, len(values)) if plain else as_numbers(name, values))
    if not isinstance(grid, Mapping):
        return count_levels(grid, as_levels(values, grid))
    texts = as_texts(values)
    parts = {part: numbers for part, numbers in text_parts(texts).items() if part in grid}
    made = {part: sketch_numbers(grid[part], Numbers(numbers, len(numbers))) for part, numbers in parts.items()}
    return TextSketch(len(values), len(values) - len(texts), made)


def add(one: Sketch, other: Sketch) -> Sketch:
    """The sketch of both; associative, commutative, the sums up to rounding."""
    if isinstance(one, NumericSketch) and isinstance(other, NumericSketch):
        return merge(one, other)
    if isinstance(one, LevelCounts) and isinstance(other, LevelCounts):
        return add_levels(one, other)
    if isinstance(one, TextSketch) and isinstance(other, TextSketch):
        parts = {name: merge(part, other.parts[name]) for name, part in one.parts.items()}
        return TextSketch(one.rows + other.rows, one.missing + other.missing, parts)
    raise InvalidInput("the sketches are of columns of different kinds; make both with one reference")


def numbers(sketch: Sketch) -> NumericSketch:
    """The sketch of a numeric column, as which it is known."""
    if not isinstance(sketch, NumericSketch):
        raise InvalidInput("the column was sketched as categories or text; make the sketch anew from numbers")
    return sketch


def total(buckets: Iterable[Bucket]) -> dict[str, Sketch]:
    """All buckets as one; a column that some lack is the sum of the others."""
    return reduce(_add_bucket, buckets, {})


def _add_bucket(one: dict[str, Sketch], other: Bucket) -> dict[str, Sketch]:
    return one | {name: add(one[name], sketch) if name in one else sketch for name, sketch in other.items()}


# ── as bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Counts(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    data: bytes


class _Numeric(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    rows: int
    missing: int
    finite: int
    sums: list[float]
    """`beyond`, then `moments`."""
    counts: _Counts


class _Levels(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    rows: int
    missing: int
    counts: _Counts
    new: dict[str, int]
    further: int


class _Texts(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    rows: int
    missing: int
    parts: dict[str, _Numeric]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, _Numeric | _Levels | _Texts])


def pack(bucket: Bucket) -> bytes:
    """The bytes of a bucket: its format in the first, the rest compressed; `unpack` gives the same bucket back."""
    columns = {name: _packed(sketch) for name, sketch in bucket.items()}
    return bytes([BUCKET_FORMAT]) + zlib.compress(_encoder.encode(columns), 1)


def unpack(data: bytes) -> dict[str, Sketch]:
    """Read a bucket; Unsupported for a later format than this one, InvalidInput for bytes that are none."""
    if not data or data[0] > BUCKET_FORMAT:
        found = data[0] if data else "none"
        raise Unsupported(f"bucket format {found} is later than {BUCKET_FORMAT}, the last known here; upgrade prodml-magics")
    try:
        columns = _decoder.decode(zlib.decompress(data[1:]))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise InvalidInput(f"not a bucket of sketches: {error}; delete the file, and it is made anew from the lake") from error
    return {name: _unpacked(sketch) for name, sketch in columns.items()}


def _packed(sketch: Sketch) -> _Numeric | _Levels | _Texts:
    if isinstance(sketch, NumericSketch):
        return _numeric(sketch)
    if isinstance(sketch, LevelCounts):
        return _Levels(sketch.rows, sketch.missing, _narrow(sketch.counts), dict(sketch.new), sketch.further)
    return _Texts(sketch.rows, sketch.missing, {name: _numeric(part) for name, part in sketch.parts.items()})


def _numeric(sketch: NumericSketch) -> _Numeric:
    sums = [float(each) for each in (*sketch.beyond, *sketch.moments)]
    return _Numeric(sketch.rows, sketch.missing, sketch.finite, sums, _narrow(sketch.counts))


def _narrow(counts: NDArray[np.int64]) -> _Counts:
    """In the narrowest unsigned integers that hold them: most counts of five minutes fit one byte."""
    dtype = np.min_scalar_type(int(counts.max(initial=0)))
    return _Counts(dtype.newbyteorder("<").str, counts.astype(dtype).tobytes())


def _wide(counts: _Counts) -> NDArray[np.int64]:
    return np.frombuffer(counts.data, np.dtype(counts.dtype)).astype(np.int64)


def _unpacked(stored: _Numeric | _Levels | _Texts) -> Sketch:
    if isinstance(stored, _Numeric):
        return _sketch(stored)
    if isinstance(stored, _Levels):
        return LevelCounts(stored.rows, stored.missing, _wide(stored.counts), stored.new, stored.further)
    return TextSketch(stored.rows, stored.missing, {name: _sketch(part) for name, part in stored.parts.items()})


def _sketch(stored: _Numeric) -> NumericSketch:
    beyond, moments = np.array(stored.sums[:2]), np.array(stored.sums[2:])
    return NumericSketch(stored.rows, stored.missing, _wide(stored.counts), beyond, moments, stored.finite)
