from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from prodml_magics.clock import ManualClock
from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.joint import JOINT
from prodml_magics.stats.drift.statistics import STATISTICS

FRAME_COLUMNS = [
    *("column", "kind", "n_reference", "n_current", "missing_reference", "missing_current", "ks", "wasserstein", "psi", "js"),
    *("chi2", "tv", "p_value", "p_adjusted", "effect", "effect_low", "drifted", "reason", "tolerance", "calibrated"),
]
RNG = np.random.default_rng(7)


def _one(before: Any, now: Any, **kwargs: Any) -> dict[str, Any]:
    found = detect(prepare({"a": before}), {"a": now}, **kwargs)
    return found.frame.row(0, named=True)


def test_the_frame_has_the_promised_columns_and_types() -> None:
    frame = detect(prepare({"a": [1.0, 2.0], "b": ["x", "y"]}), {"a": [1.0, 2.0], "b": ["x", "x"]}).frame
    assert frame.columns == FRAME_COLUMNS
    assert frame["drifted"].dtype == pl.Boolean
    assert frame["kind"].to_list() == ["numeric", "categorical"]
    assert not any(frame[name].is_nan().any() for name in frame.columns if frame[name].dtype.is_float())


def test_a_unit_change_is_named() -> None:
    row = _one(RNG.normal(14, 3, 2_000), RNG.normal(14, 3, 500) * 10)
    assert row["drifted"] is True
    assert row["effect"] == row["ks"] > row["effect_low"] > 0.8
    assert row["reason"].startswith("KS distance 1.00: moved by 4")
    assert row["reason"].endswith(" sd; looks like a unit change ×10")


def test_a_shift_is_told_by_its_medians() -> None:
    reason = _one(RNG.normal(-0.3, 1, 3_000), RNG.normal(2, 1, 3_000))["reason"]
    assert "moved by 2.3 sd; looks like a shift of +2." in reason, reason
    assert "from a median of -0." in reason


def test_a_rise_of_the_missing_share_decides_alone() -> None:
    values = RNG.normal(size=1_000)
    now = values.copy()
    now[:400] = np.nan
    row = _one(values, now)
    assert (row["drifted"], row["effect"]) == (True, 0.4)
    assert row["reason"].startswith("missing share rose from 0 % to 40 %")
    assert row["p_adjusted"] < 1e-9
    assert row["ks"] < 0.1


def test_all_values_missing_now_is_drift_with_undefined_statistics() -> None:
    row = _one(RNG.normal(size=200), np.full(100, np.nan))
    assert (row["drifted"], row["ks"], row["psi"]) == (True, None, None)


def test_twelve_rows_are_too_few_to_tell() -> None:
    found = detect(prepare({"a": RNG.normal(size=1_000)}), {"a": RNG.normal(9, 1, 12)})
    assert (found.drifted, found.undecided) == ([], ["a"])
    assert found.reason == ("12 rows are too few to tell; 20 are needed",)
    assert found.frame["drifted"].to_list() == [None]
    assert found.ks[0] == 1.0


def test_an_effect_that_chance_explains_is_undecided() -> None:
    rng = np.random.default_rng(5)
    row = _one(rng.normal(size=50), rng.normal(size=30))
    assert row["effect"] > 0.1
    assert row["drifted"] is None
    assert "30 rows are too few to tell it from chance" in row["reason"]


def test_many_levels_differ_by_chance_and_enough_rows_tell() -> None:
    rng = np.random.default_rng(0)
    levels = [f"level {i}" for i in range(200)]
    enough, few = (_one(rng.choice(levels, 2_000), rng.choice(levels, rows)) for rows in (1_000, 60))
    assert enough["effect"] > 0.1
    assert enough["drifted"] is False
    assert enough["reason"].endswith("as chance brings in 1,000 rows of so many levels")
    assert few["drifted"] is None


def test_unseen_categories_count() -> None:
    before = RNG.choice(["a", "b"], 1_000)
    now = np.where(RNG.random(1_000) < 0.3, "new", RNG.choice(["a", "b"], 1_000))
    row = _one(before, now)
    assert row["drifted"] is True
    assert row["tv"] == pytest.approx((now == "new").mean(), abs=0.05)
    assert "categories that the reference never had, such as 'new'" in row["reason"]
    assert row["ks"] is None


def test_categories_that_changed_share_are_named() -> None:
    row = _one(["x"] * 700 + ["y"] * 300, ["x"] * 300 + ["y"] * 700)
    assert row["reason"] == "total variation 0.40: 'x' went from 70 % to 30 % of the rows"


ODD_COLUMNS: list[tuple[Any, Any]] = [
    ([], [1.0, 2.0]),
    ([1.0, 2.0], []),
    ([], []),
    ([math.nan] * 5, [math.nan] * 5),
    ([None] * 5, ["a"] * 5),
    (["a"] * 5, [None] * 5),
    ([1.0], [1.0]),
    ([3.0] * 90, [3.0] * 80),
    ([math.inf, -math.inf, 1.0] * 20, [math.inf, 0.0] * 30),
    ([1e-310, 5e-324] * 30, [0.0] * 60),
    ([1.0, 2.0] * 30, [1e39, -1e39] * 30),
    ([1e308, 5e-324] * 30, np.array([1.0, 2.0] * 30, dtype="f4")),
    ([1e308] * 30, [-1e308] * 30),
    ([-1e308] * 20, [1e308, -1e308] * 15),
    ([f"{i % 15}" for i in range(21)], ["a", "b"] * 150),
    ([5e-324, -1e308] * 30, np.arange(40) * 2**57),
    (["", "é", "日本", None] * 20, np.array(["", "<script>", "\udc80"] * 20, dtype=object)),
    ([f"id {i}" for i in range(500)], [f"id {i}" for i in range(500, 900)]),
    (np.arange(3_000).astype(str), np.arange(3_000, 5_000).astype(str)),
    ([True, False] * 50, [True] * 60),
    (np.array([2**62, 2**62 + 1] * 30), np.array([2**62 + 1] * 40)),
    (np.array([2**64 - 1, 0] * 30, dtype=np.uint64), np.array([5] * 40, dtype=np.uint8)),
    (np.arange(60, dtype="f2"), np.arange(60, dtype="f8")),
    (np.arange("2026-01-01", "2026-03-01", dtype="M8[D]"), np.array(["2026-01-05", "NaT"] * 20, dtype="M8[s]")),
]


@pytest.mark.parametrize(("before", "now"), ODD_COLUMNS)
def test_odd_columns_give_numbers_or_null_with_a_reason(before: Any, now: Any) -> None:
    row = _one(before, now)
    floats = [value for value in row.values() if isinstance(value, float)]
    assert all(math.isfinite(value) for value in floats), row
    assert row["reason"]


@pytest.mark.parametrize(("before", "now"), ODD_COLUMNS)
def test_odd_columns_are_no_crash_for_any_method_and_when_calibrated(before: Any, now: Any) -> None:
    reference = prepare({"a": np.resize(np.asarray(before), 1_000) if len(before) else before}, calibrate=True)
    for name in (*STATISTICS, *JOINT):
        found = detect(reference, {"a": now}, methods=[name])
        row = found.frame.row(0, named=True)
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float)), (name, row)
        assert row["reason"], name
        assert all(finding.reason for finding in found.joint), name


def test_a_hundred_thousand_levels_are_compared() -> None:
    rng = np.random.default_rng(12)
    levels = np.array([f"level {i}" for i in range(100_000)])
    before = np.concatenate([levels, levels, rng.choice(levels[:10], 50_000)])
    assert detect(prepare({"a": before}), {"a": rng.choice(before, 5_000)}).drifted == []
    assert detect(prepare({"a": before}), {"a": rng.choice(levels[:10], 5_000)}).drifted == ["a"]


def test_infinite_values_leave_only_wasserstein_undefined() -> None:
    row = _one([1.0, 2.0, math.inf] * 20, [1.0, 2.0, 3.0] * 20)
    assert row["wasserstein"] is None
    assert row["ks"] == pytest.approx(1 / 3)
    assert "infinite or huge values leave Wasserstein undefined" in row["reason"]


def test_a_large_offset_does_not_hide_a_shift() -> None:
    row = _one(1e9 + RNG.normal(size=2_000), 1e9 + RNG.normal(1, 1, 2_000))
    assert row["drifted"] is True
    assert row["ks"] == pytest.approx(0.38, abs=0.05)


def test_training_in_float64_and_serving_in_float32_is_no_drift() -> None:
    values = np.round(RNG.normal(size=2_000), 1)
    assert _one(values, values.astype(np.float32))["ks"] == 0.0


def test_booleans_served_as_numbers_are_the_same_levels() -> None:
    row = _one(np.array([True, False] * 100), np.array([1.0, 0.0] * 100))
    assert (row["kind"], row["tv"]) == ("categorical", 0.0)


def test_arrays_frames_and_mappings_say_the_same() -> None:
    x, y = RNG.normal(size=(500, 3)), RNG.normal(0.5, 1, size=(400, 3))
    names = ["a", "b", "c"]
    by_array = detect(prepare(x, names=names), y)
    frame = pl.DataFrame({name: y[:, i] for i, name in enumerate(names)})
    by_frame = detect(prepare(pl.DataFrame({name: x[:, i] for i, name in enumerate(names)})), frame)
    np.testing.assert_array_equal(by_array.ks, by_frame.ks)
    only_c = detect(prepare(x, names=names), y[:, 2:], columns=["c"])
    assert (only_c.names, only_c.ks[0]) == (("c",), by_array.ks[2])


def test_the_order_of_rows_does_not_matter() -> None:
    before, now = (
        {"a": RNG.normal(size=400), "b": RNG.choice(list("xyz"), 400)},
        {"a": np.arange(90.0), "b": ["x", "q", "y"] * 30},
    )
    turned = {name: np.asarray(values)[::-1] for name, values in now.items()}
    assert detect(prepare(before), now).to_columns() == detect(prepare(before), turned).to_columns()


def test_time_is_an_argument_and_the_device_is_reported() -> None:
    found = detect(prepare({"a": [1.0]}), {"a": [1.0]}, device="cpu", clock=ManualClock())
    assert (found.seconds, found.device) == (0.0, "cpu")


def test_the_verdict_is_a_sentence() -> None:
    before = {"a": RNG.normal(size=500), "b": RNG.normal(size=500)}
    found = detect(prepare(before), {"a": before["a"] * 10, "b": before["b"]})
    assert found.verdict == "1 of 2 columns drifted: a"
    assert detect(prepare(before), before).verdict == "none of 2 columns has drifted"


def test_a_missing_share_that_may_have_risen_leaves_the_column_undecided() -> None:
    values = np.arange(1_000.0)
    before, now = values.copy(), values[::40].copy()
    before[::10] = np.nan
    now[::5] = np.nan
    row = _one(before, now)
    assert (row["drifted"], row["effect"]) == (None, pytest.approx(0.1))
    assert row["reason"].startswith("missing share rose from 10 % to 20 %, but 25 rows are too few to tell it from chance")


def test_frames_of_pandas_and_polars_with_their_own_types_are_read_alike() -> None:
    import pandas as pd

    values = {"n": [1, 2, None, 4] * 30, "b": [True, None, False, True] * 30, "c": ["x", "y", None, "x"] * 30}
    of_polars = pl.DataFrame(values, schema_overrides={"c": pl.Categorical})
    of_pandas = pd.DataFrame(
        {"n": pd.array(values["n"], dtype="Int64"), "b": pd.array(values["b"], dtype="boolean"), "c": pd.Categorical(values["c"])}
    )
    found = detect(prepare(of_polars), of_pandas)
    assert found.kind == ("numeric", "categorical", "categorical")
    assert found.missing_current.tolist() == found.missing_reference.tolist() == [0.25] * 3
    assert found.effect.tolist() == [0.0] * 3
    assert found.drifted == found.undecided == []


def test_bins_do_not_take_another_precision_for_drift() -> None:
    before, now = 1e9 + RNG.normal(size=(2, 3_000))
    row = _one(before, now.astype("f4"))
    assert (row["ks"], row["psi"], row["js"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "now", "methods", "note"),
    [
        (np.zeros(60), np.ones(60), ("mean", "wasserstein_iqr"), "mean, wasserstein_iqr undefined for lack of spread"),
        (np.append(np.arange(60.0), np.inf), np.arange(60.0), ("energy", "psi"), "energy undefined for infinite or huge values"),
        (["x"] * 60, ["x"] * 60, ("chi2",), "chi2 undefined for lack of a second level"),
    ],
)
def test_a_statistic_that_is_undefined_is_null_and_the_reason_says_so(
    before: Any, now: Any, methods: tuple[str, ...], note: str
) -> None:
    row = _one(before, now, methods=methods)
    assert row[methods[0]] is None
    assert row["reason"].endswith(note)
    assert row["drifted"] is not None


def test_half_a_minute_is_not_lost_of_hourly_moments() -> None:
    hours = np.datetime64("2026-11-01") + np.arange(600).astype("m8[h]")
    row = _one(hours, hours + np.timedelta64(30, "s"))
    assert row["wasserstein"] == pytest.approx(30)
    row = _one(np.full(50, hours[7]), np.full(50, hours[7] + np.timedelta64(30, "s")))
    assert (row["drifted"], row["ks"]) == (True, 1.0)
    assert row["reason"] == "KS distance 1.00: median 2026-11-01 07:00:00 in the reference, 2026-11-01 07:00:30 now"
