"""Tolerances of the statistics that are asked for by name, from how far chunks of the reference lie from its other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from prodml_magics.stats.drift import Tolerances, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.calibration import CHUNKS
from prodml_magics.stats.drift.limits import tolerance_of
from prodml_magics.stats.drift.movements import movements_of_counts, movements_of_numbers
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.stats.drift.statistics import STATISTICS, Scale

FORMAT_4 = Path(__file__).parent / "data" / "profile-format-4.arrow"
NUMERIC = [name for name, each in STATISTICS.items() if each.numeric is not None and name != "ks"]
CATEGORICAL = [name for name, each in STATISTICS.items() if each.categorical is not None and name != "tv"]


def _movements(values: np.ndarray) -> dict[str, float]:
    column = prepare({"a": values}).columns["a"]
    assert isinstance(column, NumericColumn)
    chunks = [np.sort(chunk) for chunk in np.array_split(values, CHUNKS)]
    return movements_of_numbers(chunks, column.values, column.edges, Scale(column.sd, column.iqr))


def _autocorrelated(rng: np.random.Generator, rows: int, phi: float = 0.9) -> np.ndarray:
    return lfilter([1], [1, -phi], rng.normal(size=rows + 500))[500:] * np.sqrt(1 - phi**2)


def _extrapolated(values: np.ndarray, effect: Any, power: int) -> float:
    """A slow loop over chunks, and over chunks four times as long."""
    means = []
    for count in (CHUNKS, CHUNKS // 4):
        parts = np.array_split(values, count)
        rest = [np.concatenate(parts[:i] + parts[i + 1 :]) for i in range(count)]
        effects = [effect(one, other) ** power for one, other in zip(parts, rest, strict=True)]
        weights = [1 / len(one) + 1 / len(other) for one, other in zip(parts, rest, strict=True)]
        means.append((np.mean(effects), np.mean(weights)))
    (short, a), (long, b) = means
    return float(max(0.0, long - max(0.0, short - long) / (a - b) * b) ** (1 / power))


def test_movements_are_those_of_a_slow_loop_over_chunks() -> None:
    values = np.random.default_rng(0).normal(size=4_000) + np.linspace(0, 2, 4_000)
    found, sd = _movements(values), values.std()
    assert found["mean"] == pytest.approx(_extrapolated(values, lambda a, b: abs(a.mean() - b.mean()) / sd, 2), rel=0.01)
    wanted = _extrapolated(values, lambda a, b: stats.wasserstein_distance(a, b) / sd, 2)
    assert found["wasserstein"] == pytest.approx(wanted, rel=0.02)
    assert found["energy"] == pytest.approx(_extrapolated(values, stats.energy_distance, 2) / np.sqrt(sd), rel=0.02)
    shares = np.random.default_rng(1).random(4_000) < np.linspace(0.2, 0.8, 4_000)
    counts = np.array([[len(chunk) - chunk.sum(), chunk.sum()] for chunk in np.array_split(shares, CHUNKS)])
    gap = _extrapolated(shares, lambda a, b: abs(a.mean() - b.mean()), 2)
    assert movements_of_counts(counts)["linf"] == pytest.approx(gap, rel=1e-9)


def test_independent_rows_bring_tolerances_below_the_fixed_ones_and_moving_ones_above_them() -> None:
    rng = np.random.default_rng(2)
    calm = rng.normal(size=20_000)
    moving = calm + np.linspace(0, 3, 20_000)
    wider = calm * np.linspace(1, 4, 20_000)
    reference = prepare({"calm": calm, "moving": moving, "wider": wider}, calibrate=True)
    for name in NUMERIC:
        fixed = STATISTICS[name].tolerance
        of_calm, of_moving, of_wider = (tolerance_of(reference.columns[key], name, fixed, None)[0] for key in reference.names)
        assert fixed / 2 <= of_calm < fixed, name
        assert (of_moving if name != "spread" else of_wider) > fixed, name
        assert max(of_moving, of_wider) <= 3 * fixed
    of_levels = prepare({"a": np.where(rng.random(20_000) < np.linspace(0, 0.8, 20_000), "a", "b")}, calibrate=True).columns["a"]
    for name in CATEGORICAL:
        fixed = STATISTICS[name].tolerance
        assert (tolerance_of(of_levels, name, fixed, None)[0] > fixed) == (name != "vanished"), name


@pytest.mark.parametrize(
    "values",
    [
        np.full(2_000, np.nan),
        np.full(2_000, 7.0),
        np.where(np.arange(2_000) < 1_900, np.nan, 1.0),
        np.where(np.arange(2_000) % 7, np.arange(2_000.0), np.inf),
        np.arange(2_000) + 2**62,
        np.array(["x"] * 2_000),
        np.array([f"{i % 1_500}" for i in range(2_000)], dtype=object),
    ],
)
def test_odd_columns_have_finite_movements_or_none(values: np.ndarray) -> None:
    found = prepare({"a": values}, calibrate=True).columns["a"].calibration
    assert found is not None
    assert all(np.isfinite(movement) and movement >= 0 for movement in found.movements.values())
    detect(prepare({"a": values}, calibrate=True), {"a": values[:500]}, methods=("wasserstein", "psi", "linf"))


@pytest.mark.parametrize("method", ["wasserstein", "psi", "mean"])
def test_correlated_windows_of_the_same_process_are_no_drift_by_any_statistic(method: str) -> None:
    rng = np.random.default_rng(3)
    alarms = {"calibrated": 0, "blind": 0}
    for _ in range(6):
        rows = {"a": _autocorrelated(rng, 20_000), "b": rng.normal(size=20_000)}
        references = {"calibrated": prepare(rows, calibrate=True), "blind": prepare(rows)}
        for _ in range(5):
            now = {"a": _autocorrelated(rng, 300), "b": rng.normal(size=300)}
            for kind, reference in references.items():
                alarms[kind] += bool(detect(reference, now, methods=(method,)).drifted)
    assert alarms["calibrated"] <= 1.5 + 3 * np.sqrt(1.5)
    assert alarms["blind"] > alarms["calibrated"]
    shifted = {"a": _autocorrelated(rng, 2_000) + 2, "b": rng.normal(2, 1, 2_000)}
    found = detect(references["calibrated"], shifted, methods=(method,))
    assert (found.drifted, found.calibrated) == (["a", "b"], (True, True))


def test_windows_of_a_reference_that_moves_are_no_drift() -> None:
    rng = np.random.default_rng(4)
    moving = rng.normal(size=40_000) + np.sin(np.arange(40_000) / 40_000 * 2 * np.pi * 10)
    calibrated, blind = prepare({"a": moving}, calibrate=True), prepare({"a": moving})
    windows = [moving[start : start + 2_000] for start in range(0, 40_000, 2_000)]
    for method in ("psi", "js"):
        alarms = [
            sum(bool(detect(each, {"a": now}, methods=(method,)).drifted) for now in windows) for each in (calibrated, blind)
        ]
        assert alarms[0] < alarms[1], method


def test_a_given_tolerance_holds_for_the_statistic_that_decides() -> None:
    rng = np.random.default_rng(5)
    reference = prepare({"a": rng.normal(size=5_000), "b": rng.choice(["x", "y"], 5_000)}, calibrate=True)
    now = {"a": rng.normal(0.3, 1, 5_000), "b": rng.choice(["x", "y"], 5_000, p=[0.35, 0.65])}
    for tolerance, drifted in ((0.2, ["a"]), (0.5, [])):
        given = Tolerances(tolerance, tolerance)
        found = detect(reference, now, methods=("wasserstein", "hellinger"), tolerances=given)
        assert (found.tolerance.tolist(), found.calibrated, found.drifted) == ([tolerance] * 2, (False, False), drifted)
    assert detect(reference, now, methods=("wasserstein", "hellinger")).calibrated == (True, True)


def test_movements_come_back_from_a_profile_and_profiles_without_keep_the_fixed_tolerances() -> None:
    rng = np.random.default_rng(6)
    rows = {"a": rng.normal(size=2_000), "b": rng.choice(["x", "y"], 2_000)}
    reference = prepare(rows, calibrate=True)
    again = from_arrow(to_arrow(reference))
    for name in rows:
        assert again.columns[name].calibration == reference.columns[name].calibration
    old = from_arrow(FORMAT_4.read_bytes())
    assert (old.names, old.extras) == (("price", "id", "city"), {"metrics": {"accuracy": 0.5}})
    assert all(column.calibration is not None and not column.calibration.movements for column in old.columns.values())
    assert old.rows is not None
    of_columns = [old.columns[name] for name in old.rows.names]
    assert old.rows.scales == tuple((column.mean, column.sd) for column in of_columns), "its rows are over these"  # type: ignore[union-attr]
    found = detect(old, {"price": rng.lognormal(3, 1, 300)}, methods=("wasserstein",), columns=("price",))
    assert (found.tolerance.tolist(), found.calibrated) == ([0.1], (False,))
