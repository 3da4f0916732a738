"""The arm of each event as evidence: exact means by enumeration, closed forms, and the rates at which it cries."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from prodml_magics.stats.sequential.interval import ratio_interval
from prodml_magics.stats.sequential.onset import BEGINNINGS, WEIGHTS, beginnings_due, log_over_onsets
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value, within
from prodml_magics.stats.sequential.sample_ratio import log_mismatch

SHARES = np.array([0.05, 0.25, 0.5])
STEPS = (0, 0, 1, 1, 2, 2, 2, 2)
"""The step in which each of eight events happens."""


def mean_over_paths(ratio: float, bets: np.ndarray, null: float = 1.0) -> float:
    """E[e] over all 2^8 ways in which eight events can fall on two arms, when the true ratio is `ratio`."""
    events = np.bincount(STEPS, minlength=3)
    chances = SHARES[list(STEPS)] * ratio / (SHARES[list(STEPS)] * ratio + 1 - SHARES[list(STEPS)])
    total = 0.0
    for path in product((0, 1), repeat=8):
        arms = np.array(path)
        weight = np.prod(np.where(arms, chances, 1 - chances))
        total += weight * np.exp(log_e_value(arms.sum(), events, SHARES, bets, null))
    return float(total)


@pytest.mark.parametrize(("bets", "null"), [(MORE, 1.0), (FEWER, 1.0), (within(0.2), 1.2), (MORE * 1.5, 1.5)])
def test_the_mean_e_value_at_the_null_is_one(bets: np.ndarray, null: float) -> None:
    assert mean_over_paths(null, bets, null) == pytest.approx(1.0, abs=1e-12)


def test_inside_the_null_the_mean_is_below_one_and_on_the_other_side_above() -> None:
    assert mean_over_paths(0.7, MORE) == pytest.approx(0.563, abs=5e-4)
    assert mean_over_paths(1.5, FEWER) < 1
    assert mean_over_paths(1.4, within(0.2), 1.2) < 1
    assert mean_over_paths(2.0, MORE) > 1
    assert mean_over_paths(0.5, FEWER) > 1


def test_at_a_single_look_the_e_value_is_a_conservative_p_value() -> None:
    events, share = 200, 0.25
    canary = np.arange(events + 1)
    e = np.exp(log_e_value(canary, np.full((events + 1, 1), events), [share], MORE))
    for alpha in (0.2, 0.05, 0.01):
        assert binom(events, share).pmf(canary)[e >= 1 / alpha].sum() <= alpha
        assert binom(events, 2 / 5).pmf(canary)[e >= 1 / alpha].sum() > 0.5  # a doubled rate


def test_evidence_adds_up_over_batches_and_does_not_depend_on_their_order() -> None:
    rng = np.random.default_rng(0)
    batches = rng.poisson(3, (10, 3))
    whole = log_e_value(9, batches.sum(axis=0), SHARES, MORE)
    assert log_e_value(9, batches[rng.permutation(10)].sum(axis=0), SHARES, MORE) == whole


def test_a_billion_events_keep_six_digits() -> None:
    canary, events = 5e8, np.array([0.0, 0.0, 1e9])
    assert float(log_e_value(canary, events, SHARES, [1.0 + 1e-9])) == pytest.approx(0.0, abs=1e-5)


def test_all_traffic_on_one_arm_says_nothing() -> None:
    assert float(log_e_value(70, [70], [1.0], MORE)) == pytest.approx(0.0, abs=1e-9)


def rising(rng: np.random.Generator, runs: int, ratio: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Canary events [runs, looks] and events by step [runs, looks, steps] while share and base rate rise together."""
    shares, looks = np.array([0.01, 0.05, 0.25, 0.5]), 80
    canary, events = [], np.zeros((runs, looks * 4, 4))
    for step, share in enumerate(shares):
        rate = 0.02 * np.linspace(0.5 + 0.7 * step, 1.2 + 0.7 * step, looks)
        control = rng.binomial(int(200 * (1 - share)), rate, (runs, looks))
        failed = rng.binomial(int(200 * share), np.minimum(rate * ratio, 1), (runs, looks))
        canary.append(failed)
        events[:, step * looks : (step + 1) * looks, step] = control + failed
    return np.cumsum(np.concatenate(canary, axis=1), axis=1), np.cumsum(events, axis=1)


def ever(log_e: np.ndarray, alpha: float = 0.05) -> float:
    """Share of runs [runs, looks] that reach 1/alpha at any look."""
    return float((log_e >= np.log(1 / alpha)).any(axis=1).mean())


def test_looked_at_after_every_batch_it_cries_at_most_at_alpha_though_base_rate_and_share_rise() -> None:
    canary, events = rising(np.random.default_rng(1), 1_000)
    shares = np.array([0.01, 0.05, 0.25, 0.5])
    slack = 3 * np.sqrt(0.05 * 0.95 / 1_000)
    assert ever(log_e_value(canary, events, shares, MORE)) <= 0.05 + slack
    assert ever(log_e_value(canary, events, shares, FEWER)) <= 0.05 + slack


def test_counts_pooled_over_steps_would_cry_nearly_always() -> None:
    canary, events = rising(np.random.default_rng(2), 200)
    rows = np.repeat([0.01, 0.05, 0.25, 0.5], 80)
    pooled_share = np.cumsum(rows) / np.arange(1, len(rows) + 1)
    last = log_e_value(canary[:, -1], events[:, -1].sum(axis=-1, keepdims=True), pooled_share[-1:], MORE)
    assert (last >= np.log(20)).mean() > 0.9


def test_doubled_errors_are_seen() -> None:
    canary, events = rising(np.random.default_rng(3), 200, ratio=2.0)
    assert ever(log_e_value(canary, events, np.array([0.01, 0.05, 0.25, 0.5]), MORE)) > 0.99


def test_the_stake_is_spread_over_doubling_beginnings_and_what_waits_counts_one() -> None:
    assert WEIGHTS.sum() == pytest.approx(1.0)
    assert [beginnings_due(each) for each in (0, 249, 250, 499, 500, BEGINNINGS[-1])] == [0, 0, 1, 1, 2, 10]
    assert float(log_over_onsets([0.0])) == pytest.approx(0.0)
    expected = 0.5 * 3 + 0.05 * 7 + 0.45
    assert float(np.exp(log_over_onsets(np.log([3.0, 7.0])))) == pytest.approx(expected)


def test_the_interval_covers_at_every_look_and_narrows() -> None:
    rng = np.random.default_rng(4)
    missed, widths = 0, []
    for _ in range(60):
        canary = np.cumsum(rng.binomial(25, 0.4, 40))
        events = np.arange(1, 41) * 25
        found = [ratio_interval(k, [n], [0.25]) for k, n in zip(canary, events, strict=True)]
        missed += any(not each.low <= 2.0 <= each.high for each in found)  # 0.4 of the events at a share of 0.25: ratio 2
        widths.append((found[0].high / found[0].low, found[-1].high / found[-1].low))
    assert missed / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert all(last < first for first, last in widths)


def test_the_interval_without_events_or_with_all_on_one_arm() -> None:
    assert ratio_interval(0, [0], [0.5]) == (0.0, float("inf"))
    assert ratio_interval(0, [50], [0.5]).low == 0.0
    assert ratio_interval(50, [50], [0.5]).high == float("inf")
    assert ratio_interval(50, [50], [0.5]).low > 1


def test_a_sound_split_is_rarely_called_a_mismatch_and_an_unsound_one_soon() -> None:
    rng = np.random.default_rng(5)
    rows = np.arange(1, 201)[:, None] * 250
    for share, drawn, called in ((0.05, 0.05, 0.003), (0.5, 0.5, 0.003)):
        canary = np.cumsum(rng.binomial(250, drawn, (1_500, 200)), axis=1)
        assert ever(log_mismatch(canary, np.broadcast_to(rows, (1_500, 200, 1)), [share]), 0.001) <= called
    canary = np.cumsum(rng.binomial(250, 0.52, (100, 200)), axis=1)
    assert ever(log_mismatch(canary, np.broadcast_to(rows, (100, 200, 1)), [0.5]), 0.001) > 0.95
