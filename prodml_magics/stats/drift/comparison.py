"""One column of the reference beside one column of now: aligned, counted, and its evidence gathered."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.chi_squared import contingency
from prodml_magics.stats.drift.columns import Levels, Numbers
from prodml_magics.stats.drift.hints import level_hint, number_hint
from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.kernels import NumericStatistics, Pair, quartiles
from prodml_magics.stats.drift.ks import ks_margin, ks_p_value
from prodml_magics.stats.drift.missing import missing_change
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn, bin_counts
from prodml_magics.stats.drift.total_variation import total_variation, total_variation_margin
from prodml_magics.stats.drift.verdict import Evidence

__all__ = ["OTHER", "Comparison", "aligned", "compare_levels", "compare_missing", "compare_numbers", "paired_counts"]

OTHER = "(other)"
"""Label of the levels that were pooled."""


class Comparison(NamedTuple):
    """The statistics of a column, NaN where undefined, and the evidence of its values, or why there is none."""

    evidence: Evidence | str
    ks: float = math.nan
    wasserstein: float = math.nan
    psi: float = math.nan
    js: float = math.nan
    chi2: float = math.nan
    tv: float = math.nan


def aligned(column: NumericColumn, numbers: Numbers) -> Pair:
    """Both sides in one dtype: the lower of two float precisions, so that rounding is never taken for drift.

    Exceptions: numbers beyond the range of float32 raise both sides to float64; integers that float64 cannot hold stay int64.
    """
    reference, current = column.values, numbers.values
    dtype = _common_dtype(reference, current)
    edges = column.edges.astype(dtype, copy=False)
    return Pair(reference.astype(dtype, copy=False), current.astype(dtype, copy=False), edges)


def _common_dtype(reference: NDArray[Any], current: NDArray[Any]) -> np.dtype[Any]:
    dtypes = {reference.dtype, current.dtype}
    if len(dtypes) == 1:
        return reference.dtype
    narrow = np.dtype(np.float32) in dtypes and not (_overflows(reference) or _overflows(current))
    return np.dtype(np.float32 if narrow else np.float64)


def _overflows(values: NDArray[Any]) -> bool:
    """Whether a finite value is beyond the range of float32."""
    if values.dtype != np.float64:
        return False
    with np.errstate(over="ignore"):
        return bool((np.isinf(values.astype(np.float32)) & ~np.isinf(values)).any())


def compare_numbers(pair: Pair, found: NumericStatistics, tolerance: float, alpha: float) -> Comparison:
    """Statistics and evidence of a numeric column from what the kernel found."""
    n, m = len(pair.reference), len(pair.current)
    before = bin_counts(pair.reference, pair.edges)
    evidence = Evidence(
        effect=found.ks,
        effect_low=max(0.0, found.ks - ks_margin(n, m, alpha)),
        p_value=ks_p_value(found.ks, n, m),
        tolerance=tolerance,
        rows=min(n, m),
        finding=f"KS distance {found.ks:.2f}",
        hint=number_hint(quartiles(pair.reference), found.quartiles),
        note="infinite or huge values leave Wasserstein undefined" if math.isnan(found.wasserstein) else "",
    )
    index, distance = psi(before, found.counts), jensen_shannon(before, found.counts)
    return Comparison(evidence, found.ks, found.wasserstein, float(index), float(distance))


def paired_counts(column: LevelColumn, found: Levels) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Levels of both sides with the counts of each.

    Levels that the reference did not keep: when it pooled some they join its pool, else they are kept with a count of zero.
    """
    now = dict(zip(found.levels, found.counts.tolist(), strict=True))
    known = [now.pop(level, 0) for level in column.levels]
    if column.other:
        levels, before, extra = (*column.levels, OTHER), [column.other], [sum(now.values())]
    else:
        levels, before, extra = (*column.levels, *now), [0] * len(now), list(now.values())
    return levels, np.array([*column.counts, *before], dtype=np.int64), np.array([*known, *extra], dtype=np.int64)


def compare_levels(column: LevelColumn, found: Levels, tolerance: float, alpha: float) -> Comparison:
    """Statistics and evidence of a categorical column; both sides need a present row."""
    levels, before, now = paired_counts(column, found)
    table = contingency(before, now)
    distance = float(total_variation(before, now))
    evidence = Evidence(
        effect=distance,
        effect_low=max(0.0, distance - total_variation_margin(before, now, alpha)),
        p_value=table.p_value,
        tolerance=tolerance,
        rows=int(min(before.sum(), now.sum())),
        finding=f"total variation {distance:.2f}",
        hint=level_hint(levels, before, now),
    )
    return Comparison(
        evidence, psi=float(psi(before, now)), js=float(jensen_shannon(before, now)), chi2=table.statistic, tv=distance
    )


def compare_missing(missing_before: int, n: int, missing_now: int, m: int, tolerance: float, alpha: float) -> Evidence | None:
    """Evidence of the missing share; None where nothing is missing on either side, or one side has no row."""
    if not n or not m or not missing_before + missing_now:
        return None
    change = missing_change(missing_before, n, missing_now, m, alpha)
    verb = "rose" if missing_now / m >= missing_before / n else "fell"
    finding = f"missing share {verb} from {missing_before / n:.1%} to {missing_now / m:.1%}"
    return Evidence(change.effect, change.effect_low, change.p_value, tolerance, min(n, m), finding.replace(".0%", "%"))
