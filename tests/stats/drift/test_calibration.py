"""What a reference says of itself: chunks against the rest, correlation told from movement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from prodml_magics.stats.drift import detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.calibration import CHUNKS, _means, _squared_gap, of_counts, of_grid, of_shares
from prodml_magics.stats.drift.columns import chunked_levels
from prodml_magics.stats.drift.grid import grid_counts, grid_edges


def _autocorrelated(rng: np.random.Generator, rows: int, phi: float) -> np.ndarray:
    return lfilter([1], [1, -phi], rng.normal(size=rows + 500))[500:]


def _grid(values: np.ndarray, cells: int = 120) -> np.ndarray:
    edges = grid_edges(np.sort(values), cells)
    return np.array([grid_counts(np.sort(chunk), edges) for chunk in np.array_split(values, CHUNKS)])


def test_a_chunk_is_compared_with_rows_that_do_not_contain_it() -> None:
    values = np.random.default_rng(0).normal(size=2_000)
    chunks = np.array_split(values, CHUNKS)
    slow = [
        stats.ks_2samp(chunk, np.concatenate([other for j, other in enumerate(chunks) if j != i])).statistic ** 2
        for i, chunk in enumerate(chunks)
    ]
    exact_grid = _grid(values, len(values))
    assert _means(exact_grid, _squared_gap)[0] == pytest.approx(np.mean(slow), rel=1e-9)


def test_independent_rows_show_neither_movement_nor_inflation() -> None:
    found = [of_grid(_grid(np.random.default_rng(seed).normal(size=10_000))) for seed in range(40)]
    assert np.mean([each.inflation > 1 for each in found]) <= 0.1
    assert max(2 * each.movement for each in found) < 0.05


@pytest.mark.parametrize("phi", [0.8, 0.9])
def test_inflation_is_that_of_the_mean_squared_gap_between_correlated_windows(phi: float) -> None:
    """Whose statistic, of independent rows, is a sixth on average (Anderson 1962)."""
    rng = np.random.default_rng(8)
    found = [of_grid(_grid(_autocorrelated(rng, 40_000, phi))) for _ in range(20)]
    pairs = [(_autocorrelated(rng, 1_000, phi), _autocorrelated(rng, 4_000, phi)) for _ in range(150)]
    expected = 6 * np.mean([stats.cramervonmises_2samp(one, other, method="asymptotic").statistic for one, other in pairs])
    assert expected > 2.5
    assert np.mean([each.inflation for each in found]) == pytest.approx(expected, rel=0.25)
    assert np.mean([2 * each.movement for each in found]) < 0.05


def test_a_reference_that_moves_shows_movement_and_no_inflation() -> None:
    rng = np.random.default_rng(3)
    found = of_grid(_grid(rng.normal(size=20_000) + np.linspace(0, 2, 20_000)))
    assert found.inflation < 10
    assert 0.15 < found.movement < 0.5


def test_levels_and_shares_that_move_are_seen_and_stable_ones_are_not() -> None:
    rng = np.random.default_rng(4)
    stable = chunked_levels(rng.choice(list("abc"), 20_000), CHUNKS)
    moving = chunked_levels(np.where(rng.random(20_000) < np.linspace(0, 0.6, 20_000), "a", "b"), CHUNKS)
    assert of_counts(stable).inflation == 1.0
    assert of_counts(stable).movement < 0.02 < 0.1 < of_counts(moving).movement < 0.3
    rows = np.full(CHUNKS, 1_000)
    assert of_shares(rng.binomial(1_000, 0.1, CHUNKS), rows).movement < 0.02
    assert of_shares(np.arange(CHUNKS) * 30, rows).movement == pytest.approx(1.25 * 0.12 * 2**0.5, abs=0.005)


def test_a_calibrated_reference_brings_its_own_tolerance_and_keeps_it_in_the_profile() -> None:
    rng = np.random.default_rng(5)
    moving = rng.normal(size=5_000) + np.linspace(0, 3, 5_000)
    calm = rng.normal(size=5_000)
    reference = prepare({"moving": moving, "calm": calm, "short": rng.normal(size=5_000)}, calibrate=True)
    again = from_arrow(to_arrow(reference))
    assert again.columns["moving"].calibration == reference.columns["moving"].calibration
    found = detect(again, {"moving": moving[-2_000:], "calm": rng.normal(0.2, 1, 20_000), "short": rng.normal(size=500)})
    assert found.tolerance.tolist() == [0.3, pytest.approx(0.05, abs=0.02), pytest.approx(0.05, abs=0.02)]
    assert "calm" not in detect(prepare({"calm": calm}), {"calm": rng.normal(0.2, 1, 20_000)}).drifted


def test_a_reference_of_few_rows_is_not_calibrated() -> None:
    assert prepare({"a": np.arange(999.0)}, calibrate=True).columns["a"].calibration is None
    assert prepare({"a": np.arange(1_000.0)}, calibrate=True).columns["a"].calibration is not None
    assert detect(prepare({"a": np.arange(50.0)}), {"a": np.arange(50.0)}).tolerance.tolist() == [0.1]


@pytest.mark.parametrize(
    "values", [np.full(2_000, np.nan), np.full(2_000, 7.0), np.array(["x"] * 2_000), np.array([None] * 2_000)]
)
def test_constant_and_empty_columns_are_calibrated_to_nothing(values: np.ndarray) -> None:
    found = prepare({"a": values}, calibrate=True).columns["a"].calibration
    assert found is not None
    assert (found.values, found.missing) == ((0.0, 1.0), (0.0, 1.0))


def test_correlated_windows_of_the_same_process_are_no_drift() -> None:
    """Over many references, since what each of them says of its own correlation is uncertain."""
    rng = np.random.default_rng(6)
    names = [f"x{i}" for i in range(7)]
    alarms = {"calibrated": 0, "blind": 0}
    for _ in range(20):
        rows = {name: _autocorrelated(rng, 20_000, 0.9) for name in names}
        references = {"calibrated": prepare(rows, calibrate=True), "blind": prepare(rows)}
        for _ in range(10):
            now = {name: _autocorrelated(rng, 300, 0.9) for name in names}
            for kind, reference in references.items():
                alarms[kind] += bool(detect(reference, now).drifted)
    assert alarms["calibrated"] <= 10 + 3 * np.sqrt(10)
    assert alarms["blind"] > 40
    shifted = {name: _autocorrelated(rng, 2_000, 0.9) + 5 for name in names}
    assert len(detect(references["calibrated"], shifted).drifted) == 7


def test_of_two_frames_correlation_counts_and_the_tolerances_stay() -> None:
    """Whatever order the reference was gathered in: then nothing is said of correlation."""
    rng = np.random.default_rng(9)
    alarms = {"correlation": 0, "blind": 0}
    for _ in range(20):
        rows = _autocorrelated(rng, 8_000, 0.9)
        references = {"correlation": prepare({"a": rows}, calibrate="correlation"), "blind": prepare({"a": rows})}
        for _ in range(5):
            now = {"a": _autocorrelated(rng, 300, 0.9)}
            for kind, reference in references.items():
                found = detect(reference, now)
                alarms[kind] += bool(found.drifted)
                assert (found.tolerance[0], found.calibrated) == (0.1, (False,))
    assert alarms["correlation"] <= 5 + 3 * np.sqrt(5)
    assert alarms["blind"] > 10
    ordered = prepare({"a": np.sort(rng.normal(size=4_000)), "b": np.repeat(["x", "y"], 2_000)}, calibrate="correlation")
    moved = {"a": rng.normal(0.8, 1, 400), "b": rng.choice(["x", "y"], 400, p=[0.2, 0.8])}
    assert detect(ordered, moved).drifted == ["a", "b"]
