"""Columns of vectors, such as embeddings of texts or images: have the rows as a whole moved?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.columns import Vectors
from prodml_magics.stats.drift.comparison import Comparison
from prodml_magics.stats.drift.joint.rows import drawn, spread
from prodml_magics.stats.drift.joint.table import JOINT, placed, problem_of
from prodml_magics.stats.drift.limits import limits_of_vectors
from prodml_magics.stats.drift.reference import EmbeddingColumn
from prodml_magics.stats.drift.verdict import Evidence

__all__ = ["compare_vectors", "distances_to_centre"]

_DEFAULT = "mmd"


def compare_vectors(
    column: EmbeddingColumn,
    found: Vectors,
    methods: Sequence[str],
    alpha: float,
    put: Callable[[Any], Any] = np.asarray,
    present_now: int | None = None,
    tolerances: Mapping[str, float] = MappingProxyType({}),
) -> Comparison:
    """By the first of `methods` that looks at many columns at once, else by MMD, on at most 2,000 rows of either side.

    Where neighbouring rows of the reference are alike, so many fewer are taken of either side, evenly spread, as tell the same (a
    permutation of rows that foretell each other would find drift in every window). The tolerance of MMD is what the reference itself
    moves, where it was calibrated; `tolerances` are those that hold in any case. Distances are those of the vectors as they are: all
    numbers have one scale. `put` moves rows to where they are to be computed, as for `find_jointly`; `present_now` are the rows that
    `found` was drawn from, where it was. Both sides need 40 present rows. An effect beyond all permutations has the p-value that a law
    tells: among many columns one in a thousand is not small.
    """
    name = next((method for method in methods if method in JOINT), _DEFAULT)
    statistic = JOINT[name]
    limits = limits_of_vectors(column, statistic.tolerance, alpha)
    if name != _DEFAULT:
        limits = limits._replace(tolerance=statistic.tolerance, calibrated=False)
    if name in tolerances:
        limits = limits._replace(tolerance=tolerances[name], calibrated=False)
    present = column.rows - column.missing
    pairs = ((column.values, present), (found.values, len(found.values)))
    before, now = _scaled(*(drawn(spread(values, limits.effective(rows)), seed=1) for values, rows in pairs))
    sizes = (len(before), len(now))
    if problem := problem_of(statistic, before.shape[1], *sizes):
        return Comparison(problem)
    sides = placed(statistic, before, now, put)
    made = statistic.find(sides[0], sides[1], alpha, None)
    low, said = max(0.0, min(made.effect, made.low)), f"{statistic.title} {made.effect:.2f}"
    told = (min(sizes), said, _hint(before, now), _rows_used(sizes, (present, present_now or len(found.values))))
    return Comparison(Evidence(made.effect, low, made.beyond, limits.tolerance, *told, calibrated=limits.calibrated))


def _rows_used(used: tuple[int, int], of: tuple[int, int]) -> str:
    """How many rows the finding rests on, where those are not all."""
    if used == of:
        return ""
    before, now = (f"all {rows:,}" if rows == whole else f"{rows:,} of {whole:,}" for rows, whole in zip(used, of, strict=True))
    return f"by {before} rows of the reference and {now} now"


def _scaled(before: NDArray[np.float32], now: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both sides less the reference's mean, over the root mean squared distance from it of a number (of both, where it is zero)."""
    if not len(before):
        return before, now
    centre = before.mean(axis=0, dtype=np.float64)
    sides = [side.astype(np.float64) - centre for side in (before, now)]
    spreads = [float(np.sqrt((side**2).mean())) if side.size else 0.0 for side in sides]
    unit = next((spread for spread in spreads if spread > 0), 1.0)
    with np.errstate(over="ignore"):
        return (sides[0] / unit).astype(np.float32), (sides[1] / unit).astype(np.float32).clip(-_FAR, _FAR)


_FAR = 1e6
"""What lies farther out is taken to be there, so that squares stay finite."""


def _hint(before: NDArray[np.float32], now: NDArray[np.float32]) -> str:
    """How far the centre of scaled vectors has moved, in root mean squared distances of the reference's vectors from theirs."""
    if not before.any():
        return "the vectors of the reference were all alike"
    return f"moved by {np.linalg.norm(now.mean(axis=0, dtype=np.float64)) / np.sqrt(before.shape[1]):.2f} sd as a whole"


def distances_to_centre(column: EmbeddingColumn, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each vector lies from the mean of the reference's, [rows]."""
    centre = column.values.mean(axis=0, dtype=np.float64)
    return np.linalg.norm(values - centre, axis=1)
