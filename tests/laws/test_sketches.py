"""Sketches add up in any order, say what rows say within the stated bound, and the cube says what `detect` says."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws.samples import NUMERIC_CASES, largest_gap
from scipy import stats

from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.bucket import grids_of, pack, sketch_column, total, unpack
from prodml_magics.stats.drift.columns import Levels, Numbers, as_levels, as_numbers
from prodml_magics.stats.drift.cube import Cube
from prodml_magics.stats.drift.grid import grid_edges
from prodml_magics.stats.drift.level_counts import LevelCounts, add_levels, count_levels, levels_of
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.reference import prepare as summarised
from prodml_magics.stats.drift.sketch import (
    NumericSketch,
    empty_sketch,
    merge,
    sketch_columns,
    sketch_grid,
    sketch_numbers,
)

RNG = np.random.default_rng(0)
REFERENCE = RNG.normal(size=5_000).astype("f4")


def _column(values: Any) -> NumericColumn:
    column = summarised({"a": values}).columns["a"]
    assert isinstance(column, NumericColumn)
    return column


GRID = sketch_grid(_column(REFERENCE))
values = arrays(np.float32, st.integers(0, 40), elements=st.floats(-9, 9, width=32))


def _sketch(x: np.ndarray, missing: int = 0) -> NumericSketch:
    return sketch_numbers(GRID, Numbers(x, len(x) + missing))


def _same(one: NumericSketch, other: NumericSketch) -> None:
    assert (one.rows, one.missing, one.finite, one.counts.tolist()) == (
        other.rows,
        other.missing,
        other.finite,
        other.counts.tolist(),
    )
    np.testing.assert_allclose(one.beyond, other.beyond, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(one.moments, other.moments, rtol=1e-4, atol=1e-3)


@given(values, values, values)
def test_merging_is_associative_and_commutative_and_has_a_zero(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    x, y, z = _sketch(a, 1), _sketch(b), _sketch(c, 3)
    _same(merge(merge(x, y), z), merge(x, merge(y, z)))
    _same(merge(x, y), merge(y, x))
    _same(merge(x, empty_sketch(GRID)), x)


@given(values, st.lists(st.integers(0, 40), max_size=5))
def test_a_window_cut_anywhere_adds_up_to_itself(x: np.ndarray, cuts: list[int]) -> None:
    parts = [_sketch(part) for part in np.split(x, sorted(cuts))]
    _same(reduce(merge, parts), _sketch(x))


def test_counts_are_those_of_a_loop_and_sums_those_of_numpy() -> None:
    x = RNG.normal(0.5, 3, 100_000).astype("f4")
    found = _sketch(x, 7)
    edges = GRID.edges
    place = np.searchsorted(edges, x, side="left")
    assert found.counts.tolist() == np.bincount(place, minlength=len(edges) + 1).tolist()
    assert (found.rows, found.missing) == (100_007, 7)
    beyond = [np.maximum(edges[0] - x.astype(float), 0).sum(), np.maximum(x.astype(float) - edges[-1], 0).sum()]
    np.testing.assert_allclose(found.beyond, beyond, rtol=1e-6)
    z = (x.astype(float) - GRID.centre) / GRID.scale
    np.testing.assert_allclose(found.moments, [z.sum(), (z * z).sum()], rtol=1e-5)


def test_missing_values_are_counted_wherever_they_are() -> None:
    x = RNG.normal(size=300_000).astype("f4")
    x[RNG.random(300_000) < 0.2] = np.nan
    x[140_000:200_000] = np.nan
    raw, clean = _sketch(x), sketch_numbers(GRID, as_numbers("a", x))
    _same(raw, clean)
    assert raw.missing == np.isnan(x).sum()
    nowhere = sketch_numbers(sketch_grid(_column([np.nan])), Numbers(np.array([1.0, np.nan, np.nan]), 4))
    assert (nowhere.rows, nowhere.missing, nowhere.counts.tolist()) == (4, 3, [1])


def test_every_edge_of_a_bin_is_an_edge_of_the_grid() -> None:
    for case, (before, _) in NUMERIC_CASES.items():
        column = _column(before)
        assert set(column.edges.tolist()) <= set(sketch_grid(column).edges.tolist()), case
        new = set(column.edges.tolist()) - set(grid_edges(column.values).tolist())
        assert not new & set(column.values.tolist()), case


def test_sketches_of_different_grids_do_not_mix() -> None:
    other = sketch_grid(_column(np.arange(9.0)))
    with pytest.raises(InvalidInput, match="different grids"):
        merge(_sketch(REFERENCE), empty_sketch(other))


def test_levels_are_counted_and_the_others_together() -> None:
    known = ("x", "y", "z")
    found = count_levels(known, as_levels(np.array(["x", "new", None, "y", "x"], dtype=object)))
    assert (found.rows, found.missing, found.counts.tolist(), found.new, found.further) == (5, 1, [2, 1, 0], {"new": 1}, 0)
    levels = levels_of(known, found)
    assert (levels.levels, levels.counts.tolist(), levels.rows) == (("x", "new", "y"), [2, 1, 1], 5)


_SOME = st.dictionaries(st.sampled_from([f"level {i}" for i in range(30)]), st.integers(1, 9), max_size=30)


@given(_SOME, _SOME, _SOME)
def test_counts_of_levels_add_up_in_any_order_even_where_not_all_new_ones_are_told_apart(
    a: dict[str, int], b: dict[str, int], c: dict[str, int]
) -> None:
    known = ("level 0", "level 1")
    x, y, z = (_counted(known, each) for each in (a, b, c))
    whole = add_levels(add_levels(x, y, 5), z, 5)
    for other in (add_levels(x, add_levels(y, z, 5), 5), add_levels(add_levels(z, x, 5), y, 5)):
        assert (other.counts.tolist(), other.new, other.further) == (whole.counts.tolist(), whole.new, whole.further)
    assert whole.counts.sum() + sum(whole.new.values()) + whole.further == sum([*a.values(), *b.values(), *c.values()])
    assert len(whole.new) <= 5


def _counted(known: tuple[str, ...], counts: dict[str, int]) -> LevelCounts:
    levels = Levels(tuple(counts), np.array(list(counts.values()), np.int64), sum(counts.values()))
    return count_levels(known, levels, 5)


@given(values, values)
def test_a_bucket_comes_back_from_its_bytes_and_adds_up(a: np.ndarray, b: np.ndarray) -> None:
    reference = prepare(
        {"x": REFERENCE, "city": np.array(["Oslo", "Rome"] * 2_500), "note": np.array([f"text {i}" for i in range(5_000)])}
    )
    grids = grids_of(reference)
    one, other = (
        {
            "x": sketch_column("x", grids["x"], part),
            "city": sketch_column("city", grids["city"], np.array(["Oslo", "Bergen"] * len(part))),
            "note": sketch_column("note", grids["note"], np.array([f"{value:.3f}" for value in part])),
        }
        for part in (a, b)
    )
    whole = total([unpack(pack(one)), other])
    assert whole.keys() == grids.keys()
    _same(whole["x"], _sketch(np.concatenate([a, b])))  # type: ignore[arg-type]
    assert whole["city"].new == ({"Bergen": len(a) + len(b)} if len(a) + len(b) else {})  # type: ignore[union-attr]
    assert whole["note"].rows == len(a) + len(b)


def test_a_bucket_of_a_later_format_asks_for_an_upgrade() -> None:
    with pytest.raises(Unsupported, match=r"bucket format 9 .* upgrade"):
        unpack(b"\x09rest")
    with pytest.raises(InvalidInput, match="not a bucket"):
        unpack(b"\x01rest")


# ── the cube ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _cube(before: np.ndarray, windows: list[np.ndarray]) -> Cube:
    column = _column(before)
    cube = Cube({"a": column}, buckets=1)
    for window in windows:
        numbers = as_numbers("a", window)
        cube.append({"a": sketch_numbers(cube.grids["a"], numbers)})
    return cube


@pytest.mark.parametrize("case", NUMERIC_CASES)
def test_the_exact_distance_lies_within_the_stated_bounds(case: str) -> None:
    before, now = NUMERIC_CASES[case]
    cube = _cube(before, [before, now])
    found = cube.compare((0, 1), (1, 2))
    dtype = cube.grids["a"].edges.dtype
    exact = largest_gap(before.astype(dtype), now.astype(dtype))
    assert found.ks[0] - 1e-12 <= exact <= found.ks_upper[0] + 1e-12
    assert found.rows[:, 0].tolist() == [len(before), len(now)]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_about_a_constant_the_bounds_are_one_number(dtype: str) -> None:
    before = np.full(400, 3.0, dtype)
    for now in (before, np.append(before, np.full(100, 3.5, dtype)), np.append(before, np.full(100, 2.5, dtype))):
        found = _cube(before, [before, now]).compare((0, 1), (1, 2))
        assert found.ks_upper[0] == found.ks[0] == pytest.approx(largest_gap(before, now))
    close = np.array([1, 1 + 2**-23, 1 + 2**-22] * 50, "f4")
    found = _cube(close, [close, close[:2]]).compare((0, 1), (1, 2))
    assert found.ks[0] - 1e-12 <= largest_gap(close, close[:2]) <= found.ks_upper[0] + 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0, 50.0])
def test_on_continuous_values_the_bounds_are_narrow_and_wasserstein_close(shift: float) -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=20_000).astype("f4"), rng.normal(shift, 1, 15_000).astype("f4")
    found = _cube(before, [before, now]).compare((0, 1), (1, 2))
    assert found.ks_upper[0] - found.ks[0] < 0.03
    assert found.ks[0] == pytest.approx(largest_gap(before, now), abs=0.01)
    assert found.wasserstein[0] == pytest.approx(stats.wasserstein_distance(before, now), rel=0.05, abs=0.01)


def test_binned_statistics_are_exactly_those_of_detect() -> None:
    rng = np.random.default_rng(2)
    columns = {"a": rng.normal(size=4_000), "b": np.round(rng.normal(size=4_000)), "c": np.full(4_000, 3.0)}
    now = {"a": rng.normal(0.4, 1, 900), "b": np.round(rng.normal(0.5, 1, 900)), "c": np.full(900, 3.0)}
    now["a"][:90] = np.nan
    reference = prepare(columns)
    numeric = {name: column for name, column in reference.columns.items() if isinstance(column, NumericColumn)}
    cube = Cube(numeric)
    for window in (columns, now):
        cube.append(sketch_columns(cube.grids, {name: as_numbers(name, values) for name, values in window.items()}))
    found, exact = cube.compare((0, 1), (1, 2)), detect(reference, now)
    np.testing.assert_allclose(found.psi, exact.psi, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.js, exact.js, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(found.missing, exact.missing_current, atol=1e-12)


def test_any_two_windows_are_what_their_rows_are_and_rolling_up_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    windows = [rng.normal(i / 20, 1, rng.integers(0, 60)).astype("f4") for i in range(30)]
    cube = _cube(REFERENCE, windows)
    before, now = (5, 12), (18, 30)
    rows = [np.concatenate(windows[first:last]) for first, last in (before, now)]
    direct = _cube(REFERENCE, rows).compare((0, 1), (1, 2))
    found = cube.compare(before, now)
    for one, other in zip(found[1:], direct[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    hours = cube.rolled_up(6)
    assert len(hours) == 5
    for one, other in zip(hours.compare((1, 2), (3, 5))[1:], cube.compare((6, 12), (18, 30))[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_buckets_without_rows_are_undefined_and_none_beyond_the_end_exist() -> None:
    cube = _cube(REFERENCE, [REFERENCE[:50], REFERENCE[:0]])
    cube.append({})
    found = cube.compare((0, 1), (1, 3))
    assert np.isnan([found.ks[0], found.ks_upper[0], found.wasserstein[0], found.psi[0], found.js[0], found.missing[0]]).all()
    with pytest.raises(InvalidInput, match="not all among the 3"):
        cube.compare((0, 1), (1, 4))
    assert len(Cube({}).rolled_up(3)) == 0


def test_infinite_values_lie_in_the_outer_cells_and_leave_wasserstein_undefined() -> None:
    now = np.array([np.inf, -np.inf, 0.0, np.nan])
    found = _cube(REFERENCE, [REFERENCE, now]).compare((0, 1), (1, 2))
    assert found.ks[0] == pytest.approx(1 / 3, abs=0.02)
    assert not np.isfinite(found.wasserstein[0])
    assert found.missing[0] == 0.25
