"""Rows of several numeric columns, kept together for the statistics that look at all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_COLUMNS", "MOST_ROWS", "JointRows", "Rows", "drawn", "joint_rows", "scale_of", "spread", "standardised"]

MOST_ROWS = 2_000
"""Rows that are kept of the reference, and looked at of now: time and memory grow with their square."""

MOST_COLUMNS = 256


_FAR = 10.0
"""Standard deviations of a normal law with the same quartiles, from which on a standard deviation is that of a few outliers."""

_FARTHEST = 30.0
"""Standardised values beyond count as these: a single one must not weigh more than all others together."""

_NORMAL_IQR = 1.349
"""Interquartile range of the standard normal law."""

Rows = NDArray[np.float32]


class JointRows(NamedTuple):
    """float32 [rows, names]: values less the middle of the reference, over its spread, as `scales` has them; NaN where missing.

    `inflation` ≥ 1 is how many neighbouring rows of the reference tell as much as one that stands alone.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    scales: tuple[tuple[float, float], ...]
    inflation: float = 1.0


def scale_of(values: NDArray[Any], mean: float, sd: float) -> tuple[float, float]:
    """Middle and spread of values [n]: their mean and standard deviation, or, where outliers make these, what the quartiles say.

    The spread is then that of a normal law with the same quartiles; columns whose quartiles are one value keep their moments.
    """
    if not len(values) or not sd > 0:
        return mean, sd
    lower, middle, upper = np.quantile(values.astype(np.float64), (0.25, 0.5, 0.75))
    width = float(upper - lower) / _NORMAL_IQR
    return (float(middle), width) if width > 0 and sd > _FAR * width else (mean, sd)


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
            middle, width = scales[name]
            table[:, place] = (columns[name][chosen] - middle) / width
    return JointRows(tuple(names), table, tuple(scales[name] for name in names))


def drawn(rows: Rows, seed: int) -> Rows:
    """At most 2,000 of the rows, in their order."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))]


def spread(rows: NDArray[Any], count: float) -> NDArray[Any]:
    """At most `count` of the rows (one at the least), evenly spread."""
    count = max(1, round(count))
    return rows if count >= len(rows) else rows[(2 * np.arange(count) + 1) * len(rows) // (2 * count)]


def standardised(x: Rows, y: Rows) -> tuple[Rows, Rows]:
    """Columns of both sides over the first one's spread, those without one left out, and gaps filled from the first.

    What is farther away than 30 of it counts as just as far.
    """
    generator = np.random.default_rng(0)
    before: list[NDArray[np.float64]] = []
    now: list[NDArray[np.float64]] = []
    for place in range(x.shape[1]):
        present = x[np.isfinite(x[:, place]), place].astype(np.float64)
        middle, width = scale_of(present, float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
        if width > 0:
            for side, found in ((x, before), (y, now)):
                column = (_filled(side[:, place], present, generator) - middle) / width
                found.append(np.clip(column, -_FARTHEST, _FARTHEST))
    return _stacked(before, len(x)), _stacked(now, len(y))


def _filled(values: NDArray[Any], present: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    gaps = ~np.isfinite(values)
    filled = values.astype(np.float64)
    filled[gaps] = generator.choice(present, int(gaps.sum()))
    return filled


def _stacked(columns: list[NDArray[np.float64]], rows: int) -> Rows:
    return np.array(columns, dtype=np.float32).reshape(len(columns), rows).T.copy()
