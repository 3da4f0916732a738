"""Every statistic of the table, on every case: its oracle, what it does on itself, and what leaves it unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from laws.samples import NUMERIC_CASES
from scipy import stats
from scipy.spatial.distance import jensenshannon

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.anderson_darling import anderson_darling
from prodml_magics.stats.drift.columns import Numbers
from prodml_magics.stats.drift.comparison import aligned
from prodml_magics.stats.drift.cramer_von_mises import cramer_von_mises, cramer_von_mises_p_value
from prodml_magics.stats.drift.cramers_v import cramers_v
from prodml_magics.stats.drift.g_test import g_test
from prodml_magics.stats.drift.monte_carlo import monte_carlo_p_value, small_counts_p_value
from prodml_magics.stats.drift.statistics import STATISTICS, Scale
from prodml_magics.stats.drift.support import Support, compressed, pooled
from prodml_magics.stats.quadratic_forms import ANDERSON_DARLING, CRAMER_VON_MISES, quadratic_form_tail

NUMERIC = [name for name, each in STATISTICS.items() if each.numeric is not None]
COUNTS = [name for name, each in STATISTICS.items() if each.categorical is not None]
Sample = np.ndarray


def _support(before: Sample, now: Sample) -> Support:
    pair = aligned(prepare({"a": before}).columns["a"], Numbers(now, len(now)))
    return pooled(pair.reference, np.sort(pair.current), pair.edges)


def _scale(before: Sample) -> Scale:
    column = prepare({"a": before}).columns["a"]
    return Scale(column.sd, column.iqr)


def _effect(name: str, before: Sample, now: Sample) -> float:
    numeric = STATISTICS[name].numeric
    assert numeric is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(numeric(_support(before, now), _scale(before)))


def _bins(before: Sample, now: Sample) -> list[tuple[int, int]]:
    """Rows of both sides in every bin of the reference that holds any, by a loop."""
    edges = [-math.inf, *prepare({"a": before}).columns["a"].edges.tolist(), math.inf]
    found = [
        (int(((before > low) & (before <= high)).sum()), int(((now > low) & (now <= high)).sum()))
        for low, high in pairwise(edges)
    ]
    return [pair for pair in found if any(pair)]


def _shares(before: Sample, now: Sample, smoothed: bool) -> tuple[Sample, Sample]:
    counts = np.array(_bins(before, now), dtype=float) + (0.5 if smoothed else 0)
    return tuple(counts.T / counts.sum(axis=0)[:, None])


def _gaps(before: Sample, now: Sample) -> tuple[Sample, Sample, Sample, Sample]:
    """F, G, and the weight of each point in the equal mixture, by comparing every value with every point."""
    points = np.unique(np.concatenate([before, now]))
    f, g = ((values[None, :] <= points[:, None]).mean(axis=1) for values in (before, now))
    h = (f + g) / 2
    return f, g, h, np.diff(h, prepend=0)


def _slow_ad(before: Sample, now: Sample) -> float:
    f, g, h, weight = _gaps(before, now)
    return float(
        np.sqrt(sum(w * (a - b) ** 2 / (c * (1 - c)) for a, b, c, w in zip(f, g, h, weight, strict=True) if c < 1 - 1e-12))
    )


def _inverted(values: Sample, q: float) -> float:
    return float(np.quantile(values, q, method="inverted_cdf"))


ORACLES: dict[str, Callable[[Sample, Sample], float]] = {
    "ks": lambda a, b: stats.ks_2samp(a, b).statistic,
    "wasserstein": lambda a, b: stats.wasserstein_distance(a, b) / a.std(),
    "wasserstein_sd": lambda a, b: stats.wasserstein_distance(a, b) / a.std(),
    "wasserstein_iqr": lambda a, b: stats.wasserstein_distance(a, b) / (np.sort(a)[len(a) * 3 // 4] - np.sort(a)[len(a) // 4]),
    "cvm": lambda a, b: min(1.0, math.sqrt(3 * sum(w * (f - g) ** 2 for f, g, _, w in zip(*_gaps(a, b), strict=True)))),
    "ad": _slow_ad,
    "energy": lambda a, b: stats.energy_distance(a, b) / math.sqrt(a.std()),
    "psi": lambda a, b: sum((q - p) * math.log(q / p) for p, q in zip(*_shares(a, b, True), strict=True)),
    "js": lambda a, b: jensenshannon(*_shares(a, b, False), base=2),
    "hellinger": lambda a, b: math.sqrt(
        sum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in zip(*_shares(a, b, False), strict=True)) / 2
    ),
    "kl": lambda a, b: stats.entropy(*reversed(_shares(a, b, True))),
    "linf": lambda a, b: max(abs(p - q) for p, q in zip(*_shares(a, b, False), strict=True)),
    "mean": lambda a, b: abs(a.mean() - b.mean()) / a.std(),
    "spread": lambda a, b: abs(math.log(b.std() / a.std())) if a.std() and b.std() else math.nan,
    "quantiles": lambda a, b: (
        max(abs(_inverted(a, q) - _inverted(b, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
        / (np.sort(a)[len(a) * 3 // 4] - np.sort(a)[len(a) // 4])
    ),
}


@pytest.mark.parametrize("case", NUMERIC_CASES)
@pytest.mark.parametrize("name", NUMERIC)
def test_effects_of_numbers_are_their_oracles(name: str, case: str) -> None:
    before, now = (values.astype("f8") for values in NUMERIC_CASES[case])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = float(ORACLES[name](before, now))
    found = _effect(name, before, now)
    if not math.isfinite(expected):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_every_numeric_statistic_has_an_oracle() -> None:
    assert set(ORACLES) == set(NUMERIC)


@pytest.mark.parametrize("case", NUMERIC_CASES)
@pytest.mark.parametrize("name", NUMERIC)
def test_nothing_has_moved_from_itself(name: str, case: str) -> None:
    before = NUMERIC_CASES[case][0]
    assert _effect(name, before, before[::-1]) == pytest.approx(0, abs=1e-7) or math.isnan(_effect(name, before, before))


@pytest.mark.parametrize("name", ["ks", "cvm", "ad", "psi", "js", "hellinger", "kl", "linf"])
def test_statistics_of_ranks_survive_a_common_monotone_map(name: str) -> None:
    rng = np.random.default_rng(1)
    before, now = np.round(rng.normal(size=900), 2), np.round(rng.normal(0.3, 1.2, 700), 2)
    assert _effect(name, np.exp(before), np.exp(now)) == pytest.approx(_effect(name, before, now), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in NUMERIC if name != "energy"])
def test_effects_know_neither_unit_nor_origin(name: str) -> None:
    rng = np.random.default_rng(2)
    before, now = rng.normal(size=900), rng.normal(0.3, 1.2, 700)
    assert _effect(name, 64 * before + 1e3, 64 * now + 1e3) == pytest.approx(_effect(name, before, now), rel=1e-3)


@pytest.mark.parametrize("name", NUMERIC)
def test_a_large_offset_costs_no_precision(name: str) -> None:
    rng = np.random.default_rng(3)
    before, now = rng.integers(0, 1_000, 900), rng.integers(100, 1_100, 700)
    far = 2**60 + 5
    assert _effect(name, before + far, now + far) == pytest.approx(_effect(name, before, now), rel=2e-3)


@pytest.mark.parametrize("name", ["psi", "js", "hellinger", "kl", "linf"])
@pytest.mark.parametrize("case", [case for case in NUMERIC_CASES if case.startswith("left ")])
def test_bins_show_that_rows_have_left_a_value_that_holds_many(name: str, case: str) -> None:
    before, now = NUMERIC_CASES[case]
    assert _effect(name, before, now) > 3 * STATISTICS[name].tolerance
    assert _effect(name, before, before) == pytest.approx(0, abs=1e-9)


def test_statistics_of_their_tests_are_scipys() -> None:
    rng = np.random.default_rng(4)
    for n, m, shift in ((60, 45, 0.0), (300, 200, 0.4), (40, 400, 1.0)):
        before, now = rng.normal(size=n), rng.normal(shift, 1, m)
        support = pooled(np.sort(before), np.sort(now), before[:0])
        oracle = stats.cramervonmises_2samp(before, now, method="asymptotic")
        assert float(cramer_von_mises(support)) == pytest.approx(oracle.statistic, rel=1e-9)
        found = cramer_von_mises_p_value(oracle.statistic, n, m)
        assert found == pytest.approx(oracle.pvalue, rel=1e-4) or (oracle.pvalue < 1e-5 and 0 < found < 2e-5)


def test_anderson_darling_is_scholz_and_stephens_sum() -> None:
    rng = np.random.default_rng(5)
    for before, now in (
        (rng.normal(size=80), rng.normal(0.5, 1, 50)),
        (rng.integers(0, 6, 90).astype(float), rng.integers(1, 7, 40).astype(float)),
    ):
        n, m = len(before), len(now)
        pooled_values = np.sort(np.concatenate([before, now]))
        total = 0.0
        for point in np.unique(pooled_values)[:-1]:
            ties, upto = (pooled_values == point).sum(), (pooled_values <= point).sum()
            for side, size in ((before, n), (now, m)):
                total += ties / (n + m) * ((n + m) * (side <= point).sum() - upto * size) ** 2 / (upto * (n + m - upto)) / size
        assert float(anderson_darling(pooled(np.sort(before), np.sort(now), before[:0]))) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("x", [0.03, 0.1, 0.2, 0.4614, 0.7435, 1.2])
def test_tail_of_cramer_von_mises_is_the_published_law(x: float) -> None:
    published = {0.4614: 0.05, 0.7435: 0.01}
    draws = (np.random.default_rng(6).normal(size=(40_000, 60)) ** 2) @ np.array(CRAMER_VON_MISES[:60])
    expected = published.get(x, (draws + 1 / 6 - sum(CRAMER_VON_MISES[:60]) > x).mean())
    assert quadratic_form_tail(x, CRAMER_VON_MISES) == pytest.approx(expected, abs=0.0001 if x in published else 0.01)


def test_tail_of_anderson_darling_is_the_published_law_and_falls_without_end() -> None:
    for x, p in ((1.933, 0.10), (2.492, 0.05), (3.878, 0.01)):
        assert quadratic_form_tail(x, ANDERSON_DARLING) == pytest.approx(p, rel=0.002)
    tails = [quadratic_form_tail(x, ANDERSON_DARLING) for x in (0.0, 0.2, 1, 5, 10, 12, 14, 20, 100, 5_000)]
    assert tails[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(tails))
    assert tails[-1] > 0


def test_compression_keeps_rows_bins_and_almost_all_of_an_effect() -> None:
    rng = np.random.default_rng(7)
    before, now = rng.normal(size=20_000), rng.normal(0.3, 1.3, 15_000)
    support, scale = _support(before, now), _scale(before)
    few = compressed(support, 256)
    assert len(few.points) < 300
    assert (few.before.sum(), few.now.sum()) == (20_000, 15_000)
    assert [side.tolist() for side in few.binned] == [side.tolist() for side in support.binned]
    for name in NUMERIC:
        numeric = STATISTICS[name].numeric
        assert numeric is not None
        assert float(numeric(few, scale)) == pytest.approx(float(numeric(support, scale)), rel=0.05, abs=0.005), name


# ── counts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TABLES = {
    "even": ([30, 40, 50], [31, 38, 55]),
    "moved": ([300, 200, 100], [100, 200, 300]),
    "unseen": ([50, 50, 0], [20, 20, 30]),
    "vanished": ([50, 50, 20], [40, 60, 0]),
    "one level": ([50], [60]),
    "single rows": ([1, 0], [0, 1]),
    "many levels": (list(range(1, 200)), list(range(199, 0, -1))),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("name", COUNTS)
def test_effects_of_counts_lie_in_their_range_and_vanish_on_themselves(name: str, case: str) -> None:
    before, now = (np.array(side) for side in TABLES[case])
    categorical = STATISTICS[name].categorical
    assert categorical is not None
    found, same = float(categorical(before, now)), float(categorical(before, before))
    assert math.isnan(found) or found >= 0
    assert math.isnan(same) or same == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("case", TABLES)
def test_g_and_cramers_v_are_their_oracles(case: str) -> None:
    before, now = (np.array(side) for side in TABLES[case])
    if len(before) < 2:
        assert np.isnan(cramers_v(before, now))
        return
    oracle = stats.chi2_contingency([before, now], correction=False, lambda_="log-likelihood")
    assert float(g_test(before, now)) == pytest.approx(oracle.statistic, rel=1e-9, abs=1e-9)
    n, r, c = before.sum() + now.sum(), 2, int(((before + now) > 0).sum())
    phi = max(0.0, stats.chi2_contingency([before, now], correction=False).statistic / n - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    assert float(cramers_v(before, now)) == pytest.approx(
        math.sqrt(min(1, phi / smaller)) if smaller > 0 else math.nan, nan_ok=True
    )


def test_small_counts_are_tested_exactly_or_by_drawing_tables() -> None:
    before, now = np.array([3, 1, 0, 6]), np.array([0, 4, 3, 2])
    exact = _exact_p_value(before, now)
    assert monte_carlo_p_value(before, now) == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999))
    assert small_counts_p_value(before, now) == monte_carlo_p_value(before, now)
    fisher = stats.fisher_exact([[8, 2], [1, 9]], alternative="two-sided").pvalue
    assert small_counts_p_value(np.array([8, 2]), np.array([1, 9])) == pytest.approx(fisher, rel=0.1)
    common = np.array([300, 200]), np.array([250, 260])
    assert small_counts_p_value(*common) == pytest.approx(stats.chi2_contingency(common, correction=False).pvalue)
    assert monte_carlo_p_value(np.array([40, 0, 0]), np.array([0, 20, 20])) == 1 / 10_000
    assert math.isnan(small_counts_p_value(np.array([5, 0]), np.array([9, 0])))


def _exact_p_value(before: Sample, now: Sample) -> float:
    """Every table with these margins, by a loop over them."""
    both, m = before + now, int(now.sum())
    total = weight = 0.0

    def statistic(drawn: Sample) -> float:
        expected = both * m / both.sum()
        rest = both - expected
        return float(((drawn - expected) ** 2 * (1 / expected + 1 / rest)).sum())

    found = statistic(now)
    for drawn in np.ndindex(*(both + 1)):
        if sum(drawn) == m:
            ways = math.prod(math.comb(int(b), d) for b, d in zip(both, drawn, strict=True))
            total += ways
            weight += ways if statistic(np.array(drawn)) >= found * (1 - 1e-9) else 0
    return weight / total


# ── in detect ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", STATISTICS)
def test_every_method_decides_a_gross_change_and_stays_calm_without_one(name: str) -> None:
    rng = np.random.default_rng(8)
    statistic = STATISTICS[name]
    before = {"n": rng.normal(size=4_000), "c": rng.choice(list("abcd"), 4_000, p=[0.6, 0.2, 0.1, 0.1])}
    same = {"n": rng.normal(size=3_000), "c": rng.choice(list("abcd"), 3_000, p=[0.6, 0.2, 0.1, 0.1])}
    moved = {"n": rng.normal(1.5, 3, 3_000), "c": rng.choice(list("bxyz"), 3_000)}
    reference = prepare(before)
    assert detect(reference, same, methods=[name]).drifted == []
    found = detect(reference, moved, methods=[name])
    assert found.drifted == ["n", "c"]
    for kind, place in (("numeric", 0), ("categorical", 1)):
        decided = statistic.applies(kind)  # type: ignore[arg-type]
        assert statistic.title in found.reason[place] or not decided
        assert (name in found.extra and math.isfinite(found.extra[name][place])) == decided
        assert not decided or found.effect[place] >= found.effect_low[place] > found.tolerance[place]


def test_an_effect_without_a_scale_is_null_and_ks_still_decides() -> None:
    found = detect(prepare({"a": [5.0] * 100}), {"a": [5.0] * 60 + [6.0] * 60}, methods=["wasserstein_iqr", "mean"])
    row = found.frame.row(0, named=True)
    assert (row["wasserstein_iqr"], row["mean"]) == (None, None)
    assert found.drifted == ["a"]
    assert found.reason[0].startswith("KS distance 0.50")


def test_a_method_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="unknown method 'wassertein'; did you mean 'wasserstein'"):
        detect(prepare({"a": [1.0]}), {"a": [1.0]}, methods=["wassertein"])
    with pytest.raises(InvalidInput, match=r"unknown method 'x'; there are 'ks', 'wasserstein', .*'vanished'"):
        detect(prepare({"a": [1.0]}), {"a": [1.0]}, methods=["x"])


@pytest.mark.parametrize("name", [name for name in NUMERIC if name != "ks"])
def test_bootstrapped_bounds_lie_above_the_truth_at_most_about_as_often_as_stated(name: str) -> None:
    rng = np.random.default_rng(9)
    truth = _effect(name, rng.normal(size=200_000), rng.normal(0.4, 1.5, 200_000))
    found = [
        detect(prepare({"a": rng.normal(size=400)}), {"a": rng.normal(0.4, 1.5, 300)}, methods=[name], alpha=0.1)
        for _ in range(150)
    ]
    misses = float(np.mean([each.effect_low[0] > truth for each in found]))
    assert misses <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 150)


@pytest.mark.parametrize("name", COUNTS)
def test_without_change_methods_of_counts_hardly_ever_cry(name: str) -> None:
    rng = np.random.default_rng(10)
    levels = [f"level {i}" for i in range(30)]
    reference: Any = prepare({"a": rng.choice(levels, 2_000)})
    flagged = sum(bool(detect(reference, {"a": rng.choice(levels, 150)}, methods=[name]).drifted) for _ in range(150))
    assert flagged <= 0.05 * 150 + 3 * math.sqrt(0.05 * 0.95 * 150)
