"""Statistics of all columns at once: against slow loops and scikit-learn, and their error rates."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf

from prodml_magics.stats.drift.joint import JOINT, find_jointly
from prodml_magics.stats.drift.joint.classifier import area_under_curve, classifier_test
from prodml_magics.stats.drift.joint.energy import energy_of_rows
from prodml_magics.stats.drift.joint.mmd import median_distance, mmd, mmd_linear
from prodml_magics.stats.drift.joint.pca import _permuted, reconstruction_shift
from prodml_magics.stats.drift.joint.permutation import PERMUTATIONS, beyond_permutations, flipped_p_value, memberships, p_value
from prodml_magics.stats.drift.joint.rows import MOST_ROWS

Rows = np.ndarray


def _rows(seed: int, n: int, d: int = 4) -> Rows:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def _slow_mmd(x: Rows, y: Rows, width: float) -> float:
    k = sklearn_rbf(np.concatenate([x, y]).astype(float), gamma=0.5 / width**2)
    n, m = len(x), len(y)
    first = sum(k[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    second = sum(k[n + i, n + j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return first + second - 2 * k[:n, n:].mean()


@pytest.mark.parametrize("namespace", ["numpy", "jax"])
@pytest.mark.parametrize(("n", "m", "shift"), [(30, 20, 0.0), (25, 40, 0.5), (2, 3, 2.0)])
def test_mmd_is_the_sum_of_a_loop_in_either_array_library(n: int, m: int, shift: float, namespace: str) -> None:
    import jax.numpy as jnp

    x, y = _rows(0, n), _rows(1, m) + np.float32(shift)
    given = (jnp.asarray(x), jnp.asarray(y)) if namespace == "jax" else (x, y)
    found = mmd(*given, permutations=50, width=1.7)
    assert found.squared == pytest.approx(_slow_mmd(x, y, 1.7), abs=2e-6)


def test_the_width_is_the_median_distance() -> None:
    x, y = _rows(2, 30), _rows(3, 25)
    rows = np.concatenate([x, y]).astype(float)
    assert median_distance(x, y) == pytest.approx(np.median(cdist(rows, rows)[np.triu_indices(55, 1)]), rel=1e-4)
    assert median_distance(np.ones((5, 2), "f4"), np.ones((5, 2), "f4")) == 1.0


def test_permutation_p_values_are_those_of_a_loop_over_the_same_permutations() -> None:
    x, y = _rows(4, 15), _rows(5, 12) + np.float32(0.3)
    rows = np.concatenate([x, y])
    members = memberships(15, 12, 40, 0).astype(bool)
    assert members[:, 0].tolist() == [True] * 15 + [False] * 12
    assert (members.sum(axis=0) == 15).all()
    slow = np.array([_slow_mmd(rows[column], rows[~column], 2.0) for column in members.T])
    assert mmd(x, y, permutations=40, width=2.0).p_value == pytest.approx((slow >= slow[0] - 1e-9).mean())


@pytest.mark.parametrize("seed", range(3))
def test_swapping_a_row_of_either_side_turns_the_sign_of_its_term(seed: int) -> None:
    a, b, c, d = _rows(seed, 4, 3).astype(float)
    k = partial(sklearn_rbf, gamma=0.5)

    def term(a: Rows, b: Rows, c: Rows, d: Rows) -> float:
        return float((k([a], [b]) + k([c], [d]) - k([a], [d]) - k([b], [c])).item())

    assert term(c, b, a, d) == pytest.approx(-term(a, b, c, d))
    terms = np.random.default_rng(seed).normal(0.4, 1, 9)
    flips = np.array(np.meshgrid(*[[1, -1]] * 9)).reshape(9, -1)
    exact = (terms @ flips >= terms.sum() - 1e-9).mean()
    assert flipped_p_value(terms, 9_999) == pytest.approx(exact, abs=4 * math.sqrt(exact / 10_000))


def test_permuted_distances_of_reconstruction_errors_are_those_of_scipy() -> None:
    rng = np.random.default_rng(17)
    for shift in (0.0, 0.3):
        before, now = np.round(rng.normal(size=40), 1), np.round(rng.normal(shift, 1, 30), 1)
        pooled, members = np.concatenate([before, now]), memberships(40, 30, PERMUTATIONS, 0).astype(bool)
        slow = np.array([stats.ks_2samp(pooled[column], pooled[~column], method="asymp").statistic for column in members.T])
        assert _permuted(before, now, 0) == pytest.approx((slow >= slow[0] - 1e-9).mean())


def test_beyond_all_permutations_the_law_continues_them() -> None:
    rng = np.random.default_rng(18)
    for weights in ([1.0], [1, 0.6, 0.4, 0.3, 0.2, 0.1], [1 / i**2 for i in range(1, 20)]):
        draws = (rng.normal(size=(400_000, len(weights))) ** 2) @ np.array(weights)
        for p in (1e-4, 3e-5):
            far = float(np.quantile(draws, 1 - p))
            found = [beyond_permutations(np.array([far, *rng.choice(draws[draws < far], 999)])) for _ in range(40)]
            assert p < np.exp(np.mean(np.log(found))) < 10 * p
    assert beyond_permutations(np.array([0.5, 0.6, 0.4])) == p_value(np.array([0.5, 0.6, 0.4]))
    flat = np.zeros(1_000)
    assert beyond_permutations(flat) == 1.0
    assert 0 < beyond_permutations(np.append(1e9, flat[1:])) <= 1e-3


def test_energy_of_one_column_is_scipys_up_to_pairs_with_itself() -> None:
    x, y = _rows(6, 400, 1), _rows(7, 300, 1) * np.float32(1.5)
    found = energy_of_rows(x, y, permutations=20)
    within = [cdist(side, side).sum() / (len(side) * (len(side) - 1)) - cdist(side, side).mean() for side in (x, y)]
    assert found.statistic == pytest.approx(stats.energy_distance(x[:, 0], y[:, 0]) ** 2 - sum(within), abs=1e-5)
    assert 0 < found.coefficient < 1


def test_area_under_the_curve_is_scikit_learns_and_its_error_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(8)
    before, now = np.round(rng.normal(size=150), 1), np.round(rng.normal(0.5, 1, 120), 1)
    auc, error = area_under_curve(before, now)
    assert auc == pytest.approx(roc_auc_score([0] * 150 + [1] * 120, np.concatenate([before, now])))
    again = [area_under_curve(rng.choice(before, 150), rng.choice(now, 120))[0] for _ in range(600)]
    assert error == pytest.approx(np.std(again), rel=0.15)


@pytest.mark.parametrize("name", JOINT)
def test_a_broken_correlation_that_no_column_shows_is_seen_by_those_that_can(name: str) -> None:
    rng = np.random.default_rng(9)
    shared = rng.normal(size=(1_500, 1))
    before = (shared + 0.3 * rng.normal(size=(1_500, 5))).astype("f4")
    now = np.column_stack([rng.permutation(column) for column in before.T])
    (found,) = find_jointly([name], before, now, 0.05)
    assert found.drifted is True, found.reason
    assert found.effect_low > found.tolerance


@pytest.mark.parametrize("name", JOINT)
def test_either_array_library_finds_the_same(name: str) -> None:
    import jax.numpy as jnp

    x, y = _rows(20, 90), _rows(21, MOST_ROWS) + np.float32(0.4)
    (of_numpy,), (of_jax,) = find_jointly([name], x, y, 0.05), find_jointly([name], x, y, 0.05, jnp.asarray)
    assert of_jax.effect == pytest.approx(of_numpy.effect, abs=1e-4)
    assert of_jax.effect_low == pytest.approx(of_numpy.effect_low, abs=1e-3)
    assert of_jax.p_value == pytest.approx(of_numpy.p_value, abs=0.004)


def test_windows_of_changing_sizes_compile_nothing() -> None:
    import jax.numpy as jnp

    moved: list[int] = []

    def put(rows: np.ndarray) -> object:
        moved.append(len(rows))
        return jnp.asarray(rows)

    for rows in (60, 61, MOST_ROWS - 1):
        find_jointly(["energy_joint"], _rows(22, 50), _rows(23, rows), 0.05, put)
    assert not moved
    find_jointly(["energy_joint"], _rows(22, 50), _rows(23, MOST_ROWS), 0.05, put)
    assert moved == [50, MOST_ROWS]


@pytest.mark.parametrize("name", JOINT)
def test_p_values_without_drift_are_uniform_enough(name: str) -> None:
    p = [find_jointly([name], _rows(seed, 80), _rows(10_000 + seed, 60), 0.05)[0].p_value for seed in range(120)]
    assert np.mean(np.array(p) <= 0.1) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 120)
    assert min(p) > 0


@pytest.mark.parametrize("name", JOINT)
def test_odd_rows_are_a_reason_and_not_a_crash(name: str) -> None:
    full = _rows(11, 100)
    cases = {
        "no rows": (full[:0], full),
        "few rows": (full, full[:5]),
        "constant": (np.ones((100, 3), "f4"), np.ones((100, 3), "f4")),
        "all missing": (np.full((100, 3), np.nan, "f4"), full[:, :3]),
        "missing now": (full, np.full((100, 4), np.nan, "f4")),
        "infinite": (np.where(full > 2, np.inf, full), np.where(full < -2, -np.inf, full)),
        "one column": (full[:, :1], full[:, :1]),
        "equal rows now": (full, np.ones((100, 4), "f4")),
        "huge": (full * np.float32(1e30), full * np.float32(1e30)),
    }
    for case, (before, now) in cases.items():
        (found,) = find_jointly([name], before, now, 0.05)
        assert found.reason, case
        assert (found.drifted is None) or math.isfinite(found.effect), case
        assert 0 < found.p_value <= 1 or math.isnan(found.p_value), case


def test_linear_time_mmd_agrees_on_average_with_the_whole() -> None:
    x, y = _rows(12, 4_000), _rows(13, 4_000) + np.float32(0.5)
    whole, linear = mmd(x[:1_500], y[:1_500], permutations=5, width=2.0), mmd_linear(x, y, width=2.0)
    assert linear.squared == pytest.approx(whole.squared, abs=0.03)
    assert linear.low < whole.squared
    assert linear.p_value == 1 / 1_000
    assert linear.beyond < 1e-6


def test_reconstruction_and_classifier_compare_rows_that_nothing_was_fitted_on() -> None:
    x = _rows(14, 60, 40)
    assert reconstruction_shift(x, _rows(15, 60, 40)).p_value > 0.001
    assert classifier_test(x, _rows(16, 60, 40)).auc < 0.8
