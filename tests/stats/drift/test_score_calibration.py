"""Scores against what came true: scikit-learn's curve, error rates, and what is too little to tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from prodml_magics.stats.drift.score_calibration import score_calibration

RNG = np.random.default_rng(0)


def _rows(rng: np.random.Generator, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and outcomes whose log odds lie `shift` above what they promise."""
    odds = rng.normal(0, 1.5, rows)
    return 1 / (1 + np.exp(-odds)), rng.random(rows) < 1 / (1 + np.exp(-(odds + shift)))


def test_the_curve_is_scikit_learns() -> None:
    scores, came_true = _rows(RNG, 1_000)
    found = score_calibration(scores, came_true)
    share, mean = calibration_curve(came_true, scores, n_bins=10, strategy="quantile")
    assert found.rows_per_bin == (100,) * 10
    assert found.mean_score == pytest.approx(mean)
    assert found.share == pytest.approx(share)


def test_the_error_is_that_of_a_loop_less_what_chance_brings() -> None:
    scores, came_true = _rows(RNG, 800, 1.0)
    found, total = score_calibration(scores, came_true), 0.0
    for part in np.array_split(np.argsort(scores, kind="stable"), 10):
        p, y = scores[part], came_true[part]
        total += len(part) / 800 * ((p.mean() - y.mean()) ** 2 - (p * (1 - p)).sum() / len(part) ** 2)
    assert found.effect == pytest.approx(math.sqrt(total))
    assert found.drifted is True
    assert found.reason.startswith(f"scores lie {found.effect:.2f} off what came true, 0.1")
    assert found.reason.endswith("too low on average, above the tolerance of 0.05")


def test_p_values_of_right_scores_are_those_of_drawn_outcomes_and_verdicts_stay_calm() -> None:
    rng = np.random.default_rng(1)
    found = [score_calibration(*_rows(rng, 300)) for _ in range(400)]
    p = np.array([each.p_value for each in found])
    assert (p > 0).all()
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=3.5 * math.sqrt(level * (1 - level) / 400))
    assert sum(each.drifted is True for each in found) <= 4


def test_the_bound_lies_below_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = score_calibration(*_rows(rng, 400_000, 0.7)).effect
    lows = [score_calibration(*_rows(rng, 500, 0.7), alpha=0.1).effect_low for _ in range(200)]
    assert np.mean(np.array(lows) > truth) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 200)
    assert np.mean(lows) > 0.05


@pytest.mark.parametrize(
    ("scores", "came_true", "drifted", "said"),
    [
        ([0.5] * 39, [1] * 39, None, "39 rows with a label are too few to tell whether scores are right; 40 are needed"),
        ([], [], None, "0 rows with a label are too few"),
        ([0.7] * 200, [1] * 140 + [0] * 60, False, "within the tolerance of 0.05"),
        ([1.0] * 100, [0] * 100, True, "scores lie 1.00 off what came true, 1.00 too high on average"),
        ([0.0] * 100, [0] * 100, False, "scores lie 0.00 off"),
        ([math.nan] * 100, [0] * 100, None, "0 rows with a label"),
        ([0.5] * 40, [1] * 27 + [0] * 13, None, "does not tell it from the tolerance"),
    ],
)
def test_odd_scores_are_told_in_words(scores: list[float], came_true: list[int], drifted: bool | None, said: str) -> None:
    found = score_calibration(np.array(scores), np.array(came_true))
    assert found.drifted is drifted
    assert said in found.reason
    assert math.isnan(found.effect) == (found.rows < 40)
