"""How far a reference's own rows lie apart, all columns together: kept with it, so that a window needs no permutations.

Null tables: the statistic of halves of the reference's rows, split at random 999 times, times nm/(n + m), on which its law hardly
depends once both sides have some 200 rows (Gretton et al. 2012, theorem 12; Székely & Rizzo 2013, section 5). Tolerances: twice what
consecutive chunks of the reference move against all others, which an unbiased squared distance says without the noise of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.energy import energy_statistics
from prodml_magics.stats.drift.joint.mmd import median_distance, mmd_statistics
from prodml_magics.stats.drift.joint.permutation import PERMUTATIONS, memberships
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


_Members = NDArray[np.float32]
_Floats = NDArray[np.float64]


class _Method(NamedTuple):
    """`statistics` of all ways to divide the rows, and what to divide each by for the square of the effect."""

    tolerance: float
    width: Callable[[Rows], float]
    statistics: Callable[[Rows, float, _Members], tuple[_Floats, _Floats]]


def _no_width(_rows: Rows) -> float:
    return math.nan


def _own_median(rows: Rows) -> float:
    return median_distance(rows, rows[:0])


def _mmd(rows: Rows, width: float, members: _Members) -> tuple[_Floats, _Floats]:
    found = mmd_statistics(rows, width, members)
    return found, np.ones_like(found)


def _energy(rows: Rows, _width: float, members: _Members) -> tuple[_Floats, _Floats]:
    between, found = energy_statistics(rows, members)
    return found, np.where(between > 0, 2 * between, 1.0)


_METHODS = {"mmd": _Method(0.05, _own_median, _mmd), "energy_joint": _Method(0.1, _no_width, _energy)}


def calibrate_jointly(rows: Rows) -> dict[str, JointCalibration]:
    """By method, from the reference's rows [n, columns] in their order; empty where there are fewer than 400."""
    if len(rows) < 2 * FEWEST_TABLE_ROWS:
        return {}
    own = standardised(rows, rows[:0])[0]
    if not own.shape[1]:
        return {}
    # one matrix of distances serves the halves and the chunks: it is what takes the time
    members = _members(len(own))
    return {name: _calibrated(own, members, method) for name, method in _METHODS.items()}


@lru_cache(1)
def _members(rows: int) -> _Members:
    """float32 [rows, 999 + 5], not to be written to: random halves of the rows, and consecutive chunks. They are always the same."""
    half = rows // 2
    found = np.concatenate([memberships(half, rows - half, PERMUTATIONS, 0)[:, 1:], _chunks(rows)], axis=1)
    found.flags.writeable = False
    return found


def _chunks(rows: int) -> _Members:
    """float32 [rows, 5]: whether a row lies in each of five consecutive chunks."""
    places = np.empty(rows, np.intp)
    for place, chunk in enumerate(np.array_split(np.arange(rows), _CHUNKS)):
        places[chunk] = place
    return (places[:, None] == np.arange(_CHUNKS)).astype(np.float32)


def _calibrated(rows: Rows, members: _Members, method: _Method) -> JointCalibration:
    width, half = method.width(rows), len(rows) // 2
    n, m = half, len(rows) - half
    statistics, scales = method.statistics(rows, width, members)
    null = statistics[:PERMUTATIONS] * (n * m / (n + m))
    moved = math.sqrt(max(0.0, float(np.mean(statistics[PERMUTATIONS:] / scales[PERMUTATIONS:]))))
    tolerance = min(_MOST_TIMES * method.tolerance, max(method.tolerance, 2 * moved))
    return JointCalibration(math.ceil(tolerance * 1e4) / 1e4, width, np.sort(null).astype(np.float32))


def table_p_value(null: NDArray[Any], statistic: float, n: int, m: int) -> float:
    """Share of the table, the given statistic counted in, that is at least as extreme; never 0."""
    beyond = len(null) - np.searchsorted(null, np.float32(statistic * (n * m / (n + m))), side="left")
    return float((beyond + 1) / (len(null) + 1))
