"""Bands of quantiles: exact by enumeration, held at every look, and never decided by."""

from __future__ import annotations

from math import comb, exp, inf

import numpy as np
import pytest
from scipy.special import betaln

from prodml_magics.stats.sequential.quantiles import Band, add_values, band, log_off


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_over_all_tosses_the_mean_capital_is_one(level: float) -> None:
    found = [comb(40, k) * level**k * (1 - level) ** (40 - k) * exp(log_off(k, 40, level)) for k in range(41)]
    assert sum(found) == pytest.approx(1.0)


def test_the_capital_is_that_of_scipy_at_large_counts() -> None:
    a, b = 1 / 0.01, 1 / 0.99
    expected = betaln(a + 98_700, b + 1_300) - betaln(a, b) - 98_700 * np.log(0.99) - 1_300 * np.log(0.01)
    assert log_off(98_700, 100_000, 0.99) == pytest.approx(expected, abs=1e-6)


def test_a_band_is_what_a_search_over_single_values_finds_to_a_bin() -> None:
    values = np.sort(np.random.default_rng(0).lognormal(1.4, 0.6, 5_000))
    found = band(add_values({}, values), 0.9, 0.05)
    assert found is not None
    kept = [x for index, x in enumerate(values, 1) if log_off(index, 5_000, 0.9) < np.log(20)]
    assert found.low <= kept[0] <= found.low * 1.021**2 and found.high / 1.021**2 <= kept[-1] <= found.high
    assert found.value == pytest.approx(np.quantile(values, 0.9), rel=0.02)


def test_the_true_quantile_seldom_ever_leaves_the_band() -> None:
    truth, left = float(np.exp(1.4 + 0.6 * 1.2815515655446004)), 0
    for run in range(100):
        rng, counts, out = np.random.default_rng(run), dict[int, int](), False
        for _ in range(40):
            counts = add_values(counts, rng.lognormal(1.4, 0.6, 50))
            found = band(counts, 0.9, 0.05)
            assert found is not None
            out = out or not found.low <= truth <= found.high
        left += out
    assert left <= 10  # of 100 at 5 %: more than 10 in 11 of 1,000


def test_of_little_it_says_little() -> None:
    assert band({}, 0.99, 0.05) is None
    few = band(add_values({}, np.array([0.0, 2.0, 3.0])), 0.99, 0.05)
    assert isinstance(few, Band) and few.high == inf and few.value == pytest.approx(3.0, rel=0.02)
