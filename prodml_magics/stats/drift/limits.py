"""What counts as harmless for one column, and how many independent rows its rows are worth."""

from __future__ import annotations

import math
from typing import NamedTuple

from prodml_magics.stats.drift.calibration import Variability
from prodml_magics.stats.drift.reference import Column, NumericColumn
from prodml_magics.stats.drift.verdict import Tolerances

__all__ = ["Limits", "limits_of_missing", "limits_of_values", "limits_of_vectors", "tolerance_of"]

_SMALLEST, _SMALLEST_MISSING = 0.05, 0.025
_LARGEST = 0.3
"""A reference that moves more than this was gathered in an order (sorted by a label, say); it must not silence every alarm."""
_MOST_TIMES = 5.0
"""The same of vectors, as a multiple of their default tolerance."""
_DEFAULT = Tolerances()


class Limits(NamedTuple):
    """Tolerance of an effect, error rate of its bound, and the factor by which correlation of rows inflates variances."""

    tolerance: float
    alpha: float
    inflation: float = 1.0
    calibrated: bool = False
    """Whether the tolerance is what the reference itself moves."""

    def effective(self, rows: int) -> int:
        """Independent rows that tell as much as `rows` do; at least 1."""
        return rows if self.inflation == 1 else max(1, round(rows / self.inflation))


def limits_of_values(column: Column, tolerances: Tolerances | None, alpha: float) -> Limits:
    """Limits of a column's values: the given tolerances, else twice what its reference moves, else the default ones."""
    place = 0 if isinstance(column, NumericColumn) else 1
    calibrated = None if column.calibration is None else column.calibration.values
    return _limits(calibrated, None if tolerances is None else tolerances[place], _DEFAULT[place], _SMALLEST, alpha)


def limits_of_missing(column: Column, tolerances: Tolerances | None, alpha: float) -> Limits:
    """Limits of the change of a column's missing share."""
    calibrated = None if column.calibration is None else column.calibration.missing
    given = None if tolerances is None else tolerances.missing
    return _limits(calibrated, given, _DEFAULT.missing, _SMALLEST_MISSING, alpha)


def tolerance_of(column: Column, method: str, default: float, given: float | None) -> tuple[float, bool]:
    """Tolerance of a statistic by name, and whether it is what the reference itself moves: the given one, else twice its movement
    between chunks, from a half to three times the default, else that."""
    movement = None if column.calibration is None else column.calibration.movements.get(method)
    if given is not None or movement is None:
        return default if given is None else given, False
    return min(3 * default, math.ceil(max(default / 2, 2 * movement) * 1e4) / 1e4), True


def limits_of_vectors(column: Column, tolerance: float, alpha: float) -> Limits:
    """Limits of the maximum mean discrepancy of vectors, whose default tolerance is given; it is the smallest as well."""
    calibrated = None if column.calibration is None else column.calibration.values
    return _limits(calibrated, None, tolerance, tolerance, alpha, _MOST_TIMES * tolerance)


def _limits(
    found: Variability | None, given: float | None, default: float, smallest: float, alpha: float, largest: float = _LARGEST
) -> Limits:
    if found is None or math.isnan(found.movement):
        return Limits(default if given is None else given, alpha, 1.0 if found is None else found.inflation)
    own = math.ceil(min(largest, max(smallest, 2 * found.movement)) * 1e4) / 1e4
    return Limits(own if given is None else given, alpha, found.inflation, given is None)
