"""Wasserstein-1: how far, on average, a value has to be moved to turn one sample into the other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.shapes import Real

__all__ = ["wasserstein"]


def wasserstein(reference: Real[NDArray[Any], " n"], current: Real[NDArray[Any], " m"]) -> float:
    """∫ |F − G|, in the unit of the values, of two non-empty finite samples, each sorted ascending.

    Exact; equals ``scipy.stats.wasserstein_distance``. Computed as ∫₀¹ |F⁻¹ − G⁻¹|, whose steps lie at the multiples of
    1/n and 1/m whatever the values are (Vallender 1974, Theory Probab. Appl. 18). Integers are subtracted in extended
    precision where the machine has one; a distance beyond the largest float is inf or NaN.

    >>> wasserstein(np.array([0.0, 1.0]), np.array([3.0, 4.0]))
    3.0
    """
    precision = np.longdouble if reference.dtype.kind in "iu" else np.float64
    n, m = len(reference), len(current)
    with np.errstate(over="ignore", invalid="ignore"):
        if n == m:
            return float(np.abs(np.subtract(reference, current, dtype=precision)).mean())
        return _over_steps(reference, current, precision)


_BLOCK = 131_072
"""Steps that are looked at at a time: fresh memory for all of them would cost more than the arithmetic."""


def _over_steps(reference: NDArray[Any], current: NDArray[Any], precision: type[np.floating[Any]]) -> float:
    of_reference, of_current, weights = _steps(len(reference), len(current))
    total = 0.0
    for start in range(0, len(weights), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart = np.subtract(reference.take(of_reference[part]), current.take(of_current[part]), dtype=precision)
        np.abs(apart, out=apart)
        apart *= weights[part]
        total += float(apart.sum())  # a product of vectors would start threads of its own beside those of the columns
    return total


@lru_cache(maxsize=4)
def _steps(n: int, m: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """The intervals [n + m] between the multiples of 1/n and 1/m: rank in the reference, rank now, and length."""
    i, j = np.arange(n), np.arange(m)
    seen_now = ((i + 1) * m - 1) // n
    seen_reference = np.minimum((j + 1) * n // m, n - 1)
    at_reference = i + seen_now
    at_now = j + (j + 1) * n // m
    ends = np.empty(n + m, dtype=np.int64)
    of_reference, of_current = np.empty(n + m, dtype=np.int32), np.empty(n + m, dtype=np.int32)
    ends[at_reference], ends[at_now] = (i + 1) * m, (j + 1) * n
    of_reference[at_reference], of_reference[at_now] = i, seen_reference
    of_current[at_reference], of_current[at_now] = seen_now, j
    return of_reference, of_current, np.diff(ends, prepend=0) / (n * m)
