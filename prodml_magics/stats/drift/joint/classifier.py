"""Domain classifier: can a model tell rows of now from rows of the reference, on rows that it was not trained on?"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.permutation import PERMUTATIONS, memberships, p_value
from prodml_magics.stats.drift.shapes import Bool, Float

__all__ = ["ClassifierResult", "area_under_curve", "classifier_test"]

_STEPS = 15
_PENALTY = 1.0
_WAVES = 64


class ClassifierResult(NamedTuple):
    """Held-out area under the ROC curve, its interval at level 1 − 2·alpha (so `low` holds at 1 − alpha), and the p-value.

    `beyond` is the p-value that the normal limit of the rank sum tells of an area beyond all of its permutations, else `p_value`.
    """

    auc: float
    low: float
    high: float
    p_value: float
    beyond: float


def classifier_test(
    x: Float[NDArray[Any], "n columns"], y: Float[NDArray[Any], "m columns"], *, alpha: float = 0.05, seed: int = 0
) -> ClassifierResult:
    """AUC of a logistic regression that tells rows `x` from rows `y` [rows, columns], trained on half of either.

    Its inputs are the columns, their squares and 64 random waves of them (Rahimi & Recht 2007), which see correlations. The
    test is that of Lopez-Paz & Oquab 2017 (ICLR): held-out rows only; p by permutation of their labels, never 0; the interval
    by DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44, 837–845). Needs four rows on each side.
    """
    lift = _lifting(np.concatenate([x[::2], y[::2]]), seed)
    weights = _logistic(lift(np.concatenate([x[::2], y[::2]])), np.arange(len(x[::2]) + len(y[::2])) >= len(x[::2]))
    before, now = lift(x[1::2]) @ weights, lift(y[1::2]) @ weights
    auc, error = area_under_curve(before, now)
    half = NormalDist().inv_cdf(1 - alpha) * error
    p = _permuted(before, now, seed)
    far = (auc - 0.5) / math.sqrt((len(before) + len(now) + 1) / (12 * len(before) * len(now)))
    beyond = min(p, max(1e-300, 0.5 * math.erfc(far / math.sqrt(2)))) if p <= 1 / (PERMUTATIONS + 1) else p
    return ClassifierResult(auc, max(0.0, auc - half), min(1.0, auc + half), p, beyond)


def _lifting(rows: NDArray[Any], seed: int) -> Any:
    generator = np.random.default_rng(seed)
    columns = rows.shape[1]
    directions = generator.normal(size=(columns, _WAVES)) / math.sqrt(columns)
    phases = generator.uniform(0, 2 * math.pi, _WAVES)

    def lift(values: NDArray[Any]) -> NDArray[np.float64]:
        z = values.astype(np.float64).clip(-6, 6)
        return np.column_stack([np.ones(len(z)), z, z * z / 3, np.cos(2 * z @ directions + phases)])

    return lift


def _logistic(
    features: Float[NDArray[np.float64], "rows features"], labels: Bool[NDArray[np.bool_], " rows"]
) -> Float[NDArray[np.float64], " features"]:
    """Weights of a ridge-penalised logistic regression, by Newton's method; classes weigh alike."""
    share = labels.mean()
    sample = np.where(labels, 0.5 / share, 0.5 / (1 - share))
    weights = np.zeros(features.shape[1])
    penalty = np.full(features.shape[1], _PENALTY)
    penalty[0] = 1e-6
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(features @ weights).clip(-30, 30)))
        gradient = features.T @ (sample * (p - labels)) + penalty * weights
        curvature = (features * (sample * p * (1 - p))[:, None]).T @ features + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def area_under_curve(before: Float[NDArray[np.float64], " n"], now: Float[NDArray[np.float64], " m"]) -> tuple[float, float]:
    """P(score now > score before) + ½·P(equal), and its standard error; equals ``sklearn.metrics.roc_auc_score``."""
    above = _placements(now, before)
    below = 1 - _placements(before, now)
    auc = float(above.mean())
    return auc, math.sqrt(float(above.var(ddof=1)) / len(now) + float(below.var(ddof=1)) / len(before))


def _placements(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of `others` below each score, ties counting half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(others))


def _permuted(before: NDArray[np.float64], now: NDArray[np.float64], seed: int) -> float:
    """The sum of ranks of one side determines the area, and a product of ranks and memberships gives it for all permutations."""
    scores = np.concatenate([now, before])
    ranks = _placements(scores, scores) * len(scores)
    return p_value(ranks @ memberships(len(now), len(before), PERMUTATIONS, seed).astype(np.float64))
