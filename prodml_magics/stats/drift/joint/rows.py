"""Rows of several numeric columns, kept together for the statistics that look at all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_COLUMNS", "MOST_ROWS", "JointRows", "joint_rows"]

MOST_ROWS = 2_000
"""Rows that are kept of the reference, and looked at of now: time and memory grow with their square."""

MOST_COLUMNS = 256


class JointRows(NamedTuple):
    """float32 [rows, names]: values less the reference's mean, over its standard deviation; NaN where missing."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


def joint_rows(
    columns: Mapping[str, NDArray[np.float64]], scales: Mapping[str, tuple[float, float]], names: Sequence[str], seed: int
) -> JointRows:
    """At most 2,000 rows, drawn by `seed` and kept in order, of columns float64 [rows] with NaN where missing."""
    rows = len(columns[names[0]]) if names else 0
    chosen = np.arange(rows)
    if rows > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    table = np.full((len(chosen), len(names)), np.nan, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for place, name in enumerate(names):
            mean, sd = scales[name]
            table[:, place] = (columns[name][chosen] - mean) / sd
    return JointRows(tuple(names), table)
