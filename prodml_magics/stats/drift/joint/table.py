"""The statistics of all numeric columns at once, by the name that `--method` takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from prodml_magics.stats.drift.joint.calibration import FEWEST_TABLE_ROWS, JointCalibration, table_p_value
from prodml_magics.stats.drift.joint.classifier import classifier_test
from prodml_magics.stats.drift.joint.energy import energy_of_rows
from prodml_magics.stats.drift.joint.mmd import mmd, mmd_linear
from prodml_magics.stats.drift.joint.pca import reconstruction_shift
from prodml_magics.stats.drift.joint.rows import MOST_ROWS, Rows, standardised

__all__ = ["FEWEST_JOINT_ROWS", "JOINT", "JointFinding", "find_jointly", "find_nothing", "placed", "problem_of"]

FEWEST_JOINT_ROWS = 40


class _Found(NamedTuple):
    effect: float
    low: float
    p_value: float
    beyond: float
    """The p-value; of an effect beyond all permutations what a law tells."""
    high: float = math.nan
    """The upper end of the interval, where it is told."""


class JointStatistic(NamedTuple):
    """Its `title`, the effect up to which it counts as harmless, and rows × rows × alpha → effect, lower bound,
    p-value, by permutations unless a null table is known."""

    title: str
    tolerance: float
    find: Callable[[Rows, Rows, float, JointCalibration | None], _Found]
    columns: int = 1
    """Fewest columns."""
    anywhere: bool = False
    """Whether it takes JAX arrays as well."""


class JointFinding(NamedTuple):
    """What one statistic says of all numeric columns; NaN and a reason where it is undefined, `drifted` None when undecided."""

    method: str
    effect: float
    effect_low: float
    p_value: float
    tolerance: float
    drifted: bool | None
    reason: str
    columns: int
    n_reference: int
    n_current: int
    effect_high: float = math.nan
    """Upper confidence bound, where the statistic tells one."""


def _root(squared: float) -> float:
    return math.sqrt(max(0.0, squared))


def _mmd(x: Rows, y: Rows, alpha: float, known: JointCalibration | None) -> _Found:
    if known is None:
        found = mmd(x, y, alpha=alpha)
    else:
        found = mmd(x, y, alpha=alpha, permutations=0, width=known.width)
        found = found._replace(p_value=table_p_value(known.null, found.squared, len(x), len(y)))
    return _Found(_root(found.squared), _root(found.low), found.p_value, found.beyond)


def _mmd_linear(x: Rows, y: Rows, alpha: float, _known: JointCalibration | None) -> _Found:
    found = mmd_linear(x, y, alpha=alpha)
    return _Found(_root(found.squared), _root(found.low), found.p_value, found.beyond)


def _energy(x: Rows, y: Rows, alpha: float, known: JointCalibration | None) -> _Found:
    if known is None:
        found = energy_of_rows(x, y, alpha=alpha)
    else:
        found = energy_of_rows(x, y, alpha=alpha, permutations=0)
        found = found._replace(p_value=table_p_value(known.null, found.statistic, len(x), len(y)))
    return _Found(_root(found.coefficient), _root(found.low), found.p_value, found.beyond)


def _pca(x: Rows, y: Rows, alpha: float, _known: JointCalibration | None) -> _Found:
    found = reconstruction_shift(x, y, alpha=alpha)
    return _Found(found.effect, found.low, found.p_value, found.beyond)


def _classifier(x: Rows, y: Rows, alpha: float, _known: JointCalibration | None) -> _Found:
    found = classifier_test(x, y, alpha=alpha)
    return _Found(found.auc, found.low, found.p_value, found.beyond, found.high)


JOINT: dict[str, JointStatistic] = {
    "mmd": JointStatistic("maximum mean discrepancy", 0.05, _mmd, anywhere=True),
    "mmd_linear": JointStatistic("maximum mean discrepancy (linear time)", 0.05, _mmd_linear),
    "energy_joint": JointStatistic("root of the energy coefficient", 0.1, _energy, anywhere=True),
    "pca": JointStatistic("KS distance of the reconstruction errors", 0.1, _pca, columns=2),
    "classifier": JointStatistic("held-out AUC of a classifier of then and now", 0.55, _classifier),
}
"""By the name that `--method` takes."""


def find_jointly(
    methods: Sequence[str],
    x: Rows,
    y: Rows,
    alpha: float,
    put: Callable[[Rows], Any] = np.asarray,
    known: Mapping[str, JointCalibration] = MappingProxyType({}),
    tolerances: Mapping[str, float] = MappingProxyType({}),
) -> list[JointFinding]:
    """Each of the named statistics on rows [n, columns] of the reference and [m, columns] of now.

    Missing and infinite values are replaced by values drawn from the reference's column, since the missing share is judged
    of its own; columns are divided by the reference's standard deviation, those without one are left out. A finding counts as
    drift when effect and lower bound exceed the tolerance and the p-value, times the number of methods, is at most alpha.
    `known` is what the reference's calibration says of some of the methods, where these are all of its rows and columns; `tolerances`
    are those that hold in any case.
    `put` moves rows to where they are to be computed (``jax.numpy.asarray``), for the statistics that can be elsewhere.
    """
    before, now = standardised(x, y)
    return [_finding(name, before, now, alpha, len(methods), put, known.get(name), tolerances.get(name)) for name in methods]


def find_nothing(methods: Sequence[str], reason: str) -> tuple[JointFinding, ...]:
    """The same, where there is nothing to compare."""
    undefined = (math.nan, math.nan, math.nan)
    return tuple(JointFinding(name, *undefined, JOINT[name].tolerance, None, reason, 0, 0, 0) for name in methods)


def _finding(
    name: str,
    x: Rows,
    y: Rows,
    alpha: float,
    methods: int,
    put: Callable[[Rows], Any],
    known: JointCalibration | None,
    given: float | None,
) -> JointFinding:
    statistic = JOINT[name]
    if known is not None:
        statistic = statistic._replace(tolerance=known.tolerance)
    if given is not None:
        statistic = statistic._replace(tolerance=given)
    columns, n, m = x.shape[1], len(x), len(y)
    problem = problem_of(statistic, columns, n, m)
    if problem:
        return JointFinding(name, math.nan, math.nan, math.nan, statistic.tolerance, None, problem, columns, n, m)
    before, now = placed(statistic, x, y, put)
    tabled = known if known is not None and min(n, m) >= FEWEST_TABLE_ROWS else None
    found = statistic.find(before, now, alpha, tabled)
    drifted, reason = _verdict(statistic, found, min(1.0, found.p_value * methods), alpha)
    told = (found.effect, found.low, found.p_value, statistic.tolerance, drifted, reason)
    return JointFinding(name, *told, columns, n, m, found.high)


def placed(statistic: JointStatistic, x: Rows, y: Rows, put: Callable[[Rows], Any]) -> tuple[Any, Any]:
    """Both sides where they are to be computed.

    Fewer rows of now than are looked at of any large window stay where they are: kernels are compiled for each number of rows, which
    takes longer than they do with numpy, so that windows of changing sizes would compile without end.
    """
    return (put(x), put(y)) if statistic.anywhere and len(y) >= MOST_ROWS else (x, y)


def problem_of(statistic: JointStatistic, columns: int, n: int, m: int) -> str:
    """Why there is nothing to tell of so many columns and rows; empty where there is."""
    if columns < statistic.columns:
        are = "1 numeric column that varies is" if columns == 1 else f"{columns} numeric columns that vary are"
        return f"{are} too few; {statistic.columns} are needed"
    fewest = min(n, m)
    return f"{fewest} rows are too few to tell; {FEWEST_JOINT_ROWS} are needed" if fewest < FEWEST_JOINT_ROWS else ""


def _verdict(statistic: JointStatistic, found: _Found, adjusted: float, alpha: float) -> tuple[bool | None, str]:
    interval = f" ({found.low:.2f} to {found.high:.2f})" if math.isfinite(found.high) else ""
    said, tolerance = f"{statistic.title} {found.effect:.2f}{interval}", f"the tolerance of {statistic.tolerance:g}"
    if found.effect <= statistic.tolerance:
        return False, f"{said}, within {tolerance}"
    if adjusted > alpha:
        return None, f"{said}, but that may be chance (adjusted p = {adjusted:.2g})"
    if found.low <= statistic.tolerance:
        return None, f"{said}, at least {found.low:.2f}, which does not tell it from {tolerance}"
    return True, f"{said}, above {tolerance}"
