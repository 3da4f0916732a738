"""Calibration of scores, once labels are there: does what a classifier calls 80 % sure come true 80 times of a hundred?"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_SCORED_ROWS", "ScoreCalibration", "score_calibration"]

FEWEST_SCORED_ROWS = 40
_BINS = 10
_ROWS_PER_BIN = 20
_DRAWS = 4_999


class ScoreCalibration(NamedTuple):
    """`effect` is the calibration error, its bias taken off; `effect_low` a lower bound for it; both in [0, 1].

    `p_value` is that of scores which are right; never 0. Per bin `mean_score`, `share` of the rows in which it came true, and rows.
    NaN and a reason where there are too few rows; `drifted` is None when undecided.
    """

    effect: float
    effect_low: float
    p_value: float
    tolerance: float
    drifted: bool | None
    reason: str
    rows: int
    mean_score: tuple[float, ...]
    share: tuple[float, ...]
    rows_per_bin: tuple[int, ...]


def score_calibration(
    scores: NDArray[Any], came_true: NDArray[Any], *, alpha: float = 0.05, tolerance: float = 0.05, seed: int = 0
) -> ScoreCalibration:
    """Scores in [0, 1] and whether what they promise came true, each [rows]; rows with a missing score do not count.

    The error is the root of the mean squared difference of score and share over up to ten bins with as many rows each, less what
    chance brings (Kumar, Liang & Ma 2019, NeurIPS 32, section 4.1). p: how often right scores lie as far off, bins being sums of
    independent rows; the test of Hosmer & Lemeshow 1980 (Commun. Stat. A9) for scores that were not fitted on these rows, weighted by
    rows. Lower bound: the distance less the upper quantile of its noise, by the triangle inequality.
    """
    scores, came_true = np.asarray(scores, np.float64), np.asarray(came_true, np.float64)
    known = np.isfinite(scores) & np.isfinite(came_true)
    scores, came_true = scores[known].clip(0, 1), came_true[known]
    rows = len(scores)
    if rows < FEWEST_SCORED_ROWS:
        reason = f"{rows} rows with a label are too few to tell whether scores are right; {FEWEST_SCORED_ROWS} are needed"
        return ScoreCalibration(math.nan, math.nan, math.nan, tolerance, None, reason, rows, (), (), ())
    bins = _bins(scores)
    count = np.bincount(bins)
    mean, share = np.bincount(bins, scores) / count, np.bincount(bins, came_true) / count
    promised = np.bincount(bins, scores * (1 - scores)) / count**2
    weight, gap = count / rows, mean - share
    raw = math.sqrt(float(weight @ gap**2))
    effect = math.sqrt(max(0.0, float(weight @ (gap**2 - promised))))
    noise = np.random.default_rng(seed).normal(size=(_DRAWS, len(count))) ** 2
    p = float((1 + (np.sqrt(noise @ (weight * promised)) >= raw - 1e-12).sum()) / (_DRAWS + 1))
    spread = np.maximum(promised, share * (1 - share) / count)
    low = max(0.0, raw - float(np.quantile(np.sqrt(noise @ (weight * spread)), 1 - alpha)))
    drifted, reason = _verdict(effect, min(low, effect), p, alpha, tolerance, float(weight @ gap))
    curve = (tuple(mean.tolist()), tuple(share.tolist()), tuple(count.tolist()))
    return ScoreCalibration(effect, min(low, effect), p, tolerance, drifted, reason, rows, *curve)


def _bins(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each row: as many rows each, equal scores together, without empty ones."""
    bins = max(2, min(_BINS, len(scores) // _ROWS_PER_BIN))
    edges = np.unique(np.quantile(scores, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.asarray(np.unique(np.searchsorted(edges, scores, side="left"), return_inverse=True)[1], np.intp)


def _verdict(effect: float, low: float, p: float, alpha: float, tolerance: float, excess: float) -> tuple[bool | None, str]:
    said = f"scores lie {effect:.2f} off what came true" + (f", {_direction(excess)}" if effect > tolerance else "")
    if effect <= tolerance:
        return False, f"{said}, within the tolerance of {tolerance:g}"
    if p > alpha:
        return None, f"{said}, but that may be chance (p = {p:.2g})"
    if low <= tolerance:
        return None, f"{said}, at least {low:.2f}, which does not tell it from the tolerance of {tolerance:g}"
    return True, f"{said}, above the tolerance of {tolerance:g}"


def _direction(excess: float) -> str:
    if abs(excess) < 0.005:
        return "neither too high nor too low on average"
    return f"{abs(excess):.2f} too {'high' if excess > 0 else 'low'} on average"
