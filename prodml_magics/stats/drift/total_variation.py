"""Total variation: the share of rows whose category would have to change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["total_variation", "total_variation_bias", "total_variation_spread"]


def total_variation(reference: Int[Array, "... levels"], current: Int[Array, "... levels"]) -> Float[Array, " ..."]:
    """½ Σ |p − q| in [0, 1] over the last axis of two count arrays [..., levels]; needs a row on each side.

    >>> float(total_variation(np.array([50, 50, 0]), np.array([25, 50, 25])))
    0.25
    """
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    return abs(p - q).sum(axis=-1) / 2


def total_variation_bias(
    reference: Int[NDArray[Any], " levels"], current: Int[NDArray[Any], " levels"], n: float, m: float
) -> float:
    """What count arrays [levels] of one distribution show on average at most: ½ Σ sqrt(p(1−p)·(1/n+1/m)) (Jensen).

    n and m are the rows, or the independent ones that correlated rows are worth.
    """
    pooled = (reference + current) / (reference.sum() + current.sum())
    return float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)).sum() / 2)


def total_variation_spread(n: int, m: int, alpha: float) -> float:
    """How far the estimate lies above its mean at most, with probability 1 − alpha: sqrt(ln(1/alpha)/2·(1/n+1/m)).

    Bounded differences (McDiarmid 1989). The distance less bias and spread is a lower confidence bound.
    """
    return math.sqrt(math.log(1 / alpha) / 2 * (1 / n + 1 / m))
