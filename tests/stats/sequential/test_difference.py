"""The margin in absolute terms: E[e] ≤ 1 under every null, decisions without a single failure, and the rates of wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from prodml_magics.stats.sequential.difference import HARM, NO_WORSE, boundary, guesses, log_increments
from prodml_magics.stats.sequential.mixture import log_mean_exp

MARGIN = 0.005


def kl(a: float, b: float) -> float:
    return float(a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b)))


@pytest.mark.parametrize("units", [NO_WORSE, HARM])
def test_no_null_gives_a_mean_above_one(units: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(400):
        control, share, margin = rng.uniform(1e-4, 0.3), rng.uniform(0.01, 0.9), rng.uniform(1e-3, 0.2)
        truth0 = rng.uniform(1e-6, 0.7)
        further = rng.uniform(0, 0.1) if units is NO_WORSE else -rng.uniform(0, min(margin + truth0, 0.1))
        truth1 = float(np.clip(truth0 + margin + further, 1e-9, 1 - 1e-9))
        mean = 0.0
        for arm, chance in ((0, 1 - share), (1, share)):
            rate = (truth0, truth1)[arm]
            for failed, weight in ((1, rate), (0, 1 - rate)):
                events, rows = np.zeros(2), np.zeros(2)
                rows[arm], events[arm] = 1, failed
                mean += chance * weight * np.exp(log_mean_exp(log_increments(events, rows, share, control, margin, units)))
        worst = max(worst, float(mean))
    assert worst <= 1 + 1e-9


def test_the_boundary_is_the_nearest_null() -> None:
    for a0, a1, p in ((0.01, 0.012, 0.25), (0.02, 0.05, 0.05), (0.3, 0.31, 0.5)):
        found = float(boundary(a0, a1, p, MARGIN))
        best = minimize_scalar(
            lambda t, a0=a0, a1=a1, p=p: p * kl(a1, t + MARGIN) + (1 - p) * kl(a0, t),
            bounds=(1e-9, 1 - MARGIN - 1e-9),
            method="bounded",
            options={"xatol": 1e-12},
        )
        assert found == pytest.approx(best.x, abs=1e-7)


def test_guesses_are_rates() -> None:
    for control in (0.0, 1e-6, 0.004, 0.5, 0.999):
        for units in (NO_WORSE, HARM):
            found = guesses(control, MARGIN, units)
            assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_without_any_failure_no_worse_is_shown_after_some_600_canary_rows(share: float) -> None:
    sums, control, canary = np.zeros(5), 0, 0
    while float(log_mean_exp(sums)) < np.log(20):
        more = int(100 * share)
        sums += log_increments([0, 0], [100 - more, more], share, 0.5 / (control + 1), MARGIN, NO_WORSE)
        control, canary = control + 100 - more, canary + more
    assert 550 <= canary <= 900


def ever_no_worse(rng: np.random.Generator, rates: tuple[float, float], runs: int, looks: int) -> tuple[float, float]:
    """Share of runs ever called no worse, and the median canary rows of those."""
    share, batch = 0.25, 400
    rows = np.array([batch * (1 - share), batch * share])
    sums, control = np.zeros((runs, 5)), np.zeros(runs)
    called = np.full(runs, np.inf)
    for look in range(looks):
        failed = rng.binomial(rows.astype(int), rates, (runs, 2))
        guess = (control + 0.5) / (look * rows[0] + 1)
        sums += log_increments(failed, np.broadcast_to(rows, (runs, 2)), share, guess, MARGIN, NO_WORSE)
        control += failed[:, 0]
        called = np.where((log_mean_exp(sums) >= np.log(20)) & np.isinf(called), (look + 1) * rows[1], called)
    return float(np.isfinite(called).mean()), float(np.median(called))


def test_at_the_margin_no_worse_is_wrongly_called_at_most_at_alpha_and_at_equal_rates_it_is_reached() -> None:
    rng = np.random.default_rng(1)
    wrong, _ = ever_no_worse(rng, (0.01, 0.015), 600, 150)
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    right, median = ever_no_worse(rng, (0.01, 0.01), 200, 150)
    assert right > 0.9 and median < 8_000
