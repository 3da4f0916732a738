"""Counting by bins is counting by sorting: on every case, dtype and kind of tail, and where edges share a bin."""

from __future__ import annotations

import numpy as np
import pytest
from laws.samples import NUMERIC_CASES

from prodml_magics.stats.drift import prepare
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.sketch import _edge_table, _sketch_by_bins, sketch_grid, sketch_numbers
from prodml_magics.stats.drift.table import BINS, places, table_between

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
    for name in ("long tails", "lognormal", "counts of events", "infinite"):
        column, now = _cast(name)
        made = _edge_table(sketch_grid(column))
        assert made is not None
        assert _sketch_by_bins(sketch_grid(column), made, now) is not None, name
    column, now = _cast("long tails")
    made = _edge_table(sketch_grid(column))
    assert made is not None
    assert _sketch_by_bins(sketch_grid(column), made, now + np.float32(1e6)) is None


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bins_keep_the_order_of_values(dtype: str) -> None:
    values = np.sort(np.concatenate([SAMPLES["long tails"][1], [np.inf, -np.inf, 3e38, -3e38, 1e-40]]).astype(dtype))
    table = table_between(values[1_000], values[-1_000])
    assert table is not None
    found = places(table, values)
    assert (np.diff(found) >= 0).all()
    assert (found.min(), found.max()) == (0, BINS + 1)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (-3e38, 3e38), (0.0, np.inf), (1e-44, 2e-44)])
def test_ends_that_cannot_be_told_apart_have_no_table(low: float, high: float) -> None:
    assert table_between(np.float32(low), np.float32(high)) is None


def test_whole_numbers_have_none() -> None:
    assert table_between(np.int64(1), np.int64(2)) is None
