"""The statistics that were asked for by name, and the evidence of the one that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.bootstrap import bootstrap_lower_bound
from prodml_magics.stats.drift.columns import Levels
from prodml_magics.stats.drift.comparison import Comparison, paired_counts
from prodml_magics.stats.drift.kernels import Pair
from prodml_magics.stats.drift.limits import Limits, tolerance_of
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn
from prodml_magics.stats.drift.statistics import STATISTICS, Scale, Statistic
from prodml_magics.stats.drift.support import Support, compressed, pooled
from prodml_magics.stats.drift.verdict import Evidence

__all__ = ["with_count_statistics", "with_numeric_statistics"]

_CELLS = 256
"""Points of the support that a bootstrap resamples; the effect itself is that of all points."""

_DEFAULTS = ("ks", "tv")
"""Decided by a bound of their own, without a bootstrap."""


def with_numeric_statistics(
    comparison: Comparison, pair: Pair, column: NumericColumn, names: Sequence[str], limits: Limits, given: float | None = None
) -> Comparison:
    """`comparison` with the named statistics that apply to numbers, decided by the first of them that is defined.

    Its tolerance is the `given` one, else that of the column.
    """
    wanted = [name for name in names if STATISTICS[name].applies("numeric")]
    if not wanted or not isinstance(comparison.evidence, Evidence):
        return comparison
    support = pooled(pair.reference, np.sort(pair.current), pair.edges)
    scale = Scale(column.sd, column.iqr)
    effects = {name: _number(STATISTICS[name].numeric, support, scale) for name in wanted}
    values = {name: _number(STATISTICS[name].value, support, scale, effects[name]) for name in wanted}
    decider = next((name for name in wanted if math.isfinite(effects[name])), "")
    infinite = comparison.evidence.note or not math.isfinite(scale.sd) or not math.isfinite(scale.iqr)
    default = _noted(comparison.evidence, effects, "infinite or huge values" if infinite else "lack of spread")
    decided = comparison._replace(evidence=default, extra=values)
    if not decider or decider in _DEFAULTS:
        return decided
    statistic = STATISTICS[decider]
    sizes = limits.effective(len(pair.reference)), limits.effective(len(pair.current))
    # The statistics of the tests grow with the rows: with correlated ones, those of as many independent rows count.
    p_value = _p_value(statistic, (values[decider] / limits.inflation, *sizes))
    low = _low_of_numbers(statistic, support, scale, limits)
    tolerance = tolerance_of(column, decider, statistic.tolerance, given)
    return decided._replace(evidence=_evidence(default, statistic, effects[decider], low, p_value, tolerance))


def _noted(evidence: Evidence, effects: Mapping[str, float], why: str) -> Evidence:
    """Evidence that says which of the named statistics are undefined."""
    undefined = [name for name, effect in effects.items() if not math.isfinite(effect)]
    note = f"{', '.join(undefined)} undefined for {why}" if undefined else ""
    return evidence._replace(note="; ".join(filter(None, (evidence.note, note))))


def _number(measure: Any, *arguments: Any) -> float:
    """A measure's value, the last argument where there is no measure, NaN for what is infinite."""
    if measure is None:
        return float(arguments[-1])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        value = float(measure(*arguments[:2]))
    return value if math.isfinite(value) else math.nan


def _low_of_numbers(statistic: Statistic, support: Support, scale: Scale, limits: Limits) -> float:
    few = compressed(support, _CELLS)
    numeric = statistic.numeric
    assert numeric is not None

    def effect(before: NDArray[Any], now: NDArray[Any]) -> Any:
        return numeric(few._replace(before=before, now=now), scale)

    rows = limits.effective(int(support.before.sum())), limits.effective(int(support.now.sum()))
    return bootstrap_lower_bound(few.before, few.now, effect, rows=rows, alpha=limits.alpha)


def with_count_statistics(
    comparison: Comparison, column: LevelColumn, found: Levels, names: Sequence[str], limits: Limits, given: float | None = None
) -> Comparison:
    """`comparison` with the named statistics that apply to categories, decided by the first of them that is defined; its tolerance may
    be given."""
    wanted = [name for name in names if STATISTICS[name].applies("categorical")]
    if not wanted or not isinstance(comparison.evidence, Evidence):
        return comparison
    _, before, now = paired_counts(column, found)
    effects = {name: _number(STATISTICS[name].categorical, before, now) for name in wanted}
    values = {name: _number(STATISTICS[name].value, before, now, effects[name]) for name in wanted}
    decider = next((name for name in wanted if math.isfinite(effects[name])), "")
    default = _noted(comparison.evidence, effects, "lack of a second level")
    decided = comparison._replace(evidence=default, extra=values)
    if not decider or decider in _DEFAULTS:
        return decided
    statistic = STATISTICS[decider]
    assert statistic.categorical is not None
    rows = limits.effective(int(before.sum())), limits.effective(int(now.sum()))
    low = bootstrap_lower_bound(before, now, statistic.categorical, rows=rows, alpha=limits.alpha)
    p_value = _p_value(statistic, (before, now)) if limits.inflation == 1 else None
    tolerance = tolerance_of(column, decider, statistic.tolerance, given)
    return decided._replace(evidence=_evidence(default, statistic, effects[decider], low, p_value, tolerance))


def _p_value(statistic: Statistic, arguments: tuple[Any, ...]) -> float | None:
    """Of the statistic's own test, None where it has none."""
    return None if statistic.p_value is None else partial(statistic.p_value, *arguments)()


def _evidence(
    default: Evidence, statistic: Statistic, effect: float, low: float, p_value: float | None, tolerance: tuple[float, bool]
) -> Evidence:
    """Evidence by this statistic; without a test of its own that of the default one (KS, chi-squared) asks whether anything moved."""
    return default._replace(
        effect=effect,
        effect_low=0.0 if math.isnan(low) else min(low, effect),
        p_value=default.p_value if p_value is None else p_value,
        tolerance=tolerance[0],
        finding=f"{statistic.title} {effect:.2f}",
        chance=0.0,
        needed=None,
        calibrated=tolerance[1],
    )
