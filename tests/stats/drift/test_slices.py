"""The worst part is found without being named, a drift of the whole is not told again, and chance is not taken for a part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from prodml_magics.stats.drift.limits import Limits
from prodml_magics.stats.drift.slices import FEWEST_SLICE_ROWS, find_slices

Side = dict[str, np.ndarray]


def _side(rng: np.random.Generator, rows: int, columns: int = 4) -> Side:
    """Correlated numbers, some of them missing, beside categories of few and of many levels."""
    shared = rng.normal(size=rows)
    numbers = {f"x{i}": shared + rng.normal(size=rows) for i in range(columns)}
    numbers["x0"][rng.random(rows) < 0.1] = np.nan
    return {
        **numbers,
        "city": rng.choice(["Oslo", "Rome", "Lima"], rows),
        "shop": rng.choice([f"shop {i}" for i in range(80)], rows),
        "member": rng.random(rows) < 0.3,
    }


def _limits(side: Side, tolerance: float = 0.1) -> dict[str, Limits]:
    return {name: Limits(tolerance, 0.05) for name in side}


def test_the_part_in_which_a_column_moved_is_found_with_its_effect() -> None:
    rng = np.random.default_rng(0)
    before, now = _side(rng, 6_000), _side(rng, 5_000)
    moved = now["city"] == "Rome"
    now["x1"][moved] += 1.5
    (found,) = find_slices(before, now, _limits(before))
    assert (found.by, found.part, found.column, found.numeric) == ("city", "= Rome", "x1", True)
    assert (found.n_reference, found.n_current) == ((before["city"] == "Rome").sum(), moved.sum())
    exact = stats.ks_2samp(before["x1"][before["city"] == "Rome"], now["x1"][moved]).statistic
    assert exact - 0.02 <= found.effect <= exact + 1e-12
    assert found.overall == pytest.approx(stats.ks_2samp(before["x1"], now["x1"]).statistic, abs=0.01)
    assert found.overall < found.effect_low < found.effect


def test_a_quarter_of_a_number_and_a_category_that_moved_there_are_found() -> None:
    rng = np.random.default_rng(1)
    before, now = _side(rng, 8_000), _side(rng, 8_000)
    low = now["x3"] < np.quantile(before["x3"], 0.25)
    now["member"][low] = rng.random(low.sum()) < 0.8
    found = find_slices(before, now, _limits(before))[0]
    assert (found.column, found.by, found.numeric) == ("member", "x3", False)
    assert found.part == f"up to {np.quantile(before['x3'], 0.25):.4g}"
    inside = before["x3"] <= np.quantile(before["x3"], 0.25)
    expected = abs(before["member"][inside].mean() - now["member"][now["x3"] <= np.quantile(before["x3"], 0.25)].mean())
    assert found.effect == pytest.approx(expected, abs=1e-9)


def test_a_column_that_moved_everywhere_is_not_told_part_by_part() -> None:
    rng = np.random.default_rng(2)
    before, now = _side(rng, 6_000), _side(rng, 6_000)
    now["x2"] += 2
    assert [found for found in find_slices(before, now, _limits(before)) if found.column == "x2"] == []


def test_rows_are_not_split_by_a_number_that_moved_itself() -> None:
    """In another unit all rows lie in its last quarter, in which what goes with it was larger."""
    rng = np.random.default_rng(5)
    before, now = (
        {"x": x, "y": x + rng.normal(size=6_000) / 3, "z": rng.normal(size=6_000)} for x in rng.normal(10, 1, (2, 6_000))
    )
    assert find_slices(before, now, _limits(before)) == []
    now["x"] = now["x"] * 10
    assert find_slices(before, now, _limits(before)) == []
    now["z"][now["y"] > np.quantile(before["y"], 0.75)] += 2
    (found,) = find_slices(before, now, _limits(before))
    assert (found.by, found.column) == ("y", "z")


@pytest.mark.parametrize("fdr", ["bh", "by", "ebh"])
def test_without_drift_parts_are_found_at_most_at_the_stated_rate(fdr: Any) -> None:
    """No tolerance helps: the bound and the control alone must hold."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(100):
        before, now = _side(rng, 1_500), _side(rng, 900)
        alarms += bool(find_slices(before, now, _limits(before, 0.0), fdr=fdr))
    assert alarms <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)


def test_long_sides_are_sampled_and_say_the_same_each_time() -> None:
    rng = np.random.default_rng(4)
    before, now = _side(rng, 80_000), _side(rng, 70_000)
    now["x1"][now["city"] == "Lima"] -= 1.5
    one, other = (find_slices(before, now, _limits(before)) for _ in range(2))
    assert one == other
    assert (one[0].by, one[0].part, one[0].column) == ("city", "= Lima", "x1")
    assert one[0].n_current < 15_000


def test_correlated_rows_count_as_fewer() -> None:
    rng = np.random.default_rng(5)
    before, now = _side(rng, 3_000), _side(rng, 1_200)
    now["x1"][now["city"] == "Rome"] += 1.5
    assert find_slices(before, now, _limits(before))
    assert not find_slices(before, now, {name: Limits(0.1, 0.05, inflation=20.0) for name in before})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"a": np.zeros(0), "b": np.zeros(0)}, {"a": np.zeros(9), "b": np.zeros(9)}),
        ({"a": np.full(200, np.nan), "b": np.arange(200.0)}, {"a": np.full(200, np.nan), "b": np.arange(200.0)}),
        ({"a": np.full(200, 3), "b": np.arange(200)}, {"a": np.full(200, 4), "b": np.arange(200)}),
        ({"a": np.array([None] * 200), "b": np.arange(200)}, {"a": np.array(["x"] * 200), "b": np.arange(200)}),
        (
            {"a": np.array([np.inf, -np.inf] * 100), "b": np.arange(200)},
            {"a": np.array([np.inf, 1.0] * 100), "b": np.arange(200)},
        ),
        ({"a": np.arange(200)}, {"a": np.arange(200)}),
    ],
    ids=["no rows", "missing", "constant", "levels gone", "infinite", "one column"],
)
def test_odd_columns_are_no_crash(before: Side, now: Side) -> None:
    for found in find_slices(before, now, _limits(before)):
        assert min(found.n_reference, found.n_current) >= FEWEST_SLICE_ROWS
        assert np.isfinite([found.effect, found.effect_low, found.overall, found.p_adjusted]).all()
