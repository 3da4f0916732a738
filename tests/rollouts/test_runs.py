"""Blocks of runs: E[e] = 1 by enumeration, nothing lost between batches, and bursts that strike one arm do not mislead."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom

from prodml_magics.rollouts.runs import Tally, add_runs, log_e_since, log_expected, spent_at
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE


@pytest.mark.parametrize("ratios", [MORE, FEWER], ids=["more", "fewer"])
@pytest.mark.parametrize(("control", "canary", "slow"), [(6, 2, 3), (9, 1, 1), (3, 3, 5), (7, 2, 0)])
def test_when_slow_runs_are_any_of_a_block_the_mean_e_value_is_one(
    ratios: np.ndarray, control: int, canary: int, slow: int
) -> None:
    whose = np.arange(control + canary) >= control
    values = []
    for chosen in combinations(range(control + canary), slow):
        beyond = np.isin(np.arange(control + canary), chosen)[:, None]
        values.append(float(np.exp(log_e_since(add_runs(Tally.empty(1, 24), whose, beyond, ratios), ratios)[0, 0])))
    assert np.mean(values) == pytest.approx(1.0, abs=1e-12)


def test_the_expectation_is_that_of_the_hypergeometric_distribution() -> None:
    for canary, control, slow in ((3, 40, 7), (25, 75, 60), (1, 1, 2), (200, 800, 0), (300, 700, 900), (2, 5_000, 400)):
        x = np.arange(canary + 1)
        chances = hypergeom(canary + control, canary, slow).pmf(x)
        expected = np.log([(chances * ratio**x).sum() for ratio in MORE])
        assert log_expected(canary, control, [slow], MORE)[0] == pytest.approx(expected, abs=1e-9)


def test_a_block_stays_open_until_it_holds_runs_of_both_arms() -> None:
    tally = add_runs(Tally.empty(1, 24), np.array([False, False]), np.array([[True], [False]]), MORE)
    assert (tally.events, tally.open_runs, tally.open_events) == (((0, 0),), (2, 0), ((1, 0),))
    assert log_e_since(tally, MORE)[0] == pytest.approx(0.0)
    closed = add_runs(tally, np.array([True]), np.array([[True]]), MORE)
    assert (closed.events, closed.open_runs, closed.open_events) == (((1, 1),), (0, 0), ((0, 0),))
    whole = add_runs(Tally.empty(1, 24), np.array([False, False, True]), np.array([[True], [False], [True]]), MORE)
    assert closed == whole
    assert add_runs(whole, np.zeros(0, bool), np.zeros((0, 1), bool), MORE) is whole


def test_evidence_since_a_beginning_leaves_out_what_was_before() -> None:
    rng = np.random.default_rng(0)
    first, second = ((rng.random(400) < 0.25, rng.random((400, 2)) < 0.2) for _ in range(2))
    begun = add_runs(Tally.empty(2, 24), *first, MORE)
    both = add_runs(begun, *second, MORE)
    alone = add_runs(Tally.empty(2, 24), *second, MORE)
    assert log_e_since(both, MORE, spent_at([begun], 2, 24))[1] == pytest.approx(log_e_since(alone, MORE)[0])
    assert log_e_since(both, MORE, spent_at([begun], 2, 24))[0] == pytest.approx(log_e_since(both, MORE)[0])


def test_weather_that_both_arms_share_is_not_taken_for_harm() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(300):
        tally = Tally.empty(1, 24)
        for _ in range(60):
            chance = rng.choice([0.01, 0.5])
            tally = add_runs(tally, rng.random(100) < 0.1, rng.random((100, 1)) < chance, MORE)
            if log_e_since(tally, MORE)[0, 0] >= np.log(20):
                called += 1
                break
    assert called / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_canary_that_is_slow_twice_as_often_is_seen() -> None:
    rng = np.random.default_rng(2)
    tally = Tally.empty(1, 24)
    for _ in range(100):
        canary = rng.random(100) < 0.25
        tally = add_runs(tally, canary, (rng.random(100) < np.where(canary, 0.1, 0.05))[:, None], MORE)
    assert log_e_since(tally, MORE)[0, 0] > np.log(20) and log_e_since(tally, FEWER)[0, 0] < 0
