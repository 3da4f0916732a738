"""How far a reference's own rows lie apart, all columns together: kept with it, so that a window needs no permutations.

Null tables: the statistic of halves of the reference's rows, split at random 999 times, times nm/(n + m), on which its law hardly
depends once both sides have some 200 rows (Gretton et al. 2012, theorem 12; Székely & Rizzo 2013, section 5). Tolerances: twice what
consecutive chunks of the reference move against all others, which an unbiased squared distance says without the noise of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.energy import energy_of_rows, energy_statistics
from prodml_magics.stats.drift.joint.mmd import median_distance, mmd, mmd_statistics
from prodml_magics.stats.drift.joint.permutation import PERMUTATIONS
from prodml_magics.stats.drift.joint.rows import Rows, standardised

__all__ = ["FEWEST_TABLE_ROWS", "JointCalibration", "calibrate_jointly", "table_p_value"]

FEWEST_TABLE_ROWS = 200
"""Rows of both sides from which on a null table holds."""

_CHUNKS = 5
_MOST_TIMES = 5.0
"""The default tolerance times this is the largest that a reference may claim: one gathered in an order moves all the time."""


class JointCalibration(NamedTuple):
    """`null` float32 [999], sorted: the scaled statistic without drift. `width` is that of the kernel, NaN where there is none."""

    tolerance: float
    width: float
    null: NDArray[np.float32]


class _Method(NamedTuple):
    tolerance: float
    width: Callable[[Rows], float]
    null: Callable[[Rows, Rows, float], NDArray[np.float64]]
    squared: Callable[[Rows, Rows, float], float]


def _no_width(_rows: Rows) -> float:
    return math.nan


def _mmd_squared(x: Rows, y: Rows, width: float) -> float:
    return mmd(x, y, permutations=0, width=width).squared


def _energy_squared(x: Rows, y: Rows, _width: float) -> float:
    return energy_of_rows(x, y, permutations=0).coefficient


def _own_median(rows: Rows) -> float:
    return median_distance(rows, rows[:0])


def _energy_null(x: Rows, y: Rows, _width: float) -> NDArray[np.float64]:
    return energy_statistics(x, y, PERMUTATIONS, 0)


def _mmd_null(x: Rows, y: Rows, width: float) -> NDArray[np.float64]:
    return mmd_statistics(x, y, width, PERMUTATIONS, 0)


_METHODS = {
    "mmd": _Method(0.05, _own_median, _mmd_null, _mmd_squared),
    "energy_joint": _Method(0.1, _no_width, _energy_null, _energy_squared),
}


def calibrate_jointly(rows: Rows) -> dict[str, JointCalibration]:
    """By method, from the reference's rows [n, columns] in their order; empty where there are fewer than 400."""
    if len(rows) < 2 * FEWEST_TABLE_ROWS:
        return {}
    own = standardised(rows, rows[:0])[0]
    return {name: _calibrated(own, method) for name, method in _METHODS.items()} if own.shape[1] else {}


def _calibrated(rows: Rows, method: _Method) -> JointCalibration:
    width, half = method.width(rows), len(rows) // 2
    n, m = half, len(rows) - half
    null = method.null(rows[:half], rows[half:], width)[1:] * (n * m / (n + m))
    chunks = np.array_split(np.arange(len(rows)), _CHUNKS)
    squares = [method.squared(rows[chunk], np.delete(rows, chunk, axis=0), width) for chunk in chunks]
    moved = math.sqrt(max(0.0, float(np.mean(squares))))
    tolerance = min(_MOST_TIMES * method.tolerance, max(method.tolerance, 2 * moved))
    return JointCalibration(math.ceil(tolerance * 1e4) / 1e4, width, np.sort(null).astype(np.float32))


def table_p_value(null: NDArray[Any], statistic: float, n: int, m: int) -> float:
    """Share of the table, the given statistic counted in, that is at least as extreme; never 0."""
    beyond = len(null) - np.searchsorted(null, np.float32(statistic * (n * m / (n + m))), side="left")
    return float((beyond + 1) / (len(null) + 1))
