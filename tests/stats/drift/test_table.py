"""Counting by bins is counting by sorting: on every case, dtype and kind of tail, and where edges share a bin."""

from __future__ import annotations

import numpy as np
import pytest
from laws.samples import NUMERIC_CASES

from prodml_magics.stats.drift import prepare
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.counter import GridCounter, binned
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.scratch import Scratch
from prodml_magics.stats.drift.sketch import sketch_grid, sketch_numbers
from prodml_magics.stats.drift.table import BINS, Table, centred, places, room_for, table_between

ROWS = 20_000
RNG = np.random.default_rng(9)
SAMPLES = {
    "long tails": (RNG.standard_t(1, 5_000), RNG.standard_t(1, ROWS)),
    "lognormal": (RNG.lognormal(size=5_000), RNG.lognormal(0.2, 1.1, ROWS)),
    "crowded edges": (np.concatenate([RNG.normal(size=2_500) * 1e-6, RNG.normal(size=2_500)]), RNG.normal(size=ROWS) * 1e-6),
    "missing and infinite": (RNG.normal(size=5_000), np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS) / 1e-3**5)),
    "infinite": (RNG.normal(size=5_000), np.where(RNG.random(ROWS) < 0.01, -np.inf, RNG.normal(size=ROWS))),
    "float64 beside 1e9": (1e9 + RNG.normal(size=5_000), 1e9 + RNG.normal(0.3, 1, ROWS)),
    "counts of events": (RNG.poisson(4, 5_000), RNG.poisson(5, ROWS).astype("f4")),
} | {
    name: (before, np.resize(now, ROWS)[RNG.permutation(ROWS)])
    for name, (before, now) in NUMERIC_CASES.items()
    if len(before) > 9
}


def _column(values: np.ndarray) -> NumericColumn:
    column = prepare({"a": values}).columns["a"]
    assert isinstance(column, NumericColumn)
    return column


def _cast(name: str) -> tuple[NumericColumn, np.ndarray]:
    before, now = SAMPLES[name]
    column = _column(before)
    with np.errstate(over="ignore"):
        return column, np.asarray(now).astype(column.values.dtype)


@pytest.mark.parametrize("name", SAMPLES)
def test_counts_by_bins_are_those_by_a_search_of_every_value(name: str) -> None:
    column, now = _cast(name)
    grid = sketch_grid(column)
    found = sketch_numbers(grid, Numbers(now, len(now)))
    present = now[~np.isnan(now)]
    slow = np.bincount(np.searchsorted(grid.edges, present), minlength=len(grid.edges) + 1)
    assert found.counts.tolist() == slow.tolist()
    assert (found.rows, found.missing, found.finite) == (ROWS, np.isnan(now).sum(), np.isfinite(now).sum())
    low, high = grid.edges[0].astype("f8"), grid.edges[-1].astype("f8")
    beyond = [(low - present[present < low]).sum(), (present[present > high] - high).sum()]
    np.testing.assert_allclose(found.beyond, beyond, rtol=1e-5)


def test_bins_are_used_where_they_help_and_left_where_they_do_not() -> None:
    for name in ("long tails", "lognormal", "counts of events", "infinite", "float64 beside 1e9"):
        column, now = _cast(name)
        counter = _counter(column)
        counter.count(now)
        assert counter.bins_help, name
    column, now = _cast("long tails")
    counter = _counter(column)
    counter.count(now)
    counter.count(now + np.float32(1e6))
    assert not counter.bins_help
    found = counter.sketch()
    both = np.concatenate([now, now + np.float32(1e6)])
    slow = np.bincount(np.searchsorted(sketch_grid(column).edges, both), minlength=len(found.counts))
    assert (found.rows, found.counts.tolist()) == (2 * ROWS, slow.tolist())


def _counter(column: NumericColumn) -> GridCounter:
    grid = sketch_grid(column)
    made = binned(grid)
    assert made is not None
    return GridCounter(grid, made)


def test_a_counter_goes_on_after_it_told_its_sketch() -> None:
    column, now = _cast("lognormal")
    counter = _counter(column)
    counter.count(now[:9_000])
    before = counter.sketch()
    counter.count(now[9_000:], missing=5)
    found, whole = counter.sketch(), sketch_numbers(sketch_grid(column), Numbers(now, ROWS + 5))
    assert (before.rows, int(before.counts.sum())) == (9_000, 9_000)
    assert (found.rows, found.missing, found.counts.tolist()) == (whole.rows, whole.missing, whole.counts.tolist())
    np.testing.assert_allclose(found.moments, whole.moments, rtol=1e-5)


def _places(table: Table, values: np.ndarray) -> np.ndarray:
    room = room_for(table.dtype, len(values), Scratch())
    with np.errstate(over="ignore"):
        return places(table, centred(table, values, room), room)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bins_keep_the_order_of_values(dtype: str) -> None:
    values = np.sort(np.concatenate([SAMPLES["long tails"][1], [np.inf, -np.inf, 3e38, -3e38, 1e-40]]).astype(dtype))
    table = table_between(values[1_000], values[-1_000], 0.3, values.dtype)
    assert table is not None
    found = _places(table, values)
    assert (np.diff(found) >= 0).all()
    assert (found.min(), found.max()) == (0, BINS + 1)
    ends = _places(table, values[[1_000, -1_000]])
    assert (ends[0], ends[1]) == (1, BINS + 1)


def test_bins_keep_the_order_of_whole_numbers_that_no_float_tells_apart() -> None:
    values = np.int64(2**60) + np.arange(-5_000, 5_000)
    table = table_between(values[100], values[-100], float(2**60), values.dtype)
    assert table is not None
    assert (np.diff(_places(table, values)) >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (-3e38, 3e38), (0.0, np.inf), (1e-44, 2e-44)])
def test_ends_that_cannot_be_told_apart_have_no_table(low: float, high: float) -> None:
    assert table_between(low, high, 0.0, np.dtype(np.float32)) is None


def test_a_centre_far_away_has_none() -> None:
    assert table_between(1.0, 2.0, 1e9, np.dtype(np.float32)) is None
