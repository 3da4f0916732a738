"""Statistics of all columns through `detect`: rows kept in the profile, asked for by name, never a crash."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from prodml_magics.stats.drift import Reference, Tolerances, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.joint import JOINT
from prodml_magics.stats.drift.joint.rows import scale_of


def _frame(rng: np.random.Generator, rows: int, broken: bool) -> dict[str, np.ndarray]:
    shared = rng.normal(size=rows)
    a, b = shared + 0.2 * rng.normal(size=rows), shared + 0.2 * rng.normal(size=rows)
    return {
        "a": a,
        "b": rng.permutation(b) * 1.0 if broken else b,
        "when": np.datetime64("2026-01-01") + np.arange(rows) % 90,
        "c": rng.choice(["x", "y"], rows),
    }


def test_a_broken_correlation_is_found_from_a_stored_profile() -> None:
    rng = np.random.default_rng(0)
    reference = from_arrow(to_arrow(prepare(_frame(rng, 5_000, False))))
    assert reference.rows is not None
    assert (reference.rows.names, reference.rows.values.shape) == (("a", "b", "when"), (2_000, 3))
    calm = detect(reference, _frame(rng, 3_000, False), methods=list(JOINT))
    assert [finding.drifted for finding in calm.joint] == [False] * len(JOINT)
    broken = detect(reference, _frame(rng, 3_000, True), methods=["pca", "ks", "mmd"])
    assert [(finding.method, finding.drifted) for finding in broken.joint] == [("pca", True), ("mmd", True)]
    assert broken.drifted == []
    assert detect(reference, _frame(rng, 500, True)).joint == ()


def test_columns_that_make_no_rows_are_a_reason() -> None:
    reference = prepare({"a": np.arange(100.0), "b": np.arange(100.0)})
    (uneven,) = detect(reference, {"a": np.arange(50.0), "b": np.arange(60.0)}, methods=["mmd"]).joint
    assert (uneven.drifted, "unequal lengths" in uneven.reason) == (None, True)
    (none,) = detect(prepare({"c": ["x"] * 50}), {"c": ["x"] * 50}, methods=["classifier"]).joint
    assert "no rows of numeric columns" in none.reason


def test_outputs_of_a_model_and_missing_values_do_not_stop_it() -> None:
    rng = np.random.default_rng(1)
    reference = prepare({"a": rng.normal(size=500), "p": rng.random(500)}, extras={"outputs": ["p"]})
    now = rng.normal(size=300)
    now[::3] = np.nan
    (found,) = detect(reference, {"a": now, "p": rng.random(100)}, methods=["energy_joint"]).joint
    assert (found.columns, found.drifted) == (1, False)


def test_a_null_table_says_what_permutations_say_and_raises_no_more_alarms() -> None:
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(6, 6))
    calibrated = prepare(rng.normal(size=(800, 6)) @ mix, tables=True)
    plain = Reference(calibrated.columns, calibrated.extras, calibrated.rows)
    p_values: dict[str, list[float]] = {"mmd": [], "energy_joint": []}
    for run in range(60):
        now = rng.normal(size=(200 if run % 2 else 400, 6)) @ mix
        for found in detect(calibrated, now, methods=list(p_values)).joint:
            p_values[found.method].append(found.p_value)
            assert found.drifted is not True
    for name, found_p in p_values.items():
        assert stats.kstest(found_p, "uniform").pvalue > 1e-3, name
    now = rng.normal(size=(600, 6)) @ mix * 1.1
    tabled, permuted = (detect(reference, now, methods=list(p_values)).joint for reference in (calibrated, plain))
    for one, other in zip(tabled, permuted, strict=True):
        assert abs(one.p_value - other.p_value) < 0.03 + 0.5 * other.p_value, one.method
    shifted = rng.normal(size=(600, 6)) @ mix + 0.8 * mix[0]
    assert [found.drifted for found in detect(calibrated, shifted, methods=["mmd"]).joint] == [True]


def test_a_reference_that_moves_is_allowed_to_move_on() -> None:
    rng = np.random.default_rng(4)
    drifting = rng.normal(size=(1_000, 3)) + np.repeat([0, 0.5, -0.5, 0.3, 0], 200)[:, None]
    still = prepare(rng.normal(size=(1_000, 3)), tables=True).joint["mmd"].tolerance
    moving = prepare(drifting, tables=True).joint["mmd"].tolerance
    assert still == 0.05
    assert still < moving <= 0.25


def test_other_columns_than_all_have_no_table_and_are_permuted() -> None:
    rng = np.random.default_rng(5)
    reference = prepare({"a": rng.normal(size=1_000), "b": rng.normal(size=1_000)}, tables=True)
    (found,) = detect(reference, {"a": rng.normal(size=500)}, columns=["a"], methods=["mmd"]).joint
    assert (found.columns, found.drifted) == (1, False)


def test_rows_that_remember_those_before_them_are_no_drift_of_all_together() -> None:
    rng = np.random.default_rng(9)

    def remembering(rows: int) -> np.ndarray:
        return lfilter([1], [1, -0.85], rng.normal(size=(rows + 300, 5)), axis=0)[300:]

    alarms = {"calibrated": 0, "blind": 0}
    for _ in range(4):
        rows = remembering(2_000)
        calibrated = from_arrow(to_arrow(prepare(rows, calibrate=True, tables=True)))
        assert calibrated.rows is not None
        assert calibrated.rows.inflation > 3
        now = remembering(600)
        for kind, reference in (("calibrated", calibrated), ("blind", prepare(rows[:600]))):
            found = detect(reference, now, methods=["classifier", "mmd"]).joint
            alarms[kind] += any(bool(each.drifted) for each in found)
    assert alarms["calibrated"] <= 1
    assert alarms["blind"] >= 3
    moved = detect(calibrated, remembering(600) + 3, methods=["classifier", "mmd"]).joint
    assert [each.drifted for each in moved] == [True, True]
    assert moved[0].n_current < 600 / 3
    independent = prepare(rng.normal(size=(2_000, 5)), calibrate=True).rows
    assert independent is not None
    assert independent.inflation == 1.0


def test_a_given_tolerance_is_that_of_the_statistic_named_first() -> None:
    rng = np.random.default_rng(12)
    before, now = rng.normal(size=(300, 2)), rng.normal(0.8, 1, (300, 2))
    columns = [{"a": side[:, 0], "b": side[:, 1], "v": side} for side in (before, now)]
    wide = Tolerances(numeric=0.9)
    for method in ("mmd", "classifier", "pca"):
        (own,) = detect(prepare(columns[0]), columns[1], methods=[method]).joint
        found = detect(prepare(columns[0]), columns[1], methods=[method], tolerances=wide)
        assert (own.tolerance, found.joint[0].tolerance, found.joint[0].drifted) == (JOINT[method].tolerance, 0.9, False)
        assert found.tolerance[list(found.names).index("v")] == 0.9
    (other,) = detect(prepare(columns[0]), columns[1], methods=["ks", "mmd"], tolerances=wide).joint
    assert (other.tolerance, other.drifted) == (JOINT["mmd"].tolerance, True)


@pytest.mark.parametrize("broken", [(0,), (1,), (0, 1)])
def test_one_value_far_away_hides_no_shift_and_makes_none(broken: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    before, now = ({name: rng.normal(size=rows) for name in "abc"} for rows in (5_000, 3_000))
    for side in broken:
        (before, now)[side]["a"][7] = 1e12
    reference = from_arrow(to_arrow(prepare(before, tables=True)))
    methods = ("mmd", "energy_joint", "classifier")
    still, moved = (detect(reference, {**now, "a": now["a"] + shift}, methods=methods).joint for shift in (0, 1))
    assert [finding.drifted for finding in still] == [False] * 3
    assert [finding.drifted for finding in moved] == [True] * 3


def test_spread_is_that_of_the_quartiles_where_outliers_make_the_standard_deviation() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4_000)
    assert scale_of(values, 3.0, 2.0) == (3.0, 2.0)
    assert scale_of(np.append(values, 1e12), 2.5e8, 1.6e10) == pytest.approx((3, 2), rel=0.05)
    few = np.repeat([0.0, 1e6], [990, 10])
    assert scale_of(few, few.mean(), few.std()) == (few.mean(), few.std()), "its quartiles are one value"
    assert scale_of(np.ones(5), 1.0, 0.0) == (1.0, 0.0)
