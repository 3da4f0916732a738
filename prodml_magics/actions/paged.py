"""Sketches of the numeric columns of a Parquet file: each core reads a stretch of a column and counts it at once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.coded import decoded
from prodml_magics.actions.page_child import PageChild
from prodml_magics.actions.plain_pages import Pages, PlainFile, values_of

if TYPE_CHECKING:
    from prodml_magics.stats.drift.counter import BinnedGrid
    from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid
    from prodml_magics.stats.drift.scratch import Scratch

__all__ = ["Task", "counted", "sketch_pages"]

_ROWS = 2_000_000, 5_000_000
"""Rows that one task counts at the least, where row groups are smaller: what a counter costs is spread over them. The more, the less it
costs, as long as tasks are many."""

_TASKS = 16
"""For each worker: then none of them waits long for the others' last."""

_WORTH_CHILDREN = 200_000_000
"""Values from which on processes count them, which take a fraction of a second to start; threads, which ask for the interpreter between
one short step and the next, are hardly quicker than one of them."""


class Task(NamedTuple):
    """Some row groups of a column: their `pages`, none where its numbers are coded."""

    name: str
    dtype: np.dtype[Any]
    groups: range
    pages: tuple[Pages, ...]
    rows: int


def sketch_pages(file: PlainFile, grids: Mapping[str, SketchGrid], told: Callable[[int], None]) -> dict[str, NumericSketch]:
    """Sketches of these columns of the file, less those whose pages turn out not to be what its footer says.

    `told` is given the rows that were counted so far.
    """
    from prodml_magics.stats.drift.counter import binned
    from prodml_magics.stats.drift.numeric_sketch import empty_sketch, merge
    from prodml_magics.stats.drift.scratch import Scratch

    found = {name: empty_sketch(grid) for name, grid in grids.items()}
    made = {name: binned(grid) for name, grid in grids.items()}
    done = 0

    def here(scratch: Scratch, task: Task) -> NumericSketch | None:
        return counted(file, task, grids[task.name], made[task.name], scratch)

    workers = min(8, os.cpu_count() or 1)
    children = _children(file, grids, workers - 1) if sum(file.rows) * len(grids) >= _WORTH_CHILDREN else []
    counters: SimpleQueue[Callable[[Task], NumericSketch | None]] = SimpleQueue()
    for child in children:
        counters.put(child)
    for _ in range(1 if children else workers):
        counters.put(partial(here, Scratch()))

    def count(task: Task) -> NumericSketch | None:
        counter = counters.get()
        try:
            return counter(task)
        except (OSError, EOFError, pickle.UnpicklingError):  # a child that is no more: then this thread counts itself
            counter = partial(here, Scratch())
            return counter(task)
        finally:
            counters.put(counter)

    with ThreadPoolExecutor(workers) as pool:
        tasks = list(_tasks(file, list(grids), workers))
        try:
            for task, sketch in zip(tasks, pool.map(count, tasks), strict=True):
                if sketch is None:
                    found.pop(task.name, None)
                elif task.name in found:
                    found[task.name] = merge(found[task.name], sketch)
                done += task.rows
                told(done // max(1, len(grids)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            for child in children:
                child.end()
    return found


def _children(file: PlainFile, grids: Mapping[str, SketchGrid], count: int) -> list[PageChild]:
    """As many as could be started."""
    started: list[PageChild] = []
    try:
        while len(started) < count:
            started.append(PageChild(file, grids))
    except OSError:
        pass
    return started


def _tasks(file: PlainFile, names: list[str], workers: int) -> Iterator[Task]:
    """In about the order of the file."""
    dtypes, (least, most) = file.dtypes, _ROWS
    enough = min(max(least, sum(file.rows) * len(names) // (_TASKS * workers)), most)
    first = rows = 0
    for last, more in enumerate(file.rows, 1):
        rows += more
        if rows >= enough or last == len(file.rows):
            for name in names:
                pages = file.columns.get(name, ())[first:last]
                yield Task(name, dtypes[name], range(first, last), pages, rows)
            first, rows = last, 0


def counted(file: PlainFile, task: Task, grid: SketchGrid, made: BinnedGrid | None, scratch: Scratch) -> NumericSketch | None:
    from prodml_magics.stats.drift.columns import Numbers, as_numbers
    from prodml_magics.stats.drift.sketch import NumberCounter

    counter = NumberCounter(grid, made, scratch)
    try:
        for values, missing in _values(file, task, scratch):
            numbers = Numbers(values, len(values)) if values.dtype.kind == "f" else as_numbers(task.name, values)
            counter.count(numbers._replace(rows=numbers.rows + missing))
    except (ValueError, OSError):
        return None
    return counter.sketch()


def _values(file: PlainFile, task: Task, scratch: Scratch) -> Iterator[tuple[NDArray[Any], int]]:
    """As many at a time as are counted at once: what is read is still in the core's cache then."""
    from prodml_magics.stats.drift.counter import CHUNK

    if not task.pages:
        yield from decoded(file.path, task.name, task.groups, task.dtype, CHUNK, file.footer)
        return
    with file.path.open("rb", buffering=0) as opened:
        yield from values_of(opened, task.pages, scratch.array("values", CHUNK * task.dtype.itemsize, np.uint8))
