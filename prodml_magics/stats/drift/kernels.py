"""The numeric kernel: two sorted samples to the statistics of their difference, on the CPU with numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.ks import ks_distance
from prodml_magics.stats.drift.reference import bin_counts
from prodml_magics.stats.drift.shapes import Int, Real
from prodml_magics.stats.drift.wasserstein import wasserstein

__all__ = ["Kernel", "NumericStatistics", "Pair", "compute_with_numpy"]


class Pair(NamedTuple):
    """One numeric column: sorted reference, unsorted current values of the same dtype, bin edges; no NaN, no empty side."""

    reference: Real[NDArray[Any], " n"]
    current: Real[NDArray[Any], " m"]
    edges: Real[NDArray[Any], " edges"]


class NumericStatistics(NamedTuple):
    """KS distance, Wasserstein-1 in the column's unit (NaN with infinite values), current rows per bin and quartiles."""

    ks: float
    wasserstein: float
    counts: Int[NDArray[np.int64], " bins"]
    quartiles: tuple[float, float, float]


class Kernel(Protocol):
    """A backend: the same statistics for any number of columns."""

    def __call__(self, pairs: Sequence[Pair]) -> list[NumericStatistics]: ...


def compute_with_numpy(pairs: Sequence[Pair]) -> list[NumericStatistics]:
    """Statistics of every pair, columns spread over the cores (numpy's sort and search release the GIL)."""
    workers = min(len(pairs), os.cpu_count() or 1, 8)
    if workers < 2 or sum(len(pair.current) for pair in pairs) < 20_000:
        return [_one(pair) for pair in pairs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_one, pairs))


def _one(pair: Pair) -> NumericStatistics:
    current = np.sort(pair.current)
    finite = all(np.isfinite(values[[0, -1]]).all() for values in (pair.reference, current))
    return NumericStatistics(
        ks_distance(pair.reference, current),
        _defined(wasserstein(pair.reference, current)) if finite else np.nan,
        bin_counts(current, pair.edges),
        quartiles(current),
    )


def _defined(distance: float) -> float:
    """A distance beyond the largest float is undefined, not infinite."""
    return distance if np.isfinite(distance) else np.nan


def quartiles(values: Real[NDArray[Any], " n"]) -> tuple[float, float, float]:
    """First quartile, median and third quartile of sorted values: the values at the ranks ⌊n/4⌋, ⌊n/2⌋, ⌊3n/4⌋."""
    low, middle, high = (float(values[len(values) * k // 4]) for k in (1, 2, 3))
    return low, middle, high
