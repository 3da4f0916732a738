"""From evidence to a verdict: drifted, not drifted, or too few rows to tell, with the reason in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from prodml_magics.errors import InvalidInput

__all__ = ["FEWEST_ROWS", "Evidence", "Tolerances", "Verdict", "judge", "sentence_of"]

FEWEST_ROWS = 20
"""Present rows that both sides need before a column's values are judged; with fewer the verdict is undecided."""


class _Limits(NamedTuple):
    numeric: float = 0.1
    categorical: float = 0.1
    missing: float = 0.05
    unseen: float = 0.1


class Tolerances(_Limits):
    """Effects up to these are harmless: KS distance, total variation, change of the missing share, share of rows with
    categories that the reference never had; each in [0, 1)."""

    __slots__ = ()

    def __new__(cls, numeric: float = 0.1, categorical: float = 0.1, missing: float = 0.05, unseen: float = 0.1) -> Tolerances:
        limits = {"numeric": numeric, "categorical": categorical, "missing": missing, "unseen": unseen}
        for name, limit in limits.items():
            if not 0 <= limit < 1:
                raise InvalidInput(f"a {name} tolerance of {limit} is not a share; give one from 0 up to, not including, 1")
        return super().__new__(cls, **limits)


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
    """What it looks like, such as ``moved by 1.9 sd; looks like a unit change ×10``."""
    note: str = ""
    """What is undefined, and why."""
    chance: float = 0.0
    """Effect to expect without drift, where the rows are enough to see the tolerance beyond it; else 0."""
    needed: int | None = None
    """Rows with which this effect would be told from the tolerance; None when not even any number would, or unknown."""
    calibrated: bool = False
    """Whether the tolerance comes from what the reference itself moves."""
    reference_is_smaller: bool = False

    @property
    def rows_are(self) -> str:
        """The rows of the smaller side as a sentence begins with them."""
        own, rows = (
            "the reference's " if self.reference_is_smaller else "",
            "1 row is" if self.rows == 1 else f"{self.rows:,} rows are",
        )
        return own + rows


class Verdict(NamedTuple):
    """`drifted` is None when undecided; the numbers are those of the evidence that decided, NaN when there was none."""

    drifted: bool | None
    reason: str
    effect: float = math.nan
    effect_low: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan
    tolerance: float = math.nan
    hint: str = ""
    """What the drift looks like, in words; empty where there is nothing to add to the reason."""
    calibrated: bool = False
    """Whether the tolerance comes from what the reference itself moves."""


def sentence_of(name: str, verdict: Verdict, *, briefly: bool = True) -> str:
    """The verdict on a column as one reads it out; with its reason in full unless `briefly`.

    >>> sentence_of("mean radius", Verdict(True, "KS distance 1.00", hint="moved by 1.9 sd; looks like a unit change ×10"))
    '`mean radius` moved by 1.9 sd; looks like a unit change ×10'
    """
    if verdict.drifted is None:
        return f"`{name}` is undecided: {verdict.reason}"
    if not verdict.drifted:
        return f"`{name}` has not drifted: {verdict.reason}"
    told = verdict.hint if briefly and verdict.hint else verdict.reason
    return f"`{name}` {told}" if told.startswith(("moved by ", "looks like ")) else f"`{name}`: {told}"


def judge(values: Evidence | str, others: Sequence[Evidence], adjusted: Sequence[float], alpha: float) -> Verdict:
    """Join the evidence of a column's values (or why there is none) with that of its missing and its unseen share.

    A test says drifted when its effect exceeds the tolerance, the lower confidence bound of the effect does too, and its
    adjusted p-value is at most alpha. Where the effect exceeds the tolerance and the other two do not agree, the rows are too
    few to tell, unless chance explains the effect and enough rows would have shown more. `adjusted` holds the p-value of
    the values first. One of the others decides when it has drifted, or may have, and the values have not; then the
    numbers are its own.
    """
    first = Verdict(None, values) if isinstance(values, str) else _single(values, adjusted[0], alpha)
    rest = [_single(evidence, p, alpha) for evidence, p in zip(others, adjusted[1:], strict=True)]
    drifted = [verdict for verdict in (first, *rest) if verdict.drifted]
    if drifted:
        told = "; ".join(verdict.hint or verdict.reason for verdict in drifted)
        return drifted[0]._replace(reason="; ".join(verdict.reason for verdict in drifted), hint=told)
    doubtful = [verdict for verdict in rest if verdict.drifted is None]
    return doubtful[0] if doubtful and first.drifted is False else first


def _single(evidence: Evidence, adjusted: float, alpha: float) -> Verdict:
    drifted, reason = _decision(evidence, adjusted, alpha)
    reason = f"{reason}; {evidence.note}" if evidence.note else reason
    numbers = (evidence.effect, evidence.effect_low, evidence.p_value, adjusted, evidence.tolerance)
    return Verdict(drifted, reason, *numbers, evidence.hint, evidence.calibrated)


def _decision(evidence: Evidence, adjusted: float, alpha: float) -> tuple[bool | None, str]:
    tolerance = f"{evidence.tolerance:.2g}"
    if evidence.rows < FEWEST_ROWS:
        return None, f"{evidence.rows_are} too few to tell; {FEWEST_ROWS} are needed"
    if evidence.effect <= evidence.tolerance:
        return False, f"{evidence.finding}, within the tolerance of {tolerance}"
    if math.isnan(adjusted):
        return None, f"{evidence.finding}, but every level is too rare to test"
    by_chance = evidence.effect - evidence.chance <= evidence.tolerance
    if adjusted > alpha and by_chance:
        return False, f"{evidence.finding}, as chance brings in {evidence.rows:,} rows of so many levels"
    if adjusted > alpha:
        doubt = f"{evidence.rows_are} too few to tell it from chance (adjusted p = {adjusted:.2g})"
        return None, f"{evidence.finding}, but {doubt}{_needed(evidence)}"
    if evidence.effect_low <= evidence.tolerance:
        doubt = f"{evidence.rows_are} too few to tell it from the tolerance of {tolerance}"
        return None, f"{evidence.finding}, at least {evidence.effect_low:.2f}, but {doubt}{_needed(evidence)}"
    return True, f"{evidence.finding}{f': {evidence.hint}' if evidence.hint else f', above the tolerance of {tolerance}'}"


def _needed(evidence: Evidence) -> str:
    return f"; about {evidence.needed:,} would be enough" if evidence.needed else ""
