"""What a drift looks like, in words: a change of unit, a moved median, new categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

__all__ = ["level_hint", "number_hint"]

_UNITS = (60.0, 3600.0, 24.0, 2.54, 25.4, 0.3048, 3.28084, 1.609344, 2.204623, 28.3495, 4.184, 1.8)
"""Common conversion factors besides the powers of ten; each counts in both directions."""

_SMALLEST = 1e-15
"""Factors below this, or above its inverse, are noise of rounding and not a unit."""

_CLOSE = 0.15
"""How far, in natural logarithms, the factors of location and of spread may lie apart to be called one factor."""


def number_hint(before: tuple[float, float, float], now: tuple[float, float, float], unit: str = "") -> str:
    """Compare quartiles: one factor in location and spread reads as a scaling, anything else as a moved median.

    A median that moved by more than a fifth of the reference's interquartile range is also told in that unit. `unit` is
    ``date`` or ``duration`` where the quartiles are seconds.
    """
    if unit == "date":
        return f"median {_date(before[1])} in the reference, {_date(now[1])} now"
    factor = _common_factor(before, now)
    if factor is None:
        return f"median {before[1]:.3g} in the reference, {now[1]:.3g} now{_in_ranges(before, now)}"
    size = _short(max(factor, 1 / factor))
    times = (
        f"values about {size} times the reference's" if factor > 1 else f"values about {size} times smaller than the reference's"
    )
    return f"{times} (unit change?)" if _is_unit(factor) else times


def _in_ranges(before: tuple[float, float, float], now: tuple[float, float, float]) -> str:
    """The move of the median in interquartile ranges of the reference, where they are defined."""
    width, move = before[2] - before[0], abs(now[1] - before[1])
    if not (math.isfinite(width) and math.isfinite(move) and width > 0 and 0.2 * width < move < 1e6 * width):
        return ""
    return f" (moved by {move / width:.1f} IQR)"


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.3g} s"


def _common_factor(before: tuple[float, float, float], now: tuple[float, float, float]) -> float | None:
    spread_before, spread_now = before[2] - before[0], now[2] - now[0]
    parts = (before[1], now[1], spread_before, spread_now)
    if not all(math.isfinite(part) and part != 0 for part in parts) or now[1] / before[1] <= 0:
        return None
    of_location, of_spread = now[1] / before[1], spread_now / spread_before
    if not _SMALLEST < of_location < 1 / _SMALLEST or not _SMALLEST < of_spread < 1 / _SMALLEST:
        return None
    if abs(math.log(of_location / of_spread)) > _CLOSE:
        return None
    factor = math.sqrt(of_location * of_spread)
    return factor if abs(math.log(factor)) > 2 * _CLOSE else None


def _is_unit(factor: float) -> bool:
    size = abs(math.log10(factor))
    candidates = [float(round(size)), *(abs(math.log10(unit)) for unit in _UNITS)]
    return any(candidate > 0 and abs(size - candidate) < 0.04 for candidate in candidates)


def _short(factor: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(factor)))
    return f"{factor:.{digits}f}" if factor < 1000 else f"{factor:,.0f}"


def level_hint(levels: Sequence[str], before: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    """Name the level whose share changed most, or say how many rows have levels that the reference never had."""
    unseen = int(now[before == 0].sum())
    if unseen > 0.5 * _moved(before, now):
        example = _example(levels, before, now)
        return f"{unseen / now.sum():.1%} of the rows have categories that the reference never had, such as {example}"
    share_before, share_now = before / before.sum(), now / now.sum()
    i = int(np.abs(share_now - share_before).argmax())
    return f"'{levels[i]}' went from {share_before[i]:.1%} to {share_now[i]:.1%} of the rows"


def _moved(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    return float(np.abs(before / before.sum() * now.sum() - now).sum() / 2)


def _example(levels: Sequence[str], before: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    level = levels[int(np.where(before == 0, now, 0).argmax())]
    return f"'{level if len(level) <= 40 else level[:39] + '…'}'"
