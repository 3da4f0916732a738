"""How much a reference differs from itself: chunks of its rows, each held out and compared with all others.

Rows that follow each other are rarely independent, and a training set moves while it is gathered. Both show in how far a
chunk lies from the rest of the reference (a chunk is never compared with rows that contain it), but differently: chance and
correlation between neighbours shrink with the length of the chunk, movement does not. Twenty chunks, and the same rows as
five longer ones, tell them apart:

    mean squared effect of a chunk of c rows  =  movement²  +  inflation · (what chance brings with c independent rows)

`inflation` divides the rows in every later bound and p-value (a variance inflation factor); twice `movement` is the smallest
tolerance that the reference itself would pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHUNKS",
    "FEWEST_CALIBRATION_ROWS",
    "Calibration",
    "Variability",
    "joined",
    "of_counts",
    "of_grid",
    "of_shares",
    "variability",
]

CHUNKS = 20
_LONGER = 4
FEWEST_CALIBRATION_ROWS = 1_000
"""A reference of fewer rows is too short to be held against itself; its columns keep the tolerances for bare frames."""

_LARGEST_INFLATION = 50.0
_NEGLIGIBLE_GAP, _NEGLIGIBLE_MEAN, _NEGLIGIBLE_SHARE = 1.5, 1.75, 2.0
"""Inflation of independent rows, by the noise of twenty chunks, hardly ever exceeds these; the gap's varies least."""
_SQUARED_KOLMOGOROV = math.pi**2 / 12
"""Mean of the square of Kolmogorov's limit variable."""
_FEWEST_PER_CHUNK = 5


class Variability(NamedTuple):
    """Of one kind of effect: `movement` between chunks in the unit of the effect, and `inflation` ≥ 1 of its variance."""

    movement: float = 0.0
    inflation: float = 1.0


class Calibration(NamedTuple):
    """Of a column: the variability of its values and of its missing share, and the rows that they rest on.

    `values` is that of the KS distance, of total variation or of the discrepancy of vectors; `movements` of other statistics, by name.
    """

    values: Variability
    missing: Variability
    rows: int
    movements: Mapping[str, float] = {}

    @property
    def correlation(self) -> Calibration:
        """Of it what correlation of neighbouring rows does; movement is NaN, so that tolerances are those for bare frames."""
        return Calibration(self.values._replace(movement=math.nan), self.missing._replace(movement=math.nan), self.rows)


_Floats = NDArray[np.float64]
_Squared = Callable[[_Floats, _Floats, _Floats], tuple[_Floats, _Floats]]
"""Shares of the chunks and of the rest [chunks, cells], 1/n + 1/m [chunks] → squared effects, and what chance would bring."""


def of_grid(counts: NDArray[np.int64]) -> Variability:
    """Variability of the KS distance, from counts int64 [CHUNKS, cells] on a grid.

    Movement is that of the largest gap. Inflation is taken from the mean of the squared gaps over the distribution: correlated rows
    move it as a whole, and the largest gap of such windows has longer tails than its mean square tells.
    """
    movement = _variability(counts, _squared_gap, _NEGLIGIBLE_GAP).movement
    return Variability(movement, _variability(counts, _mean_squared_gap, _NEGLIGIBLE_MEAN).inflation)


def of_counts(counts: NDArray[np.int64]) -> Variability:
    """Variability of the total variation, from counts int64 [CHUNKS, levels]; rare levels are pooled."""
    common = counts.sum(axis=0) >= _FEWEST_PER_CHUNK * CHUNKS
    pooled = np.column_stack([counts[:, common], counts[:, ~common].sum(axis=1)])
    return _variability(pooled[:, pooled.any(axis=0)], _squared_variation, _NEGLIGIBLE_SHARE)


def of_shares(hits: NDArray[np.int64], rows: NDArray[np.int64]) -> Variability:
    """Variability of a share, from hits and rows, each int64 [CHUNKS]."""
    return _variability(np.column_stack([hits, rows - hits]), _squared_change, _NEGLIGIBLE_SHARE)


def _variability(counts: NDArray[np.int64], squared: _Squared, negligible: float) -> Variability:
    if counts.shape[1] < 2:
        return Variability()
    return variability(_means(counts, squared), _means(joined(counts), squared), negligible)


def variability(short: tuple[float, float], long: tuple[float, float], negligible: float) -> Variability:
    """From the mean squared effect of short and of long chunks, each with what chance would bring; see the top of this file."""
    if not short[1] > long[1]:
        return Variability()
    inflation = (short[0] - long[0]) / (short[1] - long[1])
    inflation = min(inflation, _LARGEST_INFLATION) if inflation > negligible else 1.0
    return Variability(math.sqrt(max(0.0, long[0] - inflation * long[1])), inflation)


def joined(counts: NDArray[Any]) -> NDArray[Any]:
    """Counts [CHUNKS, cells] of the same rows as chunks four times as long."""
    return counts.reshape(-1, _LONGER, counts.shape[1]).sum(axis=1)


def _means(counts: NDArray[np.int64], squared: _Squared) -> tuple[float, float]:
    """Mean squared effect of the chunks that hold a row, and what chance would bring; NaN where there are fewer than two."""
    rest = counts.sum(axis=0) - counts
    n, m = counts.sum(axis=1), rest.sum(axis=1)
    used = (n > 0) & (m > 0)
    if used.sum() < 2:
        return math.nan, math.nan
    found, chance = squared(counts[used] / n[used, None], rest[used] / m[used, None], 1 / n[used] + 1 / m[used])
    return float(found.mean()), float(chance.mean())


def _squared_gap(chunk: _Floats, rest: _Floats, inverse: _Floats) -> tuple[_Floats, _Floats]:
    gaps = np.abs(np.cumsum(chunk - rest, axis=1)).max(axis=1)
    return gaps**2, _SQUARED_KOLMOGOROV * inverse


def _mean_squared_gap(chunk: _Floats, rest: _Floats, inverse: _Floats) -> tuple[_Floats, _Floats]:
    """∫ (F − G)² dH, H being the pooled distribution, and what chance would bring: ∫ H·(1 − H) dH · (1/n + 1/m)."""
    weight = (chunk + rest) / 2
    below = np.cumsum(weight, axis=1)
    gaps = np.cumsum(chunk - rest, axis=1)
    return (gaps**2 * weight).sum(axis=1), (below * (1 - below) * weight).sum(axis=1) * inverse


def _squared_variation(chunk: _Floats, rest: _Floats, inverse: _Floats) -> tuple[_Floats, _Floats]:
    """A quarter of Σ (p − q)²/q̄, which the squared total variation does not exceed (Cauchy–Schwarz)."""
    pooled = (chunk + rest) / 2
    terms = np.where(pooled > 0, (chunk - rest) ** 2 / np.where(pooled > 0, pooled, 1), 0.0)
    return terms.sum(axis=1) / 4, (chunk.shape[1] - 1) * inverse / 4


def _squared_change(chunk: _Floats, rest: _Floats, inverse: _Floats) -> tuple[_Floats, _Floats]:
    pooled = (chunk[:, 0] + rest[:, 0]) / 2
    return (chunk[:, 0] - rest[:, 0]) ** 2, pooled * (1 - pooled) * inverse
