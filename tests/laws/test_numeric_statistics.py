"""Every backend gives scipy's own numbers on every case."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from laws.samples import NUMERIC_CASES, largest_gap
from scipy import stats
from scipy.spatial.distance import jensenshannon

from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.kernels import Kernel, NumericStatistics, Pair, compute_with_numpy
from prodml_magics.stats.drift.kernels_jax import compute_with_jax, fits_jax
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.reference import bin_counts, prepare

BACKENDS: dict[str, tuple[Kernel, float]] = {"numpy": (compute_with_numpy, 1e-12), "jax": (compute_with_jax, 2e-6)}
"""With the relative error that its arithmetic allows: float64 or float32."""


def _edges(values: np.ndarray) -> np.ndarray:
    return prepare({"a": values}).columns["a"].edges


Computed = tuple[dict[str, NumericStatistics], float]


@pytest.fixture(scope="module", params=BACKENDS)
def computed(request: pytest.FixtureRequest) -> Computed:
    kernel, error = BACKENDS[request.param]
    pairs = {case: Pair(np.sort(before), now, _edges(before)) for case, (before, now) in NUMERIC_CASES.items()}
    accepted = {case: pair for case, pair in pairs.items() if kernel is compute_with_numpy or fits_jax(pair)}
    found = dict(zip(accepted, kernel(list(accepted.values())), strict=True))
    rest = {case: compute_with_numpy([pair])[0] for case, pair in pairs.items() if case not in accepted}
    return found | rest, error


@pytest.mark.parametrize("case", NUMERIC_CASES)
def test_ks_distance_is_scipys(case: str, computed: Computed) -> None:
    found, error = computed
    assert found[case].ks == pytest.approx(largest_gap(*NUMERIC_CASES[case]), abs=max(error / 10, 1e-14))


@pytest.mark.parametrize("case", NUMERIC_CASES)
def test_wasserstein_is_scipys(case: str, computed: Computed) -> None:
    found, error = computed
    before, now = (values.astype("f8") for values in NUMERIC_CASES[case])
    spread = max(before.max(), now.max()) - min(before.min(), now.min())
    assert found[case].wasserstein == pytest.approx(stats.wasserstein_distance(before, now), rel=error, abs=error * spread * 1e-3)


@pytest.mark.parametrize("case", NUMERIC_CASES)
def test_bins_hold_what_a_loop_counts(case: str, computed: Computed) -> None:
    before, now = NUMERIC_CASES[case]
    edges = [-np.inf, *_edges(before), np.inf]
    slow = [int(((now > low) & (now <= high)).sum()) for low, high in pairwise(edges)]
    slow[0] += int((now == -np.inf).sum())
    assert computed[0][case].counts.tolist() == slow


@pytest.mark.parametrize("case", NUMERIC_CASES)
def test_quartiles_are_values_of_the_sample_at_their_ranks(case: str, computed: Computed) -> None:
    now = np.sort(NUMERIC_CASES[case][1])
    assert computed[0][case].quartiles == tuple(float(now[len(now) * k // 4]) for k in (1, 2, 3))


@pytest.mark.parametrize("namespace", ["numpy", "jax"])
def test_binned_distances_equal_their_definitions_in_either_array_library(namespace: str) -> None:
    if namespace == "jax":
        import jax.numpy as xp
    else:
        xp = np
    a, b = np.array([[5, 0, 9, 40], [1, 1, 0, 0]]), np.array([[3, 4, 0, 20], [0, 0, 8, 8]])
    js = np.asarray(jensen_shannon(xp.asarray(a), xp.asarray(b)))
    np.testing.assert_allclose(js, [jensenshannon(p, q, base=2) for p, q in zip(a, b, strict=True)], rtol=1e-6)
    p, q = (a + 0.5) / (a.sum(1, keepdims=True) + 2), (b + 0.5) / (b.sum(1, keepdims=True) + 2)
    np.testing.assert_allclose(np.asarray(psi(xp.asarray(a), xp.asarray(b))), ((q - p) * np.log(q / p)).sum(1), rtol=1e-5)


def test_infinite_values_count_for_ks_and_leave_wasserstein_undefined(computed: Computed) -> None:
    kernel = BACKENDS["jax" if computed[1] > 1e-9 else "numpy"][0]
    before, now = np.array([-np.inf, 0, 1, np.inf], "f4"), np.array([0, np.inf, np.inf, 2], "f4")
    (found,) = kernel([Pair(np.sort(before), now, np.array([0, 1], "f4"))])
    assert found.ks == pytest.approx(stats.ks_2samp(before, now).statistic)
    assert np.isnan(found.wasserstein)
    assert found.counts.tolist() == [1, 0, 3]


def test_subnormal_numbers_do_not_fit_a_backend_that_flushes_them() -> None:
    fitting = {case for case, (before, now) in NUMERIC_CASES.items() if fits_jax(Pair(np.sort(before), now, _edges(before)))}
    assert set(NUMERIC_CASES) - fitting == {"denormals"}


def test_int64_beyond_float64_is_compared_exactly() -> None:
    before, now = np.array([2**60, 2**60 + 1, 2**60 + 2]), np.array([2**60 + 1, 2**60 + 3, 2**60 + 3])
    (found,) = compute_with_numpy([Pair(before, now, bin_counts(before, before)[:0])])
    assert (found.ks, found.wasserstein) == (pytest.approx(2 / 3), pytest.approx(4 / 3))


def test_windows_of_many_sizes_share_a_few_compilations() -> None:
    from prodml_magics.stats.drift.kernels_jax import _columns

    rng = np.random.default_rng(3)
    before = np.sort(rng.normal(size=2_000).astype("f4"))

    def compute(rows: int, columns: int) -> None:
        pair = Pair(before, rng.normal(size=rows).astype("f4"), _edges(before[:: columns * 50]))
        compute_with_jax([pair] * columns)

    compute(1_500, 4)
    compiled = _columns._cache_size()
    for rows, columns in ((1_030, 3), (2_048, 4), (1_999, 3)):
        compute(rows, columns)
    assert _columns._cache_size() == compiled
