"""The grid of a reference column: its own quantiles, on which every window is counted alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "grid_counts", "grid_edges"]

CELLS = 120
"""Cells that a grid aims at: one holds about 1/120 of continuous reference rows, which bounds what counting hides. A multiple of the
ten bins, so that every edge of a bin is one of the grid."""


def grid_edges(values: NDArray[Any], cells: int = CELLS) -> NDArray[Any]:
    """Edges of a grid: values of the sorted sample at the ranks ⌈n·k/cells⌉, its smallest included, without repeats.

    Cell i holds the values above edge i−1 up to and including edge i: the first those up to the smallest of the sample, the
    last those beyond its largest, so that `edges + 1` cells cover every number. Empty where the sample is.
    """
    if not len(values):
        return values
    ranks = -(-len(values) * np.arange(1, cells + 1) // cells) - 1
    return np.unique(values[np.concatenate([[0], ranks])])


def grid_counts(sorted_values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of sorted values per cell, int64 [edges + 1]; time is a search of each edge, whatever the rows."""
    upto = np.searchsorted(sorted_values, edges, side="right")
    counts = np.append(upto, len(sorted_values)).astype(np.int64, copy=False)
    counts[1:] -= upto
    return counts
