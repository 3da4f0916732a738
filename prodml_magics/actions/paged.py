"""Sketches of the numeric columns that a Parquet file holds plainly: each core reads pages of a column and counts them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from prodml_magics.actions.plain_pages import Pages, PlainFile, values_of

if TYPE_CHECKING:
    from prodml_magics.stats.drift.counter import BinnedGrid
    from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid

__all__ = ["sketch_pages"]

_ROWS = 2_000_000
"""Rows that one task counts at the least, where row groups are smaller: what a counter costs is spread over them."""


class _Task(NamedTuple):
    """Some row groups of a column."""

    name: str
    pages: tuple[Pages, ...]
    rows: int


def sketch_pages(file: PlainFile, grids: Mapping[str, SketchGrid], told: Callable[[int], None]) -> dict[str, NumericSketch]:
    """Sketches of these columns of the file, less those whose pages turn out not to be what its footer says.

    `told` is given the rows that were counted so far.
    """
    from prodml_magics.stats.drift.counter import binned
    from prodml_magics.stats.drift.numeric_sketch import empty_sketch, merge

    found = {name: empty_sketch(grid) for name, grid in grids.items()}
    made = {name: binned(grid) for name, grid in grids.items()}
    done = 0

    def count(task: _Task) -> NumericSketch | None:
        return _counted(file, task, grids[task.name], made[task.name])

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        tasks = list(_tasks(file, list(grids)))
        try:
            for task, sketch in zip(tasks, pool.map(count, tasks), strict=True):
                if sketch is None:
                    found.pop(task.name, None)
                elif task.name in found:
                    found[task.name] = merge(found[task.name], sketch)
                done += task.rows
                told(done // max(1, len(grids)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _tasks(file: PlainFile, names: list[str]) -> Iterator[_Task]:
    """In about the order of the file."""
    first = rows = 0
    for last, more in enumerate(file.rows, 1):
        rows += more
        if rows >= _ROWS or last == len(file.rows):
            for name in names:
                yield _Task(name, file.columns[name][first:last], rows)
            first, rows = last, 0


def _counted(file: PlainFile, task: _Task, grid: SketchGrid, made: BinnedGrid | None) -> NumericSketch | None:
    from prodml_magics.stats.drift.columns import Numbers, as_numbers
    from prodml_magics.stats.drift.counter import CHUNK
    from prodml_magics.stats.drift.sketch import NumberCounter

    counter = NumberCounter(grid, made)
    # As many values at a time as are counted at once: what is read is still in the core's cache then.
    room = np.empty(CHUNK * task.pages[0].dtype.itemsize, np.uint8)
    try:
        with file.path.open("rb", buffering=0) as opened:
            for values, missing in values_of(opened, task.pages, room):
                numbers = Numbers(values, len(values)) if values.dtype.kind == "f" else as_numbers(task.name, values)
                counter.count(numbers._replace(rows=numbers.rows + missing))
    except (ValueError, OSError):
        return None
    return counter.sketch()
