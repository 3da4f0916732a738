"""Grids that end at the ends of equal steps: counted by bins alone, as a search of every value counts them."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.bucket import grids_of, sketch_column
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.counter import GridCounter, binned
from prodml_magics.stats.drift.detect_sketches import detect_sketches
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.sketch import sketch_grid, sketch_numbers
from prodml_magics.stats.drift.steps import with_steps
from prodml_magics.stats.drift.table import last_of_bins, places_of, table_between

ROWS = 40_000
RNG = np.random.default_rng(11)
BEFORE = {
    "normal": RNG.normal(size=ROWS).astype("f4"),
    "normal, double": RNG.normal(size=ROWS),
    "lognormal": RNG.lognormal(size=ROWS).astype("f4"),
    "beside 1e9": RNG.normal(1e9, 1, ROWS),
    "below zero": -RNG.gamma(2, 3, ROWS).astype("f4"),
}
NOW = {name: np.concatenate([values[::2] + values.std() / 3, values[:3] * 40]) for name, values in BEFORE.items()}
"""Shifted, and beyond the grid."""


def _stepped(values: np.ndarray) -> NumericColumn:
    column = with_steps(prepare({"a": values})).columns["a"]
    assert isinstance(column, NumericColumn)
    return column


@pytest.mark.parametrize("name", BEFORE)
def test_counts_by_steps_are_those_by_a_search_of_every_value(name: str) -> None:
    column = _stepped(BEFORE[name])
    grid = sketch_grid(column)
    assert grid.steps is not None
    odd = np.array([np.inf, -np.inf, np.nan, np.nan, 0.0], column.values.dtype)
    now = np.concatenate([NOW[name], odd, grid.edges, np.nextafter(grid.edges, np.inf), np.nextafter(grid.edges, -np.inf)])
    now = now.astype(column.values.dtype)
    counter = GridCounter(grid, binned(grid))
    counter.count(now[:7_000], missing=3)
    counter.count(now[7_000:])
    found, present = counter.sketch(), now[~np.isnan(now)]
    assert found.counts.tolist() == np.bincount(np.searchsorted(grid.edges, present), minlength=len(grid.edges) + 1).tolist()
    assert (found.rows, found.missing, found.finite) == (len(now) + 3, 5, np.isfinite(now).sum())
    assert found.beyond.tolist() == [np.inf, np.inf]
    finite = sketch_numbers(grid, Numbers(NOW[name].astype(now.dtype), len(NOW[name])))
    wide, ends = NOW[name].astype(now.dtype).astype("f8"), grid.edges[[0, -1]].astype("f8")
    np.testing.assert_allclose(finite.beyond, [(ends[0] - wide).clip(0).sum(), (wide - ends[1]).clip(0).sum()], rtol=1e-12)


@pytest.mark.parametrize("name", BEFORE)
def test_an_edge_moves_by_less_than_a_step(name: str) -> None:
    column, before = _stepped(BEFORE[name]), prepare({"a": BEFORE[name]}).columns["a"]
    assert isinstance(before, NumericColumn)
    assert column.steps is not None
    grid, own = sketch_grid(column), sketch_grid(before)
    assert set(column.edges) <= set(grid.edges)
    moved = grid.edges.astype("f8") - own.edges.astype("f8")
    assert (moved >= 0).all()
    assert (moved <= 1.01 / float(column.steps.slope)).all()
    assert moved[1:-1].max() > 0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_last_of_a_bin_is_followed_by_one_of_the_next(dtype: str) -> None:
    table = table_between(-3.0, 5.0, 0.7, np.dtype(dtype))
    assert table is not None
    values = np.sort(np.concatenate([RNG.uniform(-3, 5, 2_000), [0.0, -0.0, 1e-300, -1e-300]])).astype(dtype)
    last = last_of_bins(table, values)
    own, following = places_of(table, last), places_of(table, np.nextafter(last, np.array(np.inf, dtype)))
    np.testing.assert_array_equal(own, places_of(table, values))
    np.testing.assert_array_equal(following, own + 1)
    assert (last >= values).all()
    np.testing.assert_array_equal(last_of_bins(table, last), last)


def test_edges_stay_where_steps_would_hide_something() -> None:
    for values in (
        np.round(RNG.normal(size=ROWS), 2),  # numbers that repeat
        RNG.integers(0, 1_000, ROWS),
        np.concatenate([RNG.normal(size=ROWS), 1e6 + RNG.normal(size=ROWS)]),  # many edges in one step
        np.full(50, 2.5),
        np.array([np.inf, 1.0, 2.0, 3.0]),
        np.array([np.nan]),
        np.array([1.0]),
    ):
        assert _stepped(values).steps is None


def test_verdicts_by_steps_are_those_of_rows() -> None:
    reference = prepare(BEFORE)
    stepped = with_steps(reference)
    grids = grids_of(stepped)
    found = detect_sketches(stepped, {name: sketch_column(name, grids[name], NOW[name]) for name in NOW})
    exact = detect(reference, NOW)
    assert (found.names, found.drifted, found.undecided) == (exact.names, exact.drifted, exact.undecided)
    assert ((exact.ks - 1 / 100 <= found.ks) & (found.ks <= exact.ks)).all()
    for name, told, by_deciles in zip(found.names, found.psi, exact.psi, strict=True):
        edges = _stepped(BEFORE[name]).edges
        counts = (
            np.bincount(np.searchsorted(edges, values.astype(edges.dtype)), minlength=10) + 0.5
            for values in (BEFORE[name], NOW[name])
        )
        before, now = (each / each.sum() for each in counts)
        assert told == pytest.approx(((now - before) * np.log(now / before)).sum(), rel=1e-9)
        assert told == pytest.approx(by_deciles, rel=0.02)
