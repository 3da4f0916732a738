"""The statistics of all numeric columns at once, by the name that `--method` takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.joint.classifier import classifier_test
from prodml_magics.stats.drift.joint.energy import energy_of_rows
from prodml_magics.stats.drift.joint.mmd import mmd, mmd_linear
from prodml_magics.stats.drift.joint.pca import reconstruction_shift

__all__ = ["FEWEST_JOINT_ROWS", "JOINT", "JointFinding", "find_jointly", "find_nothing"]

FEWEST_JOINT_ROWS = 40

Rows = NDArray[np.float32]


class _Found(NamedTuple):
    effect: float
    low: float
    p_value: float


class JointStatistic(NamedTuple):
    """Its `title`, the effect up to which it counts as harmless, and rows × rows × alpha → effect, lower bound, p-value."""

    title: str
    tolerance: float
    find: Callable[[Rows, Rows, float], _Found]
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


def _root(squared: float) -> float:
    return math.sqrt(max(0.0, squared))


def _mmd(x: Rows, y: Rows, alpha: float) -> _Found:
    found = mmd(x, y, alpha=alpha)
    return _Found(_root(found.squared), _root(found.low), found.p_value)


def _mmd_linear(x: Rows, y: Rows, alpha: float) -> _Found:
    found = mmd_linear(x, y, alpha=alpha)
    return _Found(_root(found.squared), _root(found.low), found.p_value)


def _energy(x: Rows, y: Rows, alpha: float) -> _Found:
    found = energy_of_rows(x, y, alpha=alpha)
    return _Found(_root(found.coefficient), _root(found.low), found.p_value)


def _pca(x: Rows, y: Rows, alpha: float) -> _Found:
    found = reconstruction_shift(x, y, alpha=alpha)
    return _Found(found.effect, found.low, found.p_value)


def _classifier(x: Rows, y: Rows, alpha: float) -> _Found:
    found = classifier_test(x, y, alpha=alpha)
    return _Found(found.auc, found.low, found.p_value)


JOINT: dict[str, JointStatistic] = {
    "mmd": JointStatistic("maximum mean discrepancy", 0.05, _mmd, anywhere=True),
    "mmd_linear": JointStatistic("maximum mean discrepancy (linear time)", 0.05, _mmd_linear),
    "energy_joint": JointStatistic("root of the energy coefficient", 0.1, _energy, anywhere=True),
    "pca": JointStatistic("KS distance of the reconstruction errors", 0.1, _pca, columns=2),
    "classifier": JointStatistic("held-out AUC of a classifier of then and now", 0.55, _classifier),
}
"""By the name that `--method` takes."""


def find_jointly(
    methods: Sequence[str], x: Rows, y: Rows, alpha: float, put: Callable[[Rows], Any] = np.asarray
) -> list[JointFinding]:
    """Each of the named statistics on rows [n, columns] of the reference and [m, columns] of now.

    Missing and infinite values are replaced by values drawn from the reference's column, since the missing share is judged
    of its own; columns are divided by the reference's standard deviation, those without one are left out. A finding counts as
    drift when effect and lower bound exceed the tolerance and the p-value, times the number of methods, is at most alpha.
    `put` moves rows to where they are to be computed (``jax.numpy.asarray``), for the statistics that can be elsewhere.
    """
    before, now = _standardised(x, y)
    return [_finding(name, before, now, alpha, len(methods), put) for name in methods]


def find_nothing(methods: Sequence[str], reason: str) -> tuple[JointFinding, ...]:
    """The same, where there is nothing to compare."""
    undefined = (math.nan, math.nan, math.nan)
    return tuple(JointFinding(name, *undefined, JOINT[name].tolerance, None, reason, 0, 0, 0) for name in methods)


def _standardised(x: Rows, y: Rows) -> tuple[Rows, Rows]:
    generator = np.random.default_rng(0)
    before, now = [], []
    for place in range(x.shape[1]):
        present = x[np.isfinite(x[:, place]), place].astype(np.float64)
        spread = float(present.std()) if len(present) else 0.0
        if spread > 0:
            middle = float(present.mean())
            before.append((_filled(x[:, place], present, generator) - middle) / spread)
            now.append((_filled(y[:, place], present, generator) - middle) / spread)
    return _stacked(before, len(x)), _stacked(now, len(y))


def _filled(values: NDArray[Any], present: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    gaps = ~np.isfinite(values)
    filled = values.astype(np.float64)
    filled[gaps] = generator.choice(present, int(gaps.sum()))
    return filled


def _stacked(columns: list[NDArray[np.float64]], rows: int) -> Rows:
    with np.errstate(over="ignore"):
        return np.array(columns, dtype=np.float32).reshape(len(columns), rows).T.copy()


def _finding(name: str, x: Rows, y: Rows, alpha: float, methods: int, put: Callable[[Rows], Any]) -> JointFinding:
    statistic = JOINT[name]
    columns, n, m = x.shape[1], len(x), len(y)
    problem = _problem(statistic, columns, n, m)
    if problem:
        return JointFinding(name, math.nan, math.nan, math.nan, statistic.tolerance, None, problem, columns, n, m)
    before, now = (put(x), put(y)) if statistic.anywhere else (x, y)
    found = statistic.find(before, now, alpha)
    drifted, reason = _verdict(statistic, found, min(1.0, found.p_value * methods), alpha)
    return JointFinding(name, *found, statistic.tolerance, drifted, reason, columns, n, m)


def _problem(statistic: JointStatistic, columns: int, n: int, m: int) -> str:
    if columns < statistic.columns:
        return f"{columns} numeric columns that vary are too few; {statistic.columns} are needed"
    fewest = min(n, m)
    return f"{fewest} rows are too few to tell; {FEWEST_JOINT_ROWS} are needed" if fewest < FEWEST_JOINT_ROWS else ""


def _verdict(statistic: JointStatistic, found: _Found, adjusted: float, alpha: float) -> tuple[bool | None, str]:
    said, tolerance = f"{statistic.title} {found.effect:.2f}", f"the tolerance of {statistic.tolerance:g}"
    if found.effect <= statistic.tolerance:
        return False, f"{said}, within {tolerance}"
    if adjusted > alpha:
        return None, f"{said}, but that may be chance (adjusted p = {adjusted:.2g})"
    if found.low <= statistic.tolerance:
        return None, f"{said}, at least {found.low:.2f}, which does not tell it from {tolerance}"
    return True, f"{said}, above {tolerance}"
