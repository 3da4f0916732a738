"""Total variation: the share of rows whose category would have to change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["total_variation", "total_variation_margin"]


def total_variation(reference: Any, current: Any) -> Any:
    """½ Σ |p − q| in [0, 1] over the last axis of two count arrays [..., levels]; needs a row on each side.

    >>> float(total_variation(np.array([50, 50, 0]), np.array([25, 50, 25])))
    0.25
    """
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    return abs(p - q).sum(axis=-1) / 2


def total_variation_margin(reference: NDArray[Any], current: NDArray[Any], alpha: float) -> float:
    """What to take from the distance of two count arrays [levels] for a lower bound that holds with probability 1 − alpha.

    The estimate's upward bias is at most ½ Σ sqrt(p(1−p)·(1/n+1/m)) (Jensen), its spread around its mean is bounded by
    bounded differences: sqrt(ln(1/alpha)/2·(1/n+1/m)) (McDiarmid 1989).
    """
    n, m = reference.sum(), current.sum()
    size = 1 / n + 1 / m
    pooled = (reference + current) / (n + m)
    bias = np.sqrt(pooled * (1 - pooled) * size).sum() / 2
    return float(bias + math.sqrt(math.log(1 / alpha) / 2 * size))
