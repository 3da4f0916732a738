"""Two files that do not fit into memory: a sample of the reference, and sketches of now, batch by batch."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Reference
    from prodml_magics.stats.drift.detect_sketches import Sketched

__all__ = ["Scanned", "large", "sampled_reference", "scan", "sketched"]

_GIB = 2**30
_BATCH_BYTES = 128 * 2**20
_MOST_NEW_LEVELS = 10_000


class Scanned(NamedTuple):
    """A file that is read lazily: its rows, and about how many bytes they take in memory."""

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
    except (pa.ArrowInvalid, OSError):
        return None  # reading it whole says what is wrong
    size = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    return Scanned(pl.scan_parquet(path), footer.num_rows, size)


def large(scanned: Scanned | None, memory: float) -> bool:
    """Whether it would take more than half of `memory` GiB: the other half is for the work."""
    return scanned is not None and scanned.size > memory * _GIB / 2


def sampled_reference(scanned: Scanned, columns: list[str], rows: int, memory: float) -> Reference:
    """`prepare` of at most `rows` rows, drawn without replacement while the file streams by."""
    import polars as pl

    from prodml_magics.actions.frames import as_columns
    from prodml_magics.stats.drift import prepare

    chosen = np.sort(np.random.default_rng(0).choice(scanned.rows, min(rows, scanned.rows), replace=False))
    parts, start = [], 0
    for batch in _batches(scanned, columns, memory, ordered=True, told="reference"):
        inside = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + batch.height)]
        parts.append(batch[inside - start])
        start += batch.height
    return prepare(as_columns(pl.concat(parts), "reference frame"))


def sketched(scanned: Scanned, reference: Reference, memory: float) -> dict[str, Sketched]:
    """Sketches of every column of the reference, exact however often the file was cut."""
    collectors = {name: _collector(name, column) for name, column in reference.columns.items()}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for batch in _batches(scanned, list(collectors), memory, ordered=False, told="now"):
            list(pool.map(partial(_collect, batch, collectors), collectors))
    return {name: collector.result() for name, collector in collectors.items()}


def _collect(batch: pl.DataFrame, collectors: Mapping[str, Any], name: str) -> None:
    collectors[name].add(batch[name].to_numpy())


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
        print(f"\r{what}: {seen:,} of {rows:,} rows, {seen / max(1, rows):.0%}", end=end, file=sys.stderr, flush=True)


# ── what gathers a column ──────────────────────────────────────────────────────────────────────────────────────────


def _collector(name: str, column: Any) -> Any:
    from prodml_magics.stats.drift.reference import NumericColumn, TextColumn

    if isinstance(column, NumericColumn):
        return _OfNumbers(name, column)
    return _OfTexts(column) if isinstance(column, TextColumn) else _OfLevels(column)


class _OfNumbers:
    def __init__(self, name: str, column: Any) -> None:
        from prodml_magics.stats.drift.sketch import empty_sketch, sketch_grid

        self._name, self._grid = name, sketch_grid(column)
        self._sketch = empty_sketch(self._grid)

    def add(self, values: np.ndarray) -> None:
        from prodml_magics.stats.drift.columns import Numbers, as_numbers
        from prodml_magics.stats.drift.sketch import merge, sketch_numbers

        plain = values.dtype in (np.float32, np.float64)
        numbers = Numbers(values, len(values)) if plain else as_numbers(self._name, values)
        self._sketch = merge(self._sketch, sketch_numbers(self._grid, numbers))

    def result(self) -> Any:
        return self._sketch


class _OfTexts:
    def __init__(self, column: Any) -> None:
        self._parts = {name: _OfNumbers(name, part) for name, part in column.parts.items()}
        self._rows = self._missing = 0

    def add(self, values: np.ndarray) -> None:
        from prodml_magics.stats.drift.columns import as_texts
        from prodml_magics.stats.drift.text import text_parts

        texts = as_texts(values)
        self._rows, self._missing = self._rows + len(values), self._missing + len(values) - len(texts)
        for name, part in text_parts(texts).items():
            self._parts[name].add(part)

    def result(self) -> Any:
        from prodml_magics.stats.drift.sketch import TextSketch

        return TextSketch(self._rows, self._missing, {name: part.result() for name, part in self._parts.items()})


class _OfLevels:
    """Counts of all known levels, and of new ones until there are 10,000 of them; further new ones are counted together."""

    def __init__(self, column: Any) -> None:
        self._known = set(column.levels)
        self._counts: Counter[str] = Counter()
        self._rows = 0

    def add(self, values: np.ndarray) -> None:
        from prodml_magics.stats.drift.columns import as_levels

        found = as_levels(values, self._known)
        self._rows += found.rows
        for level, count in zip(found.levels, found.counts.tolist(), strict=True):
            crowded = len(self._counts) > len(self._known) + _MOST_NEW_LEVELS
            kept = level in self._known or level in self._counts or not crowded
            self._counts[level if kept else "(further new ones)"] += count

    def result(self) -> Any:
        from prodml_magics.stats.drift.columns import Levels

        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return Levels(tuple(level for level, _ in ordered), np.array([count for _, count in ordered], np.int64), self._rows)
