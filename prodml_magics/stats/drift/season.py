"""An hourly series without its season and its memory: what is left is news."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_HOURS", "WEEK_HOURS", "Season", "fit_season", "news", "residuals"]

DAY_HOURS, WEEK_HOURS = 24, 168
_DAILY, _WEEKLY = 3, 2

_Floats = NDArray[np.float64]


class Season(NamedTuple):
    """Coefficients [11] of a mean, three daily and two weekly harmonics; `phi` is the correlation of successive residuals."""

    coefficients: _Floats
    phi: float

    @property
    def correlation_hours(self) -> float:
        """Hours until the correlation of residuals has fallen below 5 %; at least one."""
        return max(1.0, math.log(0.05) / math.log(min(self.phi, 0.999))) if self.phi > 0.05 else 1.0


def _harmonics(hours: NDArray[np.int64]) -> _Floats:
    """Design [hours, 11]; hours are counted from 1970, UTC."""
    turns = [k / DAY_HOURS for k in range(1, _DAILY + 1)] + [k / WEEK_HOURS for k in range(1, _WEEKLY + 1)]
    angles = 2 * np.pi * np.outer(hours % WEEK_HOURS, turns)
    return np.column_stack([np.ones(len(hours)), np.cos(angles), np.sin(angles)])


def fit_season(hours: NDArray[np.int64], values: _Floats) -> Season:
    """Least squares over the present values [hours], at least 22 of them; a constant series has no season."""
    present = ~np.isnan(values)
    design, found = _harmonics(hours[present]), values[present]
    coefficients: _Floats = np.zeros(design.shape[1])
    if np.ptp(found) > 1e-12 * np.abs(found).max(initial=0):
        coefficients = np.asarray(np.linalg.lstsq(design, found, rcond=None)[0], np.float64)
    else:
        coefficients[0] = found[0]
        return Season(coefficients, 0.0)
    left = np.full(len(values), np.nan)
    left[present] = found - design @ coefficients
    pairs = present[1:] & present[:-1] & (np.diff(hours) == 1)
    before, after = left[:-1][pairs], left[1:][pairs]
    power = float(before @ before)
    return Season(coefficients, min(max(float(before @ after) / power, -0.99), 0.99) if power > 0 else 0.0)


def residuals(season: Season, hours: NDArray[np.int64], values: _Floats) -> _Floats:
    """Values [hours] less their season."""
    return values - _harmonics(hours) @ season.coefficients


def news(season: Season, left: _Floats) -> _Floats:
    """Residuals [hours] of successive hours less what the hour before foretold; NaN where one of both is missing."""
    before = np.concatenate([[np.nan], left[:-1]])
    return left - season.phi * before if season.phi else left.copy()
