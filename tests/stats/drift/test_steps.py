"""Grids that end at the ends of equal steps: counted by the codes of values, as a search of every value counts them."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.bucket import grids_of, sketch_column
from prodml_magics.stats.drift.codes import MOST, Steps, codes, codes_of, last_of_steps, tally
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.counter import CHUNK
from prodml_magics.stats.drift.detect_sketches import detect_sketches
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.scratch import Scratch
from prodml_magics.stats.drift.sketch import sketch_grid, sketch_numbers
from prodml_magics.stats.drift.step_counter import StepCounter
from prodml_magics.stats.drift.steps import with_steps

ROWS = 40_000
RNG = np.random.default_rng(11)
BEFORE = {
    "normal": RNG.normal(size=ROWS).astype("f4"),
    "normal, double": RNG.normal(size=ROWS),
    "lognormal": RNG.lognormal(size=ROWS).astype("f4"),
    "beside 1e9": RNG.normal(1e9, 1, ROWS),
    "below zero": -RNG.gamma(2, 3, ROWS).astype("f4"),
}
AWKWARD = BEFORE | {
    "long tails": RNG.standard_t(2, ROWS).astype("f4"),
    "tiny": RNG.normal(size=ROWS) * 1e-300,
    "huge": (RNG.normal(size=ROWS) * 1e30).astype("f4"),
    "beside 1000": RNG.normal(1_000, 1, ROWS).astype("f4"),
}


def _now(values: np.ndarray) -> np.ndarray:
    """Shifted, and beyond the grid."""
    found: np.ndarray = np.concatenate([values[::2] + float(values.astype("f8").std()) / 3, values[:3] * 40])
    return found


NOW = {name: _now(values) for name, values in BEFORE.items()}


def _stepped(values: np.ndarray) -> NumericColumn:
    column = with_steps(prepare({"a": values})).columns["a"]
    assert isinstance(column, NumericColumn)
    return column


@pytest.mark.parametrize("name", AWKWARD)
def test_counts_by_steps_are_those_by_a_search_of_every_value(name: str) -> None:
    column, shifted = _stepped(AWKWARD[name]), _now(AWKWARD[name])
    grid = sketch_grid(column)
    assert grid.steps is not None
    odd = np.array([np.inf, -np.inf, np.nan, np.nan, 0.0, -0.0, 5e-324, -1e-40, 3e38, -3e38], column.values.dtype)
    now = np.concatenate([shifted, odd, grid.edges, np.nextafter(grid.edges, np.inf), np.nextafter(grid.edges, -np.inf)])
    now = now.astype(column.values.dtype)
    counter = StepCounter(grid, grid.steps, Scratch())
    counter.count(now[:7_000], missing=3)
    counter.count(now[7_000:])
    found, present = counter.sketch(), now[~np.isnan(now)]
    assert found.counts.tolist() == np.bincount(np.searchsorted(grid.edges, present), minlength=len(grid.edges) + 1).tolist()
    assert (found.rows, found.missing, found.finite) == (len(now) + 3, 5, np.isfinite(now).sum())
    assert found.beyond.tolist() == [np.inf, np.inf]
    finite = sketch_numbers(grid, Numbers(shifted.astype(now.dtype), len(shifted)))
    wide, ends = shifted.astype(now.dtype).astype("f8"), grid.edges[[0, -1]].astype("f8")
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
    for centre in (0.0, 0.7):
        steps = Steps(np.array(centre, dtype)[()], np.array(1_024.7, dtype)[()])
        values = np.sort(np.concatenate([RNG.uniform(-3, 5, 2_000), [0.0, -0.0, 1e-300, -1e-300]])).astype(dtype)
        last = last_of_steps(steps, values)
        own, following = codes_of(steps, last), codes_of(steps, np.nextafter(last, np.array(np.inf, dtype)))
        np.testing.assert_array_equal(own, codes_of(steps, values))
        np.testing.assert_array_equal(following, own + 1)
        assert (last >= values).all()
        np.testing.assert_array_equal(last_of_steps(steps, last), last)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_codes_keep_the_order_of_values(dtype: str) -> None:
    steps = Steps(np.array(0.3, dtype)[()], np.array(1e3, dtype)[()])
    tails = RNG.standard_t(1, 20_000)
    values = np.sort(np.concatenate([tails, [np.inf, -np.inf, 3e38, -3e38, 1e-40, -1e-40, 0.3]]).astype(dtype))
    found = codes_of(steps, values)
    assert (np.diff(found.astype("i8")) >= 0).all()
    assert (found[0], found[-1]) == (-MOST, MOST)
    exact = np.trunc((values.astype("f8") - 0.3) * 1e3).clip(-MOST, MOST)
    assert (abs(found - exact) <= (1 if dtype == "f4" else 0)).all()
    assert not codes(steps, np.append(values, np.nan).astype(dtype), Scratch(), np.empty(len(values) + 1, np.int16))


@pytest.mark.parametrize("rows", [0, 1, 5_000, 100_000])
def test_a_tally_is_what_a_loop_counts(rows: int) -> None:
    for found in (
        RNG.integers(-MOST, MOST + 1, rows).astype(np.int16),
        np.full(rows, MOST, np.int16),
        np.resize(np.array([-MOST, MOST, 0], np.int16), rows),
        RNG.normal(0, 900, 2 * rows).astype(np.int16)[::2],
    ):
        wanted = np.zeros(2 * MOST + 1, np.int64)
        np.add.at(wanted, found.astype(np.int64) + MOST, 1)
        np.testing.assert_array_equal(tally(found), wanted)


def test_counters_in_turn_share_their_memory_and_count_however_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prodml_magics.stats.drift.step_counter._MOST_KEPT", CHUNK)
    scratch = Scratch()
    for name in ("normal", "normal, double", "lognormal"):
        grid = sketch_grid(_stepped(BEFORE[name]))
        assert grid.steps is not None
        now = np.resize(NOW[name], 3 * CHUNK + 777).astype(grid.edges.dtype)
        now[::1_000] = np.nan
        counter = StepCounter(grid, grid.steps, scratch)
        counter.count(now)
        before, present = counter.sketch(), now[~np.isnan(now)]
        wanted = np.bincount(np.searchsorted(grid.edges, present), minlength=len(grid.edges) + 1)
        assert before.counts.tolist() == wanted.tolist()
        counter.count(present)
        assert counter.sketch().counts.tolist() == (2 * wanted).tolist()
        assert before.counts.tolist() == wanted.tolist()
        wide, ends = present.astype("f8"), grid.edges[[0, -1]].astype("f8")
        np.testing.assert_allclose(before.beyond, [(ends[0] - wide).clip(0).sum(), (wide - ends[1]).clip(0).sum()], rtol=1e-9)
        assert np.isnan(before.moments).all()


def test_as_few_steps_as_part_all_edges() -> None:
    ranges = []
    for spread in (0.5, 1.6, 1.9):
        column = _stepped(np.exp(spread * np.random.default_rng(3).normal(size=ROWS)))
        assert column.steps is not None
        ends = sketch_grid(column).edges[[1, -2]]
        ranges.append(float(np.diff(ends)[0] * column.steps.slope))
    assert ranges[0] < 4_096 < ranges[1] < 8_192 < ranges[2] < 16_384


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
