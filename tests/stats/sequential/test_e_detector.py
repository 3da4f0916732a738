"""E-values of mean one, detectors as they are defined, scores that are ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from prodml_magics.stats.sequential.e_detector import BETS, CLIP, advance, bets, conformal_scores, deflation


@pytest.mark.parametrize("bet", range(BETS))
def test_a_bet_has_mean_one_under_the_null(bet: int) -> None:
    inside, _ = integrate.quad(lambda z: bets(np.array([z]))[0, bet] * stats.norm.pdf(z), -CLIP, CLIP, epsabs=1e-12)
    ends = sum(bets(np.array([end]))[0, bet] for end in (-CLIP, CLIP)) * stats.norm.sf(CLIP)
    assert inside + ends == pytest.approx(1, abs=1e-9)


def test_the_detector_is_the_sum_over_all_beginnings() -> None:
    values = bets(np.clip(np.random.default_rng(0).normal(size=40), -CLIP, CLIP))
    state = np.zeros(BETS)
    for each in values:
        state = advance(state, each)
    slow = sum(values[begin:].prod(axis=0) for begin in range(len(values)))
    np.testing.assert_allclose(state, slow, rtol=1e-12)


def test_scores_are_ranks_among_the_reference_with_ties_parted_at_random() -> None:
    reference = np.array([0.0, 1, 1, 1, 2])
    found = conformal_scores(reference, np.array([-1.0, 3, 1, 1, np.nan]), np.array([0.5, 0.5, 0.0001, 0.9999, 0.5]))
    np.testing.assert_allclose(found[:4], stats.norm.ppf([0.5 / 6, 5.5 / 6, 1.0004 / 6, 4.9996 / 6]), atol=1e-4)
    assert np.isnan(found[4])
    rng = np.random.default_rng(1)
    scores = [conformal_scores(np.sort(rng.normal(size=20)), rng.normal(size=1), rng.random(1))[0] for _ in range(4_000)]
    assert stats.kstest(np.clip(scores, -2.9, 2.9), stats.norm.cdf).pvalue > 1e-3


def test_the_shorter_the_reference_the_less_a_bet_is_worth() -> None:
    short, long = deflation(np.array([100.0])), deflation(np.array([10_000.0]))
    assert (short > long).all()
    assert (long > 1).all()
    np.testing.assert_allclose((short - 1) / (long - 1), 10)
