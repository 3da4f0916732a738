"""From evidence to a verdict: drifted, not drifted, or too few rows to tell, with the reason in a sentence."""

from __future__ import annotations

import math
from typing import NamedTuple

from prodml_magics.errors import InvalidInput

__all__ = ["FEWEST_ROWS", "Evidence", "Tolerances", "Verdict", "judge"]

FEWEST_ROWS = 20
"""Present rows that both sides need before a column's values are judged; with fewer the verdict is undecided."""


class _Limits(NamedTuple):
    numeric: float = 0.1
    categorical: float = 0.1
    missing: float = 0.05


class Tolerances(_Limits):
    """Effects up to these are harmless: KS distance, total variation, and change of the missing share, each in [0, 1)."""

    __slots__ = ()

    def __new__(cls, numeric: float = 0.1, categorical: float = 0.1, missing: float = 0.05) -> Tolerances:
        for name, limit in (("numeric", numeric), ("categorical", categorical), ("missing", missing)):
            if not 0 <= limit < 1:
                raise InvalidInput(f"a {name} tolerance of {limit} is not a share; give one from 0 up to, not including, 1")
        return super().__new__(cls, numeric, categorical, missing)


class Evidence(NamedTuple):
    """One test of one column: its effect, a lower bound for it, its p-value, and what it says in words."""

    effect: float
    effect_low: float
    p_value: float
    tolerance: float
    rows: int
    """Present rows on the smaller side."""
    finding: str
    """Such as ``KS distance 0.62``."""
    hint: str = ""
    """What it looks like, such as ``values about 10.0 times the reference's (unit change?)``."""
    note: str = ""
    """What is undefined, and why."""


class Verdict(NamedTuple):
    """`drifted` is None when undecided; the numbers are those of the evidence that decided, NaN when there was none."""

    drifted: bool | None
    reason: str
    effect: float = math.nan
    effect_low: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan


def judge(values: Evidence | str, missing: Evidence | None, adjusted: tuple[float, float], alpha: float) -> Verdict:
    """Join the evidence of a column's values (or why there is none) with that of its missing share.

    A test says drifted when its effect exceeds the tolerance and its adjusted p-value is at most alpha. Where the effect
    exceeds the tolerance and the p-value does not confirm it, the rows are too few to tell. The missing share decides
    when it has drifted, or may have, and the values have not; then the numbers are its own.
    """
    of_values = Verdict(None, values) if isinstance(values, str) else _single(values, adjusted[0], alpha)
    if missing is None:
        return of_values
    of_missing = _single(missing, adjusted[1], alpha)
    if of_values.drifted and of_missing.drifted:
        return of_values._replace(reason=f"{of_values.reason}; {of_missing.reason}")
    missing_decides = of_missing.drifted or (of_missing.drifted is None and of_values.drifted is False)
    return of_missing if missing_decides else of_values


def _single(evidence: Evidence, adjusted: float, alpha: float) -> Verdict:
    drifted, reason = _decision(evidence, adjusted, alpha)
    reason = f"{reason}; {evidence.note}" if evidence.note else reason
    return Verdict(drifted, reason, evidence.effect, evidence.effect_low, evidence.p_value, adjusted)


def _decision(evidence: Evidence, adjusted: float, alpha: float) -> tuple[bool | None, str]:
    tolerance = f"{evidence.tolerance:g}"
    if evidence.rows < FEWEST_ROWS:
        return None, f"{evidence.rows} rows are too few to tell; {FEWEST_ROWS} are needed"
    if evidence.effect <= evidence.tolerance:
        return False, f"{evidence.finding}, within the tolerance of {tolerance}"
    if math.isnan(adjusted):
        return None, f"{evidence.finding}, but every level is too rare to test"
    if adjusted > alpha:
        doubt = f"{evidence.rows} rows are too few to tell it from chance (adjusted p = {adjusted:.2g})"
        return None, f"{evidence.finding}, but {doubt}"
    return True, f"{evidence.finding}{f': {evidence.hint}' if evidence.hint else f', above the tolerance of {tolerance}'}"
