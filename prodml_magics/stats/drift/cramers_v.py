"""Cramér's V: how strongly category and side are associated, whatever the number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.chi_squared import chi_squared
from prodml_magics.stats.drift.shapes import Float, Int

__all__ = ["cramers_v"]


def cramers_v(
    reference: Int[NDArray[Any], "... levels"], current: Int[NDArray[Any], "... levels"]
) -> Float[NDArray[np.float64], " ..."]:
    """Cramér's V of the 2 × levels table in [0, 1], corrected for its bias, over the last axis of count arrays [..., levels].

    √(φ̃²/min(l̃ − 1, 1)) with φ̃² = max(0, χ²/N − (l − 1)/(N − 1)) and both dimensions corrected likewise (Bergsma 2013, J.
    Korean Stat. Soc. 42, 323–328). NaN where fewer than two levels have rows. Sides of unequal size cannot reach 1.
    """
    total = (reference.sum(axis=-1) + current.sum(axis=-1)).astype(np.float64)
    levels = ((reference + current) > 0).sum(axis=-1)
    rest = np.maximum(total - 1, 1)
    squared = np.maximum(0.0, chi_squared(reference, current) / total - (levels - 1) / rest)
    sides, width = 2 - 1 / rest, levels - (levels - 1) ** 2 / rest
    smaller = np.minimum(sides, width) - 1
    defined = (levels > 1) & (smaller > 0)
    return np.where(defined, np.sqrt(np.minimum(1.0, squared / np.where(defined, smaller, 1))), np.nan)
