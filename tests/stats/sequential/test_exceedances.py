"""Latency by counts beyond frozen thresholds: exchangeable at the floor, quick on shifts, and not blind to tails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import lognorm

from prodml_magics.stats.sequential.exceedances import LEVELS, Floor, exceeded, freeze, log_slower

DRAWN = lognorm(0.6, scale=4.0)


def counts(rng: np.random.Generator, share: float, looks: int, batch: int, slow: float, tail: float = 1.0) -> np.ndarray:
    """Log e-value [looks] over one stream: the canary is `slow` times slower, and `tail` times beyond its 95th percentile."""
    thresholds = freeze(DRAWN.rvs(5_000, random_state=rng))
    floor = Floor(1.05, 0.25)
    arms = rng.random(looks * batch) < share
    latency = DRAWN.rvs(looks * batch, random_state=rng)
    latency = np.where(arms & (latency > DRAWN.ppf(0.95)), latency * tail, latency) * np.where(arms, slow, 1.0)
    beyond = np.where(arms[:, None], exceeded(latency, floor.lifted(thresholds)), exceeded(latency, thresholds))
    by_batch = beyond.reshape(looks, batch, -1).sum(axis=1).cumsum(axis=0)
    canary = (beyond & arms[:, None]).reshape(looks, batch, -1).sum(axis=1).cumsum(axis=0)
    return log_slower(canary, by_batch[..., None], [share])


def first(log_e: np.ndarray, batch: int) -> float:
    reached = np.flatnonzero(log_e >= np.log(20))
    return float((reached[0] + 1) * batch) if len(reached) else float("inf")


def test_thresholds_are_quantiles_of_earlier_traffic() -> None:
    found = freeze(np.arange(1, 2001))
    assert found.tolist() == np.quantile(np.arange(1, 2001), LEVELS, method="higher").tolist()
    assert exceeded([1500.0, 1501.0], np.array([1500.0])).tolist() == [[False], [True]]


def test_exceedances_of_frozen_thresholds_have_the_share_that_theory_gives() -> None:
    latency = DRAWN.rvs(200_000, random_state=np.random.default_rng(0))
    thresholds = DRAWN.ppf(LEVELS)
    assert exceeded(latency, thresholds).mean(axis=0) == pytest.approx(1 - np.array(LEVELS), rel=0.12)


def test_identical_arms_are_called_slower_at_most_at_alpha() -> None:
    rng = np.random.default_rng(1)
    called = np.mean([np.isfinite(first(counts(rng, 0.05, 200, 100, 1.0), 100)) for _ in range(200)])
    assert called <= 0.05


def test_exactly_at_the_floor_the_arms_are_exchangeable_and_still_called_at_most_at_alpha() -> None:
    rng = np.random.default_rng(2)
    thresholds = freeze(DRAWN.rvs(5_000, random_state=rng))
    called = 0
    for _ in range(200):
        arms, latency = rng.random(20_000) < 0.25, DRAWN.rvs(20_000, random_state=rng)
        beyond = exceeded(latency, thresholds)  # what a canary that is slower by just the floor shows at the lifted thresholds
        by_look = beyond.reshape(100, 200, -1).sum(axis=1).cumsum(axis=0)[..., None]
        canary = (beyond & arms[:, None]).reshape(100, 200, -1).sum(axis=1).cumsum(axis=0)
        called += np.isfinite(first(log_slower(canary, by_look, [0.25]), 200))
    assert called / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_three_times_slower_at_one_percent_is_seen_after_some_hundreds_of_rows() -> None:
    rng = np.random.default_rng(3)
    assert np.median([first(counts(rng, 0.01, 300, 10, 3.0), 10) for _ in range(40)]) <= 800


def test_a_slower_tail_alone_is_seen() -> None:
    rng = np.random.default_rng(4)
    assert np.median([first(counts(rng, 0.25, 200, 200, 1.0, tail=1.5), 200) for _ in range(20)]) <= 12_000
