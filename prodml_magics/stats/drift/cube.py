"""The drift cube: sketches of every column and stretch of time as prefix sums, so that any two windows cost one subtraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.sketch import NumericSketch, SketchGrid, sketch_grid

__all__ = ["Cube", "CubeComparison", "Slab"]

_Floats = NDArray[np.float64]


class Slab(NamedTuple):
    """Sums over a stretch of time: `counts` [columns, cells], `rows` and `missing` [columns], `beyond` [columns, 2]."""

    counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    missing: NDArray[np.int64]
    beyond: _Floats

    def __sub__(self, other: Slab) -> Slab:
        return Slab(self.counts - other.counts, self.rows - other.rows, self.missing - other.missing, self.beyond - other.beyond)

    def at(self, place: int | list[int]) -> Slab:
        """One entry, or some, of the first axis of all parts."""
        return Slab(self.counts[place], self.rows[place], self.missing[place], self.beyond[place])


class CubeComparison(NamedTuple):
    """Of two windows, per column [columns]; NaN where a side has no present row.

    The KS distance lies in [`ks`, `ks_upper`]; `wasserstein` (in the column's unit) takes the rows inside a cell to be spread
    over it as evenly as the reference's; `psi` and `js` are exact; `missing` is the change of the missing share; `rows`
    [2, columns] are the present ones.
    """

    names: tuple[str, ...]
    ks: _Floats
    ks_upper: _Floats
    wasserstein: _Floats
    psi: _Floats
    js: _Floats
    missing: _Floats
    rows: NDArray[np.int64]


class Cube:
    """Prefix sums over buckets of time, for the numeric columns of one reference.

    Buckets are appended in order, oldest first; a bucket that stays empty still counts. Appending copies nothing but the bucket.
    """

    def __init__(self, columns: Mapping[str, NumericColumn], buckets: int = 720) -> None:
        self.names = tuple(columns)
        self.grids: dict[str, SketchGrid] = {name: sketch_grid(column) for name, column in columns.items()}
        self._cells = max((len(grid.edges) + 1 for grid in self.grids.values()), default=1)
        self._edges, self._inside = self._padded_edges()
        self._closed = self._neighbours()
        self._bins = self._bin_starts(columns)
        self._sums = self._room(buckets + 1)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, sketches: Mapping[str, NumericSketch]) -> None:
        """Add the next bucket; columns that are left out have no rows in it."""
        if self._length + 1 == len(self._sums.rows):
            grown = self._room(2 * len(self._sums.rows))
            for target, source in zip(grown, self._sums, strict=True):
                target[: len(source)] = source
            self._sums = grown
        before, after = self._length, self._length + 1
        for sums in self._sums:
            sums[after] = sums[before]
        for place, name in enumerate(self.names):
            if name in sketches:
                self._add(after, place, sketches[name])
        self._length = after

    def between(self, first: int, last: int) -> Slab:
        """Everything in the buckets [first, last)."""
        if not 0 <= first <= last <= self._length:
            raise InvalidInput(f"buckets {first} to {last} are not all among the {self._length} of the cube")
        return self._sums.at(last) - self._sums.at(first)

    def compare(self, before: tuple[int, int], now: tuple[int, int]) -> CubeComparison:
        """Compare two stretches of buckets, each [first, last), without touching a row."""
        return self.compare_slabs(self.between(*before), self.between(*now))

    def compare_slabs(self, before: Slab, now: Slab) -> CubeComparison:
        """Compare what two stretches hold, or the sums of several."""
        n, m = before.counts.sum(axis=1), now.counts.sum(axis=1)
        defined = (n > 0) & (m > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            f, g = np.cumsum(before.counts, axis=1) / n[:, None], np.cumsum(now.counts, axis=1) / m[:, None]
            missing = now.missing / now.rows - before.missing / before.rows
            tails = np.abs(now.beyond / m[:, None] - before.beyond / n[:, None]).sum(axis=1)
            index, distance = self._of_bins(before.counts, now.counts)
            gaps = f - g
            upper = np.maximum(f[:, 1:] - g[:, :-1], g[:, 1:] - f[:, :-1])
            upper = np.where(self._closed, 0.0, upper).max(axis=1, initial=0.0)
            first = np.maximum(f[:, 0], g[:, 0])
            means = gaps[:, :-2] + np.diff(gaps[:, :-1], axis=1) * self._inside[:, 1:] / 2
            wasserstein = (np.abs(means) * np.diff(self._edges, axis=1)).sum(axis=1) + tails
        ks = np.where(defined, np.abs(gaps).max(axis=1), np.nan)
        ks_upper = np.where(defined, np.minimum(1.0, np.maximum(np.maximum(upper, first), ks)), np.nan)
        wasserstein, index, distance = (np.where(defined, found, np.nan) for found in (wasserstein, index, distance))
        return CubeComparison(self.names, ks, ks_upper, wasserstein, index, distance, missing, np.stack([n, m]))

    def rolled_up(self, factor: int) -> Cube:
        """The same with every `factor` buckets as one: five minutes to hours, hours to days. A rest at the end is one too."""
        coarse = object.__new__(Cube)
        coarse.__dict__.update(self.__dict__)
        ends = [*range(0, self._length, factor), self._length] if self._length else [0]
        coarse._sums = self._sums.at(ends)
        coarse._length = len(ends) - 1
        return coarse

    def _room(self, length: int) -> Slab:
        columns = len(self.names)
        counts = np.zeros((length, columns, self._cells), np.int64)
        rows, missing = np.zeros((length, columns), np.int64), np.zeros((length, columns), np.int64)
        return Slab(counts, rows, missing, np.zeros((length, columns, 2)))

    def _padded_edges(self) -> tuple[_Floats, _Floats]:
        """Edges [columns, cells − 1] measured from the first, the last one repeated: cells behind it stay empty; and `inside`."""
        edges, inside = np.zeros((2, len(self.names), max(0, self._cells - 1)))
        for place, grid in enumerate(self.grids.values()):
            if width := len(grid.edges):
                precision = np.longdouble if grid.edges.dtype.kind in "iu" else np.float64
                with np.errstate(over="ignore", invalid="ignore"):
                    edges[place, :width] = np.subtract(grid.edges, grid.edges[0], dtype=precision)
                edges[place, width:] = edges[place, width - 1]
                inside[place, :width] = grid.inside
        return edges, inside

    def _neighbours(self) -> NDArray[np.bool_]:
        """Whether no value lies between two edges of a cell, as about a constant: bool [columns, cells − 1], from the second cell on."""
        closed = np.zeros((len(self.names), max(0, self._cells - 1)), dtype=bool)
        for place, grid in enumerate(self.grids.values()):
            edges = grid.edges
            if edges.dtype.kind == "f" and len(edges) > 1:
                closed[place, : len(edges) - 1] = np.nextafter(edges[:-1], edges.dtype.type(np.inf)) == edges[1:]
        return closed

    def _bin_starts(self, columns: Mapping[str, NumericColumn]) -> list[NDArray[np.intp]]:
        """The first cell of each decile bin that has one; the grid's edges hold every edge of a bin."""
        starts = []
        for name, column in columns.items():
            bins = np.searchsorted(column.edges, self.grids[name].edges, side="left")
            behind = np.append(bins, len(column.edges))
            starts.append(np.flatnonzero(np.diff(behind, prepend=-1)))
        return starts

    def _of_bins(self, before: NDArray[np.int64], now: NDArray[np.int64]) -> tuple[_Floats, _Floats]:
        """PSI and Jensen–Shannon distance per column; columns with as many bins are computed together."""
        index, distance = np.full(len(self.names), np.nan), np.full(len(self.names), np.nan)
        for width in {len(starts) for starts in self._bins}:
            places = [place for place, starts in enumerate(self._bins) if len(starts) == width]
            starts = np.array([self._bins[place] for place in places])
            sides = [_added(side[places], starts) for side in (before, now)]
            index[places], distance[places] = psi(*sides), jensen_shannon(*sides)
        return index, distance

    def _add(self, bucket: int, place: int, sketch: NumericSketch) -> None:
        self._sums.counts[bucket, place] += _fitted(sketch.counts, self._cells)
        self._sums.rows[bucket, place] += sketch.rows
        self._sums.missing[bucket, place] += sketch.missing
        self._sums.beyond[bucket, place] += sketch.beyond


def _fitted(counts: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    """Counts of a column with fewer cells: its last, open one goes to the end."""
    fitted = np.zeros(cells, np.int64)
    fitted[: len(counts) - 1] = counts[:-1]
    fitted[-1] = counts[-1]
    return fitted


def _added(counts: NDArray[np.int64], starts: NDArray[np.intp]) -> NDArray[np.int64]:
    """Sums [columns, bins] of the cells from each start to the next."""
    upto = np.concatenate([np.zeros((len(counts), 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    ends = np.concatenate([starts[:, 1:], np.full((len(starts), 1), counts.shape[1])], axis=1)
    return np.take_along_axis(upto, ends, axis=1) - np.take_along_axis(upto, starts, axis=1)
