"""One column of the reference beside one column of now: aligned, counted, and its evidence gathered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.chi_squared import contingency
from prodml_magics.stats.drift.columns import Levels, Numbers
from prodml_magics.stats.drift.hints import level_hint, number_hint
from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.kernels import NumericStatistics, Pair, quartiles
from prodml_magics.stats.drift.ks import ks_margin, ks_p_value, ks_rows_needed
from prodml_magics.stats.drift.limits import Limits
from prodml_magics.stats.drift.missing import missing_change
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn, bin_counts
from prodml_magics.stats.drift.total_variation import total_variation, total_variation_bias, total_variation_spread
from prodml_magics.stats.drift.verdict import FEWEST_ROWS, Evidence
from prodml_magics.stats.percent import percent

__all__ = [
    "OTHER",
    "Comparison",
    "Side",
    "aligned",
    "binned_distances",
    "compare_levels",
    "compare_missing",
    "compare_numbers",
    "compare_texts",
    "compare_unseen",
    "paired_counts",
    "side_of",
]

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
    extra: Mapping[str, float] = {}
    """Statistics that were asked for by name."""


def aligned(column: NumericColumn, numbers: Numbers) -> Pair:
    """Both sides in one dtype: the lower of two float precisions, so that rounding is never taken for drift.

    Exceptions: numbers beyond the range of float32 raise both sides to float64; integers that float64 cannot hold stay integers.
    """
    reference, current = column.values, numbers.values
    dtype = _common_dtype(reference, current)
    edges = column.edges.astype(dtype, copy=False)
    return Pair(reference.astype(dtype, copy=False), current.astype(dtype, copy=False), edges)


def _common_dtype(reference: NDArray[Any], current: NDArray[Any]) -> np.dtype[Any]:
    dtypes = {reference.dtype, current.dtype}
    if len(dtypes) == 1:
        return reference.dtype
    if all(dtype.kind in "iu" for dtype in dtypes):
        signed = reference if reference.dtype.kind == "i" else current
        return np.dtype(np.float64 if (signed < 0).any() else np.uint64)
    narrow = np.dtype(np.float32) in dtypes and not (_overflows(reference) or _overflows(current))
    return np.dtype(np.float32 if narrow else np.float64)


def _overflows(values: NDArray[Any]) -> bool:
    """Whether a finite value is beyond the range of float32."""
    if values.dtype != np.float64:
        return False
    with np.errstate(over="ignore"):
        return bool((np.isinf(values.astype(np.float32)) & ~np.isinf(values)).any())


class Side(NamedTuple):
    """What is compared with, of a numeric column: present `rows`, quartiles, `counts` int64 [bins] of the reference's bins.

    `rank_error` is the share of rows by which any of its ranks may be wrong, because only a sketch of it was kept.
    """

    rows: int
    quartiles: tuple[float, float, float]
    counts: NDArray[np.int64]
    unit: str = ""
    rank_error: float = 0.0
    sd: float = math.nan


def side_of(column: NumericColumn, pair: Pair | None = None) -> Side:
    """A reference column, with at least one present value; its rows per bin as the `pair` has them, where that is of another dtype."""
    counts = column.counts
    if pair is not None and pair.edges.dtype != column.edges.dtype:
        counts = bin_counts(pair.reference, pair.edges)
    if column.rank_error:
        counts = np.rint(counts * (column.present / len(column.values))).astype(np.int64)
    return Side(column.present, quartiles(column.values), counts, column.unit, column.rank_error, column.sd)


def binned_distances(sides: Sequence[Side], found: Sequence[NumericStatistics]) -> list[tuple[float, float]]:
    """PSI and Jensen–Shannon distance of every column, all of them at once: few columns have other than ten bins, and empty ones add
    nothing to either."""
    width = max((len(side.counts) for side in sides), default=0)
    before, now = np.zeros((2, len(sides), width), np.int64)
    for i, (side, statistics) in enumerate(zip(sides, found, strict=True)):
        before[i, : len(side.counts)] = side.counts
        now[i, : len(side.counts)] = statistics.counts
    return list(zip(psi(before, now).tolist(), jensen_shannon(before, now).tolist(), strict=True)) if sides else []


def compare_numbers(side: Side, m: int, found: NumericStatistics, limits: Limits, distances: tuple[float, float]) -> Comparison:
    """Statistics and evidence of a numeric column from what the kernel found in m present rows, and its `binned_distances`."""
    rows, smaller = min(side.rows, m), side.rows < m
    n, m = limits.effective(side.rows), limits.effective(m)
    surely = max(0.0, found.ks - side.rank_error)
    moved = found.wasserstein / side.sd if side.sd > 0 else math.nan
    evidence = Evidence(
        effect=found.ks,
        effect_low=max(0.0, surely - ks_margin(n, m, limits.alpha)),
        p_value=ks_p_value(surely, n, m),
        tolerance=limits.tolerance,
        rows=rows,
        finding=f"KS distance {found.ks:.2f}",
        hint=number_hint(side.quartiles, found.quartiles, side.unit, moved),
        note="infinite or huge values leave Wasserstein undefined" if math.isnan(found.wasserstein) else "",
        needed=_rows_needed(found.ks - limits.tolerance, n, limits),
        calibrated=limits.calibrated,
        reference_is_smaller=smaller,
    )
    return Comparison(evidence, found.ks, found.wasserstein, *distances)


def _rows_needed(excess: float, n: int, limits: Limits) -> int | None:
    if excess <= 0:
        return None
    rows = ks_rows_needed(excess, n, limits.alpha)
    return None if rows is None else max(FEWEST_ROWS, math.ceil(rows * limits.inflation))


def compare_texts(parts: Mapping[str, Comparison]) -> Comparison:
    """The part of a text that has moved most stands for all; its p-value is multiplied by their number (Bonferroni)."""
    name, worst = max(parts.items(), key=_moved)
    evidence = worst.evidence
    assert isinstance(evidence, Evidence)
    p_value = min(1.0, evidence.p_value * len(parts))
    return worst._replace(evidence=evidence._replace(p_value=p_value, finding=f"{name} of the texts: {evidence.finding}"))


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


def _moved(part: tuple[str, Comparison]) -> float:
    evidence = part[1].evidence
    return evidence.effect if isinstance(evidence, Evidence) else 0.0


def compare_levels(column: LevelColumn, found: Levels, limits: Limits) -> Comparison:
    """Statistics and evidence of a categorical column; both sides need a present row."""
    levels, before, now = paired_counts(column, found)
    n, m = limits.effective(int(before.sum())), limits.effective(int(now.sum()))
    table = contingency(before, now)
    distance, bias = float(total_variation(before, now)), total_variation_bias(before, now, n, m)
    spread = total_variation_spread(n, m, limits.alpha)
    evidence = Evidence(
        effect=distance,
        effect_low=max(0.0, distance - bias - spread),
        p_value=_p_value(before, now, limits),
        tolerance=limits.tolerance,
        rows=int(min(before.sum(), now.sum())),
        finding=f"total variation {distance:.2f}",
        hint=level_hint(levels, before, now),
        chance=bias if spread <= limits.tolerance else 0.0,
        calibrated=limits.calibrated,
        reference_is_smaller=bool(before.sum() < now.sum()),
    )
    return Comparison(
        evidence, psi=float(psi(before, now)), js=float(jensen_shannon(before, now)), chi2=table.statistic, tv=distance
    )


def _p_value(before: NDArray[np.int64], now: NDArray[np.int64], limits: Limits) -> float:
    """Of one distribution, for as many independent rows as the given ones are worth."""
    if limits.inflation == 1:
        return contingency(before, now).p_value
    fewer = [np.rint(side / limits.inflation).astype(np.int64) for side in (before, now)]
    return contingency(*fewer).p_value if all(side.any() for side in fewer) else math.nan


def compare_missing(missing_before: int, n: int, missing_now: int, m: int, limits: Limits) -> Evidence | None:
    """Evidence of the missing share; None where nothing is missing on either side, or one side has no row."""
    if not n or not m or not missing_before + missing_now:
        return None
    verb = "rose" if missing_now / m >= missing_before / n else "fell"
    finding = f"missing share {verb} from {percent(missing_before / n)} to {percent(missing_now / m)}"
    return _share_evidence((missing_before, n), (missing_now, m), limits, finding)


def compare_unseen(column: LevelColumn, found: Levels, limits: Limits) -> Evidence | None:
    """Evidence of the share of present rows whose category the reference never had, beyond what was to be expected.

    Without drift that share is about the share of reference rows whose category occurs once (Good 1953, Biometrika 40,
    237–264), which is taken for the reference's own: a column of rare names always meets new ones. None where no more are
    met than that. A reference that pooled its rarest levels does not know them all, so that nothing counts as unseen.
    """
    known, (n, m) = set(column.levels), (int(column.counts.sum()), int(found.counts.sum()))
    unseen = sum(int(count) for level, count in zip(found.levels, found.counts, strict=True) if level not in known)
    once = int((column.counts == 1).sum())
    if column.other or not n or not m or unseen / m <= once / n:
        return None
    expected = f", {percent(once / n)} were to be expected" if once else ""
    finding = f"{percent(unseen / m)} of the rows have unseen categories{expected}"
    return _share_evidence((once, n), (unseen, m), limits, finding)


def _share_evidence(before: tuple[int, int], now: tuple[int, int], limits: Limits, finding: str) -> Evidence:
    """Hits and rows on either side, tested as if the rows were as many as independent ones that tell the same."""
    (hits_before, n), (hits_now, m) = before, now
    fewer = [min(round(value / limits.inflation), limits.effective(rows)) for value, rows in ((hits_before, n), (hits_now, m))]
    change = missing_change(fewer[0], limits.effective(n), fewer[1], limits.effective(m), limits.alpha)
    effect = abs(hits_now / m - hits_before / n)
    low = min(effect, change.effect_low)
    told = (effect, low, change.p_value, limits.tolerance, min(n, m), finding)
    return Evidence(*told, calibrated=limits.calibrated, reference_is_smaller=n < m)
