"""What a drift looks like, in words: a change of unit, a changed sign, a shift, new categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.percent import percent

__all__ = ["level_hint", "number_hint"]

Quartiles = tuple[float, float, float]

_UNITS = (60.0, 3600.0, 24.0, 2.54, 25.4, 0.3048, 3.28084, 1.609344, 2.204623, 28.3495, 4.184, 1.8)
"""Common conversion factors besides the powers of ten; each counts in both directions."""

_TEMPERATURES = {
    "degrees Fahrenheit instead of Celsius": (1.8, 32.0),
    "degrees Celsius instead of Fahrenheit": (1 / 1.8, -32 / 1.8),
    "kelvins instead of degrees Celsius": (1.0, 273.15),
    "degrees Celsius instead of kelvins": (1.0, -273.15),
}
"""Conversions that also move the origin: factor, then offset."""

_SMALLEST = 1e-15
"""Factors below this, or above its inverse, are noise of rounding and not a unit."""

_CLOSE = 0.15
"""How far, in natural logarithms, the factors of location and of spread may lie apart to be called one factor; and how far, in
interquartile ranges, quartiles may lie from where a change would have put them."""

_WIDER = 1.3
"""From which ratio of interquartile ranges on a spread has changed."""


def number_hint(before: Quartiles, now: Quartiles, unit: str = "", moved: float = math.nan) -> str:
    """How far the values moved, and what kind of change their quartiles look like.

    `moved` is the Wasserstein distance in sd of the reference, NaN where undefined. A change is told as that of a unit (one
    factor in location and spread, near a power of ten or a common conversion), of a scale (any other factor), of a sign, of a
    temperature's degrees, as a shift (the spread as it was), or as a spread about the same median; the first that fits. `unit` is
    ``date`` or ``duration`` where the quartiles are seconds.
    """
    if unit == "date":
        form = "%Y-%m-%d %H:%M" if abs(now[1] - before[1]) >= 60 else "%Y-%m-%d %H:%M:%S"
        return f"median {_date(before[1], form)} in the reference, {_date(now[1], form)} now"
    far = f"moved by {_sd(moved)} sd; " if math.isfinite(moved) and moved >= _LEAST_MOVE else ""
    kind = _kind(before, now)
    return f"{far}looks like {kind}" if kind else f"{far}{_medians(before, now)}"


_LEAST_MOVE = 0.005


def _sd(moved: float) -> str:
    return f"{moved:.2f}" if moved < 0.1 else f"{moved:.1f}" if moved < 1_000 else f"{moved:.1e}"


def _kind(before: Quartiles, now: Quartiles) -> str:
    if not all(map(math.isfinite, (*before, *now))):
        return ""
    if _near((-before[2], -before[1], -before[0]), now) and not _near(before, now, 0.5):
        return "a changed sign"
    for name, (factor, offset) in _TEMPERATURES.items():
        expected = (factor * before[0] + offset, factor * before[1] + offset, factor * before[2] + offset)
        if _near(expected, now) and abs(offset) > (expected[2] - expected[0]) / 2:
            return name
    common = _common_factor(before, now)
    if common is not None:
        known = _unit_near(common)
        return f"a unit change {_times(known)}" if known else f"a scale {_times(common)}"
    return _shift_or_spread(before, now)


def _near(expected: Quartiles, found: Quartiles, within: float = _CLOSE) -> bool:
    """Whether quartiles lie where a change would have put them, to within a share of their range."""
    width = expected[2] - expected[0]
    return width > 0 and all(abs(one - other) <= within * width for one, other in zip(expected, found, strict=True))


def _shift_or_spread(before: Quartiles, now: Quartiles) -> str:
    width, wide = before[2] - before[0], now[2] - now[0]
    if width <= 0 or wide <= 0:
        return ""
    move = now[1] - before[1]
    if 1 / _WIDER < wide / width < _WIDER and 0.2 * width < abs(move) < 1e6 * width:
        return f"a shift of {move:+.3g}, from a median of {before[1]:.3g} to {now[1]:.3g}"
    if abs(move) <= 0.2 * max(width, wide) and not 1 / _WIDER < wide / width < _WIDER:
        return f"a spread {_times(wide / width)} about a median of {now[1]:.3g}"
    return ""


def _medians(before: Quartiles, now: Quartiles) -> str:
    """Both medians, in as many digits as tell them apart."""
    return next(
        f"median {before[1]:.{digits}g} in the reference, {now[1]:.{digits}g} now"
        for digits in (3, 6, 9, 12, 17)
        if digits == 17 or before[1] == now[1] or f"{before[1]:.{digits}g}" != f"{now[1]:.{digits}g}"
    )


def _date(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.3g} s"


def _common_factor(before: Quartiles, now: Quartiles) -> float | None:
    spread_before, spread_now = before[2] - before[0], now[2] - now[0]
    parts = (before[1], now[1], spread_before, spread_now)
    if not all(part != 0 for part in parts) or now[1] / before[1] <= 0:
        return None
    of_location, of_spread = now[1] / before[1], spread_now / spread_before
    if not _SMALLEST < of_location < 1 / _SMALLEST or not _SMALLEST < of_spread < 1 / _SMALLEST:
        return None
    if abs(math.log(of_location / of_spread)) > _CLOSE:
        return None
    factor = math.sqrt(of_location * of_spread)
    return factor if abs(math.log(factor)) > 2 * _CLOSE else None


def _unit_near(factor: float) -> float | None:
    """The power of ten or the conversion that a factor is meant to be, where there is one within ten percent."""
    size = abs(math.log10(factor))
    candidates = [10.0 ** round(size), *(unit if unit > 1 else 1 / unit for unit in _UNITS)]
    best = min(candidates, key=lambda candidate: abs(size - math.log10(candidate)))
    if best <= 1 or abs(size - math.log10(best)) >= 0.04:
        return None
    return best if factor > 1 else 1 / best


def _times(factor: float) -> str:
    """As ``×10`` or ``÷1,000``."""
    size = max(factor, 1 / factor)
    return f"{'×' if factor >= 1 else '÷'}{size:,.0f}" if size >= 1_000 else f"{'×' if factor >= 1 else '÷'}{size:.3g}"


def level_hint(levels: Sequence[str], before: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    """Name the level whose share changed most, or say how many rows have levels that the reference never had."""
    unseen = int(now[before == 0].sum())
    if unseen > 0.5 * _moved(before, now):
        example = _example(levels, before, now)
        return f"{percent(unseen / now.sum())} of the rows have categories that the reference never had, such as {example}"
    share_before, share_now = before / before.sum(), now / now.sum()
    i = int(np.abs(share_now - share_before).argmax())
    return f"'{levels[i]}' went from {percent(share_before[i])} to {percent(share_now[i])} of the rows"


def _moved(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    return float(np.abs(before / before.sum() * now.sum() - now).sum() / 2)


def _example(levels: Sequence[str], before: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    level = levels[int(np.where(before == 0, now, 0).argmax())]
    return f"'{level if len(level) <= 40 else level[:39] + '…'}'"
