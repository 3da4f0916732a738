"""How far the vectors of a reference move by themselves: chunks of neighbouring rows, each held out and compared with all others.

The squared maximum mean discrepancy of a chunk from the rest is, with rows that are independent, on average what chance brings; what
it has beyond that is movement or correlation of neighbours, told apart by the length of the chunks as for all other columns
(`prodml_magics.stats.drift.calibration`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.calibration import CHUNKS, Variability, variability
from prodml_magics.stats.drift.joint.mmd import median_distance, rbf_kernel
from prodml_magics.stats.drift.joint.rows import MOST_ROWS, Rows

__all__ = ["runs", "variability_of_vectors"]

_NEGLIGIBLE = 2.0
"""Inflation of independent rows, by the noise of twenty chunks, hardly ever exceeds this."""
_LONGER = 4


def runs(rows: int) -> NDArray[np.intp]:
    """Places of at most 2,000 of the rows, as twenty runs of neighbours spread over all of them: correlation lies between neighbours."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    length = MOST_ROWS // CHUNKS
    starts = np.linspace(0, rows - length, CHUNKS).astype(np.intp)
    return (starts[:, None] + np.arange(length)).ravel()


def variability_of_vectors(rows: Rows) -> Variability:
    """Of the maximum mean discrepancy, from at most 2,000 vectors [rows, numbers] in their order, as `runs` takes them.

    Movement is in the unit of the effect, the root of MMD² with a kernel as wide as the median distance.
    """
    if not rows.size:
        return Variability()
    centred = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt((centred.astype(np.float64) ** 2).mean()))
    if not 0 < spread < np.inf:
        return Variability()
    scaled = centred / np.float32(spread)
    kernel = rbf_kernel(scaled, median_distance(scaled, scaled[:0])).astype(np.float64)
    place = np.arange(len(rows)) * CHUNKS // len(rows)
    return variability(_squares(kernel, place), _squares(kernel, place // _LONGER), _NEGLIGIBLE)


def _squares(kernel: NDArray[np.float64], place: NDArray[np.intp]) -> tuple[float, float]:
    """Mean squared discrepancy of the chunks from the rest, chance included, and what chance brings."""
    members = (place[:, None] == np.arange(place[-1] + 1)).astype(np.float64)
    sizes = members.sum(axis=0)
    rest = len(place) - sizes
    within = members.T @ kernel @ members
    inside, touching, total = np.diag(within), within.sum(axis=1), within.sum()
    own, between, others = inside / sizes**2, (touching - inside) / (sizes * rest), (total - 2 * touching + inside) / rest**2
    squared = own + others - 2 * between
    alike = float(np.trace(kernel) / len(kernel) - (total - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))
    return float(squared.mean()), float(alike * (1 / sizes + 1 / rest).mean())
