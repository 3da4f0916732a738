"""Two files that do not fit into memory: a sample of the reference, and sketches of now, batch by batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from prodml_magics.stats.drift import Reference
    from prodml_magics.stats.drift.bucket import Grid, Sketch
    from prodml_magics.stats.drift.changed import Changed
    from prodml_magics.stats.drift.columns import Vectors
    from prodml_magics.stats.drift.numeric_sketch import NumericSketch

__all__ = ["Scanned", "drawn_vectors", "large", "one_sided", "sampled_reference", "scan", "sketched"]

_GIB = 2**30
_BATCH_BYTES = 128 * 2**20


class Scanned(NamedTuple):
    """A file that is read lazily: its rows, and about how many bytes they take in memory."""

    path: Path
    frame: pl.LazyFrame
    rows: int
    size: int


def scan(path: Path) -> Scanned | None:
    """A Parquet file by its footer; None for anything else, which is read whole."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.ParquetFile(path).metadata
    except (pa.ArrowException, OSError):
        return None  # reading it whole says what is wrong, or knows a type that Arrow does not
    size = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    return Scanned(path, pl.scan_parquet(path), footer.num_rows, size)


def large(scanned: Scanned | None, memory: float) -> bool:
    """Whether it would take more than half of `memory` GiB: the other half is for the work."""
    return scanned is not None and scanned.size > memory * _GIB / 2


def sampled_reference(scanned: Scanned, columns: list[str], rows: int, memory: float) -> Reference:
    """`prepare` of at most `rows` rows drawn at random, which are not neighbours; how much those tell of each other, and by that how
    many rows count as one, is found in twenty stretches of the file, each compared with the other nineteen."""
    from prodml_magics.actions.frames import as_columns
    from prodml_magics.stats.drift import prepare
    from prodml_magics.stats.drift.calibration import CHUNKS
    from prodml_magics.stats.drift.reference import with_calibration
    from prodml_magics.stats.drift.steps import with_steps

    drawn, neighbours = _drawn(
        scanned, columns, [_sample(scanned, rows), _stretches(scanned, rows // 2, CHUNKS)], memory, told="reference"
    )
    given, beside = (as_columns(frame, "reference frame") for frame in (drawn, neighbours))
    found = with_calibration(prepare(given), prepare(beside, calibrate="correlation"))
    return with_steps(found) if scanned.rows > rows else found


def _sample(scanned: Scanned, rows: int) -> NDArray[np.int64]:
    """At most so many places, in their order, without replacement."""
    return np.sort(np.random.default_rng(0).choice(scanned.rows, min(rows, scanned.rows), replace=False))


def _stretches(scanned: Scanned, rows: int, count: int) -> NDArray[np.int64]:
    """At most so many places, as stretches of neighbours spread over all of them."""
    length = min(rows, scanned.rows) // count
    starts = np.linspace(0, scanned.rows - length, count).astype(np.int64)
    return (starts[:, None] + np.arange(length)).ravel() if length else np.arange(scanned.rows)


def _drawn(
    scanned: Scanned, columns: list[str], places: Sequence[NDArray[np.int64]], memory: float, *, told: str
) -> list[pl.DataFrame]:
    """Rows at each of these places, in their order, while the file streams by."""
    import polars as pl

    parts: list[list[pl.DataFrame]] = [[] for _ in places]
    start = 0
    for batch in _batches(scanned, columns, memory, ordered=True, told=told):
        for chosen, found in zip(places, parts, strict=True):
            inside = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + batch.height)]
            found.append(batch[inside - start])
        start += batch.height
    return [pl.concat(found) if found else scanned.frame.select(columns).head(0).collect() for found in parts]


def drawn_vectors(scanned: Scanned, reference: Reference, memory: float) -> tuple[dict[str, Vectors], dict[str, Changed]]:
    """Of the columns that hold vectors in the reference as many rows as are compared, and those that hold something else."""
    from prodml_magics.errors import InvalidInput
    from prodml_magics.stats.drift.arrays import as_array
    from prodml_magics.stats.drift.changed import Changed, kind_of
    from prodml_magics.stats.drift.columns import Vectors, as_vectors
    from prodml_magics.stats.drift.joint.rows import MOST_ROWS
    from prodml_magics.stats.drift.reference import EmbeddingColumn

    columns = {name: column for name, column in reference.columns.items() if isinstance(column, EmbeddingColumn)}
    found, changed = {}, {}
    rows = _drawn(scanned, list(columns), [_sample(scanned, MOST_ROWS)], memory, told="vectors of now")[0] if columns else None
    for name, column in columns.items():
        assert rows is not None
        try:
            vectors = as_vectors(name, as_array(rows[name].to_numpy()), column.values.shape[1] if len(column.values) else None)
            found[name] = Vectors(vectors.values, vectors.rows)
        except InvalidInput as error:
            sizes, gaps = (column.rows, scanned.rows), (column.missing, _gaps(scanned, name))
            changed[name] = Changed(kind_of(column), sizes, gaps, str(error).removeprefix(f"column '{name}' "))
    return found, changed


def sketched(scanned: Scanned, reference: Reference, memory: float) -> tuple[dict[str, Sketch], dict[str, Changed]]:
    """Sketches of every column of the reference, exact however often the file was cut; and those that hold another kind of values."""
    from prodml_magics.errors import InvalidInput
    from prodml_magics.stats.drift.bucket import add, grids_of, sketch_column
    from prodml_magics.stats.drift.changed import Changed, another_kind, kind_of, no_number

    grids = grids_of(reference)
    found: dict[str, Sketch] = {}
    found |= _plainly(scanned, reference, grids)
    others = [name for name in grids if name not in found]
    found |= {name: sketch_column(name, grids[name], np.zeros(0)) for name in others}
    refused: dict[str, str] = {}

    def collect(batch: pl.DataFrame, name: str) -> None:
        if name in refused:
            return
        column, values = reference.columns[name], batch[name].to_numpy()
        try:
            if reason := another_kind(column, values):
                refused[name] = reason
            else:
                found[name] = add(found[name], sketch_column(name, grids[name], values))
        except InvalidInput:
            refused[name] = no_number(column, values)

    if others:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for batch in _batches(scanned, others, memory, ordered=False, told="now"):
                list(pool.map(partial(collect, batch), others))
    changed = {}
    for name, reason in refused.items():
        column, gaps = reference.columns[name], _gaps(scanned, name)
        changed[name] = Changed(kind_of(column), (column.rows, scanned.rows), (column.missing, gaps), reason)
    return {name: found[name] for name in grids if name not in refused}, changed


def _plainly(scanned: Scanned, reference: Reference, grids: Mapping[str, Grid]) -> dict[str, NumericSketch]:
    """Sketches of the flat numeric columns, read without the help of polars, which costs several times as much."""
    from prodml_magics.actions.paged import sketch_pages
    from prodml_magics.actions.plain_pages import plain_file
    from prodml_magics.stats.drift.changed import another_kind
    from prodml_magics.stats.drift.numeric_sketch import SketchGrid

    file = plain_file(scanned.path, scanned.frame.collect_schema())
    dtypes = file.dtypes
    of_numbers = {name: grid for name, grid in grids.items() if isinstance(grid, SketchGrid) and name in dtypes}
    kept = {
        name: grid for name, grid in of_numbers.items() if not another_kind(reference.columns[name], np.zeros(1, dtypes[name]))
    }
    return sketch_pages(file, kept, lambda seen: _tell("now", seen, scanned.rows)) if kept else {}


def one_sided(reference: Scanned, current: Scanned, wanted: Sequence[str]) -> dict[str, Changed]:
    """Columns that only one of two files has; of the wanted ones, where some are."""
    from prodml_magics.stats.drift.changed import NEW, VANISHED, Changed

    schemas = [each.frame.collect_schema() for each in (reference, current)]
    changed = {}
    for place, (side, reason) in enumerate(((reference, VANISHED), (current, NEW))):
        for name, dtype in schemas[place].items():
            if name in schemas[1 - place] or (wanted and name not in wanted):
                continue
            rows, gaps = [0, 0], [0, 0]
            rows[place], gaps[place] = side.rows, _gaps(side, name)
            kind = "numeric" if dtype.is_numeric() or dtype.is_temporal() else "categorical"
            changed[name] = Changed(kind, (rows[0], rows[1]), (gaps[0], gaps[1]), reason)
    return changed


def _gaps(scanned: Scanned, name: str) -> int:
    import polars as pl

    return int(scanned.frame.select(pl.col(name).null_count()).collect(engine="streaming").item())


def _batches(scanned: Scanned, columns: list[str], memory: float, *, ordered: bool, told: str) -> Iterator[pl.DataFrame]:
    width = max(1, scanned.size // max(1, scanned.rows))
    rows = int(max(1_000, min(_BATCH_BYTES, memory * _GIB / 32) // width))
    seen = 0
    frame = scanned.frame.select(columns)
    for batch in frame.collect_batches(chunk_size=rows, maintain_order=ordered, engine="streaming", lazy=True):
        seen += batch.height
        _tell(told, seen, scanned.rows)
        yield batch


def _tell(what: str, seen: int, rows: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if seen >= rows else ""
        print(f"\r{what}: {seen:,} of {rows:,} rows, {100 * seen / max(1, rows):.0f} %", end=end, file=sys.stderr, flush=True)
