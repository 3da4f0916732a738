"""Block pairs, tolerances, e-BH and plans against enumeration, scipy and slow loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prodml_magics.stats.sequential.block_pairs import STAKES, control_rows, log_gains, log_mean_of, pair
from prodml_magics.stats.sequential.difference import NO_WORSE, log_increments
from prodml_magics.stats.sequential.e_bh import e_benjamini_hochberg
from prodml_magics.stats.sequential.mixture import log_mean_exp, log_sum_exp
from prodml_magics.stats.sequential.rate_ratio import MORE, log_e_value
from prodml_magics.stats.sequential.rows_needed import rows_for_difference, rows_for_mean, rows_for_ratio
from prodml_magics.stats.sequential.tolerance import log_exceeds, log_within


def test_the_mixture_equals_the_plain_sum_and_never_overflows() -> None:
    values, weights = np.log([1.0, 2.0, 4.0]), np.array([0.5, 0.25, 0.25])
    assert float(log_sum_exp(values, weights)) == pytest.approx(np.log(2.0))
    assert float(log_mean_exp([800.0, -np.inf])) == pytest.approx(800 - np.log(2))
    assert float(log_mean_exp([-np.inf, -np.inf])) == -np.inf


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_blocks_take_rows_in_order_and_lose_none(canary: int, control: int, size: int) -> None:
    found = pair(np.arange(canary), np.arange(control) / 7, size)
    whole = min(canary, control // size)
    assert len(found.differences) == whole
    assert len(found.canary) == canary - whole and len(found.control) == control - whole * size
    for block in range(whole):
        assert found.differences[block] == pytest.approx(block - np.mean(np.arange(block * size, (block + 1) * size) / 7))


def test_the_mean_capital_at_the_margin_is_one() -> None:
    """Two blocks of one canary and one control row, each 0 or 1; the mean difference is exactly minus the margin."""
    margin, rates = 0.1, (0.5, 0.4)
    mean = 0.0
    for rows in product((0, 1), repeat=4):
        weight = np.prod([rates[i % 2] if row else 1 - rates[i % 2] for i, row in enumerate(rows)])
        differences = np.array([rows[1] - rows[0], rows[3] - rows[2]], float)
        mean += weight * np.exp(float(log_mean_of(log_gains(differences, margin, 1.0))))
    assert mean == pytest.approx(1.0)


@given(arrays(np.float64, st.integers(0, 20), elements=st.floats(-1e6, 1e6)), st.floats(0, 0.5))
def test_capital_stays_positive_whatever_comes(differences: np.ndarray, margin: float) -> None:
    gains = log_gains(differences, margin, 1.0)
    assert gains.shape == STAKES.shape and np.isfinite(gains).all()


def test_accuracy_lower_by_three_points_is_seen_and_equal_accuracy_rarely_called() -> None:
    rng = np.random.default_rng(0)
    share, runs, looks, batch = 0.25, 300, 100, 200

    def ever(accuracy: float) -> tuple[float, float]:
        taken = []
        for _ in range(runs):
            canary = rng.random(int(batch * share) * looks) < accuracy
            control = rng.random(int(batch * (1 - share)) * looks) < 0.9
            d = pair(canary, control, control_rows(share)).differences.reshape(looks, -1)
            gains = np.cumsum(np.log1p(STAKES * -d[..., None]).sum(axis=1), axis=0)
            assert gains[-1] == pytest.approx(log_gains(-d.ravel(), 0.0, 1.0))
            reached = np.flatnonzero(log_mean_of(gains) >= np.log(20))
            taken.append((reached[0] + 1) * batch if len(reached) else np.inf)
        return float(np.isfinite(taken).mean()), float(np.median(taken))

    assert ever(0.9)[0] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert ever(0.87)[1] <= 1.6 * 4_000  # a one-look test with 80 % power needs about 3,400 rows


@pytest.mark.parametrize("tolerance", [0.005, 0.02, 0.1])
def test_a_share_at_its_tolerance_has_mean_one_either_way(tolerance: float) -> None:
    from scipy.stats import binom

    disagreed = np.arange(61)
    chances = binom(60, tolerance).pmf(disagreed)
    for log_e in (log_within, log_exceeds):
        assert chances @ np.exp(log_e(disagreed, np.full(61, 60), tolerance)) == pytest.approx(1.0)
    lower, higher = binom(60, tolerance / 2).pmf(disagreed), binom(60, tolerance * 2).pmf(disagreed)
    assert lower @ np.exp(log_exceeds(disagreed, np.full(61, 60), tolerance)) < 1
    assert higher @ np.exp(log_within(disagreed, np.full(61, 60), tolerance)) < 1


def test_perfect_agreement_is_within_two_percent_after_some_190_pairs() -> None:
    pairs = np.arange(1, 500)
    needed = pairs[np.argmax(log_within(np.zeros(499), pairs, 0.02) >= np.log(20))]
    assert needed == pytest.approx(1.29 * 148, rel=0.03)


@given(st.lists(st.floats(-5, 12), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.2]))
def test_e_bh_equals_its_definition(values: list[float], alpha: float) -> None:
    ordered = sorted(values, reverse=True)
    most = max(
        (k for k in range(1, len(values) + 1) if np.exp(ordered[k - 1]) >= len(values) / (alpha * k) * (1 - 1e-12)), default=0
    )
    assert e_benjamini_hochberg(values, alpha).sum() == most


def simulated_rows(share: float, rate: float, ratio: float, runs: int = 150) -> float:
    rng = np.random.default_rng(7)
    chance = share * ratio / (share * ratio + 1 - share)
    events = np.arange(1, 2501)
    canary = np.cumsum(rng.random((runs, 2500)) < chance, axis=1)
    crossed = log_e_value(canary, np.broadcast_to(events, (runs, 2500))[..., None], [share], MORE) >= np.log(20)
    assert crossed.any(axis=1).all()
    return float((crossed.argmax(axis=1) + 1).mean() / (rate * (1 - share + share * ratio)))


@pytest.mark.parametrize(("share", "ratio"), [(0.05, 2.0), (0.05, 5.0), (0.25, 1.5), (0.5, 2.0)])
def test_the_planned_rows_are_within_a_fifth_of_the_simulated_mean(share: float, ratio: float) -> None:
    assert rows_for_ratio(share, 0.005, ratio) == pytest.approx(simulated_rows(share, 0.005, ratio), rel=0.2)


def test_no_effect_is_never_planned_for() -> None:
    assert rows_for_ratio(0.05, 0.01, 1.0) == float("inf")
    assert rows_for_ratio(0.05, 0.0, 2.0) == float("inf")
    assert rows_for_difference(0.25, 0.01, 0.005, 0.005) == float("inf")


@pytest.mark.parametrize(("share", "rate"), [(0.25, 1e-6), (0.5, 1e-6), (0.25, 0.01), (0.5, 0.05)])
def test_the_planned_rows_of_a_margin_are_within_a_fifth_of_the_simulated_mean(share: float, rate: float) -> None:
    rng = np.random.default_rng(8)
    runs, batch = 300, max(20, int(rows_for_difference(share, rate, 0.0, 0.005) / 100))
    more = max(1, round(batch * share))
    rows = np.array([round(more * (1 - share) / share), more])
    sums, control, taken, look = np.zeros((runs, 5)), np.zeros(runs), np.full(runs, np.inf), 0
    while np.isinf(taken).any() and look < 600:
        failed = rng.binomial(rows, rate, (runs, 2))
        sums += log_increments(
            failed, np.broadcast_to(rows, (runs, 2)), share, (control + 0.5) / (look * rows[0] + 1), 0.005, NO_WORSE
        )
        control, look = control + failed[:, 0], look + 1
        taken = np.where((log_mean_exp(sums) >= np.log(20)) & np.isinf(taken), look * rows.sum(), taken)
    mean = float(np.mean(taken[np.isfinite(taken)]))
    assert np.isfinite(taken).mean() > 0.95
    assert rows_for_difference(share, rate, 0.0, 0.005) == pytest.approx(mean, rel=0.2)


@pytest.mark.parametrize(
    ("share", "right", "worse", "margin"),
    [(0.05, 0.9, 0.1, 0.0), (0.25, 0.9, 0.05, 0.0), (0.5, 0.95, 0.0, 0.05), (0.5, 0.6, 0.1, 0.0)],
)
def test_the_plan_of_a_mean_is_within_a_fifth_of_the_simulated_test(
    share: float, right: float, worse: float, margin: float
) -> None:
    rng = np.random.default_rng(7)
    size, found = control_rows(share), []
    planned = rows_for_mean(share, 1 - right, right * (1 - right), worse=worse, margin=margin)
    blocks = int(5 * planned / (size + 1))
    for _ in range(120):
        canary = (rng.random(blocks) < right - worse).astype(float)
        difference = canary - rng.binomial(size, right, blocks) / size
        payoff = (margin + difference) / (1 + margin) if margin else -difference
        capital = log_mean_of(np.cumsum(np.log1p(STAKES * payoff[:, None]), axis=0))
        found.append((1 + int((capital >= np.log(20)).argmax())) * (size + 1))
    assert np.mean(found) == pytest.approx(planned, rel=0.2)


def test_a_mean_that_nobody_loses_and_a_difference_that_is_not_there() -> None:
    assert rows_for_mean(0.5, 0.0, 0.0, worse=0.0) == float("inf")
    assert np.isfinite(rows_for_mean(0.5, 0.0, 0.0, margin=0.02))
    assert rows_for_mean(0.5, 0.1, 0.09, worse=0.05, guards=4) > rows_for_mean(0.5, 0.1, 0.09, worse=0.05)
