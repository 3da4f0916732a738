"""Parts of the rows, each compared with the same part of the reference: where a drift comes from."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import NotFound, UsageError
from prodml_magics.wire.requests import Drift

if TYPE_CHECKING:
    from prodml_magics.stats.drift import Reference
    from prodml_magics.stats.drift.slices import SliceFinding

__all__ = ["compare_slices", "search_slices"]

_MOST = 20
_QUARTERS = 4

Columns = Mapping[str, np.ndarray]


def compare_slices(reference: Columns, current: Columns, request: Drift, known: Reference | None = None) -> list[dict[str, Any]]:
    """One entry per value of the column ``--by``, or per quarter of a numeric one with more than 20 values; worst first.

    A slice of now is compared with the same slice of the reference, at an error rate divided by the number of slices. `known` is the
    reference of which these rows are some that it keeps: what it knows of tolerances and of neighbouring rows then counts.
    """
    by = request.by
    for side in (reference, current):
        if by in side and side[by].ndim > 1:
            raise UsageError(f"column {by!r} holds vectors, which have no parts to look at; name another with --by")
        if by not in side:
            raise NotFound(f"there is no column {by!r} to look at the parts of; {did_you_mean(by, list(side))}")
    current = {name: values for name, values in current.items() if name in reference and len(values) == len(current[by])}
    parts = _parts(reference[by], current[by])
    found = [_slice(f"{by} {label}", reference, current, *masks, request, len(parts), known) for label, masks in parts.items()]
    return sorted(found, key=lambda part: (part["verdict"] != "drift", -(part["effect"] or 0.0)))


def search_slices(
    reference: Reference, rows: Columns | None, current: Columns, request: Drift, most: int = 5
) -> list[dict[str, Any]]:
    """Parts in which a column moved more than over all rows, worst first, one per column; searched among those of all columns.

    `rows` are those behind the reference where they are at hand; else the few that it keeps: whole ones, or in a profile of an earlier
    release those of its numeric columns.
    """
    from prodml_magics.stats.drift import Tolerances
    from prodml_magics.stats.drift.limits import limits_of_values
    from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn
    from prodml_magics.stats.drift.slices import find_slices

    rows = rows or reference.whole
    before, now, scales = (rows, current, None) if rows else _kept(reference, current)
    importance = reference.extras.get("importance") or {}
    columns = {name: column for name, column in reference.columns.items() if isinstance(column, NumericColumn | LevelColumn)}
    names = sorted((name for name in columns if name in before and name in now), key=lambda name: -importance.get(name, 0.0))
    lengths = [len(now[name]) for name in names]
    usual = max(lengths, key=lengths.count, default=0)  # outputs are known for some of the rows only
    names = [name for name in names if len(now[name]) == usual and len(before[name]) == len(before[names[0]])]
    tolerances = None if request.tolerance is None else Tolerances(request.tolerance, request.tolerance)
    dates = {name for name, column in columns.items() if isinstance(column, NumericColumn) and column.unit}
    found = find_slices(
        {name: before[name] for name in names},
        {name: now[name] for name in names},
        {name: limits_of_values(columns[name], tolerances, request.alpha) for name in names},
        alpha=request.alpha,
        fdr=request.fdr,
        by=[name for name in names if name not in dates],
        scales=scales,
        most=most,
    )
    return [_told(finding) for finding in found]


def _kept(reference: Reference, current: Columns) -> tuple[Columns, Columns, dict[str, tuple[float, float]]]:
    """The rows that a reference keeps, now in the same standardised units, and what turns both back."""
    from prodml_magics.stats.drift.columns import as_rows

    kept = reference.rows
    if kept is None:
        return {}, {}, {}
    scales = {name: scale for name, scale in zip(kept.names, kept.scales, strict=True) if name in current}
    before = {name: kept.values[:, kept.names.index(name)] for name in scales}
    with np.errstate(over="ignore", invalid="ignore"):
        now = {name: ((as_rows(current[name]) - middle) / width).astype(np.float32) for name, (middle, width) in scales.items()}
    return before, now, scales


def _told(finding: SliceFinding) -> dict[str, Any]:
    distance = "KS distance" if finding.numeric else "total variation"
    return {
        "slice": f"{finding.by} {finding.part}",
        "n_reference": finding.n_reference,
        "n_current": finding.n_current,
        "verdict": "drift",
        "drifted": [finding.column],
        "worst": finding.column,
        "effect": finding.effect,
        "overall": finding.overall,
        "reason": f"{distance} {finding.effect:.2f} there, {finding.overall:.2f} over all rows",
    }


def _parts(before: np.ndarray, now: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label to the rows of both sides that it holds."""
    if before.dtype.kind in "iuf" and len(np.unique(before[~np.isnan(before)])) > _MOST and now.dtype.kind in "iuf":
        return _quarters(before.astype(np.float64), now.astype(np.float64))
    one, other = _texts(before), _texts(now)
    values, counts = np.unique(other, return_counts=True)
    largest = values[np.argsort(-counts, kind="stable")][:_MOST]
    return {f"= {value}": (one == value, other == value) for value in largest.tolist()}


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array(["missing" if value is None or value != value else str(value) for value in values.tolist()])


def _quarters(before: np.ndarray, now: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    inner = np.unique(np.quantile(before[np.isfinite(before)], np.arange(1, _QUARTERS) / _QUARTERS))
    edges = [-np.inf, *inner.tolist(), np.inf]
    parts = {}
    for low, high in pairwise(edges):
        label = f"up to {high:.4g}" if low == -np.inf else f"above {low:.4g}" if high == np.inf else f"{low:.4g} to {high:.4g}"
        parts[label] = (_between(before, low, high), _between(now, low, high))
    return parts


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((values > low) | (low == -np.inf)) & (values <= high)


def _slice(
    label: str,
    reference: Columns,
    current: Columns,
    of_reference: np.ndarray,
    of_current: np.ndarray,
    request: Drift,
    slices: int,
    known: Reference | None,
) -> dict[str, Any]:
    from prodml_magics.actions.detection import detect_request
    from prodml_magics.stats.drift import prepare
    from prodml_magics.stats.drift.reference import with_calibration

    before = {name: values[of_reference] for name, values in reference.items() if name != request.by}
    now = {name: values[of_current] for name, values in current.items() if name != request.by}
    columns = [name for name in request.columns or before if name in before]
    part = prepare(before, calibrate="correlation") if known is None else with_calibration(prepare(before), known)
    found = detect_request(part, now, request, alpha=request.alpha / slices, columns=columns)
    worst = max(
        range(len(found.names)), key=lambda i: (found.names[i] in found.drifted, np.nan_to_num(found.effect[i])), default=None
    )
    return {
        "slice": label,
        "n_reference": int(of_reference.sum()),
        "n_current": int(of_current.sum()),
        "verdict": "drift" if found.drifted else "undecided" if len(found.undecided) == len(found.names) else "no drift",
        "drifted": list(found.drifted),
        "worst": None if worst is None else found.names[worst],
        "effect": None if worst is None or np.isnan(found.effect[worst]) else float(found.effect[worst]),
        "reason": "no columns to compare" if worst is None else found.reason[worst],
    }
