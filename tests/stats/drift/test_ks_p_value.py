from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prodml_magics.stats.drift.ks import ks_distance, ks_margin, ks_p_value


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (5, 7), (12, 12), (40, 60), (100, 100), (2, 5_000), (150, 400), (999, 1_000), (40, 25_000), (1, 9_999)]
)
def test_p_is_exact_for_small_samples(n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    for shift in (0.0, 0.1, 0.5, 3.0):
        a, b = np.sort(rng.normal(size=n)), np.sort(rng.normal(shift, 1, m))
        oracle = stats.ks_2samp(a, b, method="exact").pvalue
        assert ks_p_value(ks_distance(a, b), n, m) == pytest.approx(oracle, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize(("n", "m"), [(100_000, 30), (1_500, 1_500), (100_000, 5_000), (1_200, 1_000)])
@pytest.mark.parametrize("scaled", [0.4, 0.7, 0.9, 1.0, 1.1, 1.4, 2.0, 3.0])
def test_p_is_within_one_percent_of_scipys_asymptotic_one(n: int, m: int, scaled: float) -> None:
    size = round(n * m / (n + m))
    distance = scaled / np.sqrt(size)
    oracle = stats.kstwo.sf(distance, size)
    assert ks_p_value(distance, n, m) == pytest.approx(oracle, rel=0.01)


def test_p_is_never_zero_and_one_without_a_gap() -> None:
    assert ks_p_value(1.0, 100_000, 100_000) > 0
    assert 0 < ks_p_value(1.0, 100, 100) < 1e-50
    assert ks_p_value(0.0, 100, 100) == 1.0
    assert ks_p_value(0.0, 10_000, 10_000) == pytest.approx(1.0)


def test_margin_covers_the_true_distance() -> None:
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(300):
        a, b = np.sort(rng.random(200)), np.sort(rng.random(150) * 0.8)
        misses += ks_distance(a, b) - ks_margin(200, 150, 0.1) > 0.2
    assert misses <= 0.1 * 300
