"""Counting a column on a grid whose inner edges are the ends of steps: how many values have which code tells all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.codes import MOST, Steps, codes, codes_of, tally
from prodml_magics.stats.drift.counter import CHUNK
from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid
from prodml_magics.stats.drift.scratch import Scratch

__all__ = ["StepCounter"]

_MOST_KEPT = 20 * CHUNK
"""Codes that are kept before they are counted, of two bytes each: to tell counts takes as long as to count half a million of them."""

_STRETCH = 4_096
"""Values whose smallest and largest code are looked at first."""


class StepCounter:
    """The sketch of what was counted so far, of values of the grid's dtype [n] each time; not for several threads at once.

    Moments are not summed up, NaN: of what is counted once and thrown away nobody asks for them. Needs pyarrow.
    """

    def __init__(self, grid: SketchGrid, steps: Steps, scratch: Scratch) -> None:
        self._grid, self._steps, self._scratch = grid, steps, scratch
        self._of_edges = codes_of(steps, grid.edges)
        self._rows = self._missing = self._infinite = self._kept = 0
        self._of_codes = np.zeros(2 * MOST + 1, np.int64)
        self._at_ends, self._beyond = np.zeros(2, np.int64), np.zeros(2)
        self._outside: list[NDArray[Any]] = []

    def count(self, values: NDArray[Any], missing: int = 0) -> None:
        """NaN among the values is missing too; so are `missing` more rows."""
        self._rows += len(values) + missing
        self._missing += missing
        for start in range(0, len(values), CHUNK):
            self._take(values[start : start + CHUNK])

    def sketch(self) -> NumericSketch:
        """Of all rows so far."""
        self._settle()
        total = int(self._of_codes.sum())
        upto = np.cumsum(self._of_codes)[self._of_edges.astype(np.intp) + MOST]
        upto[0], upto[-1] = self._at_ends[0], total - self._at_ends[1]
        counts = np.diff(upto, prepend=0, append=total)
        return NumericSketch(self._rows, self._missing, counts, self._beyond.copy(), np.full(2, np.nan), total - self._infinite)

    def _take(self, values: NDArray[Any]) -> None:
        if self._kept + len(values) > _MOST_KEPT:
            self._settle()
        kept = self._scratch.array("codes", _MOST_KEPT, np.int16)
        found = kept[self._kept : self._kept + len(values)]
        if codes(self._steps, values, self._scratch, found):
            self._look_beyond(values, found)
            self._kept += len(values)
        else:
            present = values[~np.isnan(values)]
            self._missing += len(values) - len(present)
            self._take(present)

    def _settle(self) -> None:
        self._of_codes += tally(self._scratch.array("codes", _MOST_KEPT, np.int16)[: self._kept])
        self._kept = 0
        self._count_beyond()

    def _look_beyond(self, values: NDArray[Any], found: NDArray[np.int16]) -> None:
        """Keep the few stretches in which some lie, as their codes tell, up to the first edge or above the last: no ends of steps."""
        whole = len(values) // _STRETCH * _STRETCH
        rows, of_rows = values[:whole].reshape(-1, _STRETCH), found[:whole].reshape(-1, _STRETCH)
        outside = (of_rows.min(axis=1) <= self._of_edges[0]) | (of_rows.max(axis=1) >= self._of_edges[-1])
        self._outside += [rows[outside].ravel(), values[whole:].copy()]
        if sum(map(len, self._outside)) > CHUNK:
            self._count_beyond()

    def _count_beyond(self) -> None:
        """Few values, which are looked up by number: several times quicker than by mask."""
        first, last = self._grid.edges[0], self._grid.edges[-1]
        values = np.concatenate([self._grid.edges[:0], *self._outside])
        self._outside.clear()
        low, high = (values.take(np.flatnonzero(each)) for each in (values <= first, values > last))
        self._at_ends += (len(low), len(high))
        self._infinite += int(np.isinf(low).sum() + np.isinf(high).sum())
        self._beyond += (np.subtract(first, low, dtype=np.float64).sum(), np.subtract(high, last, dtype=np.float64).sum())
