"""Laws that hold for any sample, searched for counterexamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws.samples import largest_gap
from numpy.typing import NDArray
from scipy import stats

from prodml_magics.stats.drift.chi_squared import chi_squared, contingency
from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.ks import ks_distance
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.total_variation import total_variation
from prodml_magics.stats.drift.wasserstein import wasserstein
from prodml_magics.stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, e_benjamini_hochberg

small_integers = arrays(np.float64, st.integers(1, 60), elements=st.integers(-8, 8).map(float))
counts = arrays(np.int64, 6, elements=st.integers(0, 50)).filter(lambda a: a.sum() > 0)
Sample = NDArray[Any]


@given(small_integers, small_integers)
def test_ks_is_the_largest_gap_and_symmetric(a: Sample, b: Sample) -> None:
    a, b = np.sort(a), np.sort(b)
    assert ks_distance(a, b) == pytest.approx(largest_gap(a, b), abs=1e-14)
    assert ks_distance(a, b) == pytest.approx(ks_distance(b, a), abs=1e-14)


@given(small_integers, small_integers)
def test_ks_survives_a_common_monotone_map(a: Sample, b: Sample) -> None:
    a, b = np.sort(a), np.sort(b)
    assert ks_distance(np.exp(a), np.exp(b)) == ks_distance(a, b)


@given(small_integers, small_integers, st.floats(0.01, 100))
def test_wasserstein_scales_with_the_unit_and_ignores_the_origin(a: Sample, b: Sample, factor: float) -> None:
    a, b = np.sort(a), np.sort(b)
    assert wasserstein(a * factor + 7, b * factor + 7) == pytest.approx(factor * wasserstein(a, b), abs=1e-9)
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)


@given(counts, counts, st.permutations(range(6)))
def test_distances_of_counts_ignore_the_order_of_levels_and_vanish_on_themselves(a: Sample, b: Sample, order: list[int]) -> None:
    for distance in (psi, jensen_shannon, total_variation, chi_squared):
        assert float(distance(a[order], b[order])) == pytest.approx(float(distance(a, b)), abs=1e-9)
        assert float(distance(a, a)) == pytest.approx(0, abs=1e-7)
        assert float(distance(a, b)) >= 0


@given(counts, counts)
def test_chi_squared_is_scipys_two_sample_statistic(a: Sample, b: Sample) -> None:
    used = (a + b) > 0
    expected = stats.chi2_contingency([a[used], b[used]], correction=False).statistic if used.sum() > 1 else 0.0
    assert float(chi_squared(a, b)) == pytest.approx(expected, abs=1e-9)


@given(arrays(np.int64, 5, elements=st.integers(30, 90)), arrays(np.int64, 5, elements=st.integers(30, 90)))
def test_contingency_of_common_levels_is_scipys(a: Sample, b: Sample) -> None:
    oracle = stats.chi2_contingency([a, b], correction=False)
    assert tuple(contingency(a, b)) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-9)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)))
def test_benjamini_hochberg_is_scipys_and_keeps_the_order(p: Sample) -> None:
    adjusted = benjamini_hochberg(p)
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(p), rtol=1e-12)
    assert (np.diff(adjusted[np.argsort(p)]) >= -1e-15).all()
    assert (adjusted >= p - 1e-15).all()
    np.testing.assert_allclose(benjamini_yekutieli(p), stats.false_discovery_control(p, method="by"), rtol=1e-12, atol=1e-300)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(1e-12, 1)), st.floats(0.001, 0.999))
def test_e_values_are_rejected_as_their_definition_says(p: Sample, alpha: float) -> None:
    e = np.sort(0.5 / np.sqrt(p))[::-1]
    most = max([k for k in range(1, len(p) + 1) if k * e[k - 1] >= len(p) / alpha * (1 - 1e-9)], default=0)
    assert (e_benjamini_hochberg(p) <= alpha * (1 + 1e-9)).sum() == pytest.approx(most)
