"""Parts of the rows in which a column moved more than in the whole: searched among all parts of all columns, under one error rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.columns import as_rows, is_numeric, level_codes
from prodml_magics.stats.drift.grid import grid_edges
from prodml_magics.stats.drift.limits import Limits
from prodml_magics.stats.multiplicity import ADJUSTMENTS, Adjustment

__all__ = ["FEWEST_SLICE_ROWS", "SliceFinding", "find_slices"]

FEWEST_SLICE_ROWS = 50
"""Rows of a part that both sides need before it is looked at."""

_MOST_PARTS = 20
_QUARTERS = 4
_MOST_LEVELS = 50
_MOST_BY, _MOST_COLUMNS = 20, 100
_FEWEST, _MOST, _WORK = 5_000, 30_000, 8_000_000
"""Rows of a side that are looked at: as many as keep rows times pairs of columns below the third number."""

_Codes = NDArray[np.intp]


class SliceFinding(NamedTuple):
    """How far `column` moved in the rows whose `by` is `part`: effect, its lower bound, and the effect over all rows."""

    by: str
    part: str
    column: str
    n_reference: int
    n_current: int
    effect: float
    effect_low: float
    overall: float
    p_adjusted: float
    numeric: bool


class _Coded(NamedTuple):
    """Cells of a column's values on both sides, `cells` itself where missing; `labels` are those of parts, else empty."""

    before: _Codes
    now: _Codes
    cells: int
    numeric: bool
    labels: tuple[str, ...] = ()


def find_slices(
    before: Mapping[str, NDArray[Any]],
    now: Mapping[str, NDArray[Any]],
    limits: Mapping[str, Limits],
    *,
    alpha: float = 0.05,
    fdr: Adjustment = "bh",
    by: Sequence[str] | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    most: int = 5,
    seed: int = 0,
) -> list[SliceFinding]:
    """The worst part for each column that has one, largest excess first: rows of two sides by column, each of one length [rows].

    A part is a value of a column with at most 20 of them, or a quarter (by the reference) of a numeric one with more, unless that has
    drifted itself: then the same quarter of now holds other rows, and everything that goes with the column would seem to move. The
    effect is the KS distance at the edges of the reference's grid, or total variation. It is tested against the larger of the column's
    tolerance and its effect over all rows, so that a drift of the whole is not told again for every part. The p-value is the level at
    which the lower bound (Dvoretzky–Kiefer–Wolfowitz, or McDiarmid) reaches that, adjusted over all parts of all columns by `fdr`.

    The first 20 columns (of `by`, where given) are split by, and 100 looked at; of long sides a sample is taken, by `seed`. `scales`
    (middle, spread) turn the standardised values of a column into its unit, for labels.
    """
    names = [name for name in now if name in before and name in limits][:_MOST_COLUMNS]
    if len(names) < 2 or not len(before[names[0]]) or not len(now[names[0]]):
        return []
    splitting = [name for name in (names if by is None else by) if name in names][:_MOST_BY]
    pairs = max(1, len(splitting)) * len(names)
    size = int(min(_MOST, max(_FEWEST, _WORK // pairs)))
    drawn = [_drawn(len(side[names[0]]), size, seed) for side in (before, now)]
    sides = {name: (before[name][drawn[0]], now[name][drawn[1]]) for name in names}
    columns = {name: _coded(name, *pair) for name, pair in sides.items()}
    one = _Coded(np.zeros(len(drawn[0]), np.intp), np.zeros(len(drawn[1]), np.intp), 1, False, ("all",))
    whole = {name: _effects(each, one, limits[name]) for name, each in columns.items()}
    parts = {name: _parts(name, *sides[name], (scales or {}).get(name)) for name in splitting}
    moved = [name for name in splitting if _has_moved(whole[name], limits[name], alpha)]
    parts = {name: split for name, split in parts.items() if split is None or not (split.numeric and name in moved)}
    found = [
        finding
        for part, split in parts.items()
        if split is not None
        for name, each in columns.items()
        if name != part
        for finding in _findings(part, split, name, each, float(whole[name].effect[0]), limits[name], alpha)
    ]
    return _worst(found, alpha, fdr, most)


def _drawn(rows: int, most: int, seed: int) -> NDArray[np.intp]:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


# ── columns and parts as codes ─────────────────────────────────────────────────────────────────────────────────────


def _coded(name: str, before: NDArray[Any], now: NDArray[Any]) -> _Coded:
    if is_numeric(name, before) and is_numeric(name, now):
        values = [as_rows(side) for side in (before, now)]
        edges = grid_edges(np.sort(values[0][np.isfinite(values[0])]))
        codes = [np.where(np.isnan(side), len(edges) + 1, np.searchsorted(edges, side)) for side in values]
        return _Coded(codes[0], codes[1], len(edges) + 1, True)
    return _levels(before, now, _MOST_LEVELS)


def _levels(before: NDArray[Any], now: NDArray[Any], most: int) -> _Coded:
    """The most frequent levels of both sides, the rest as one."""
    levels, codes = level_codes(np.concatenate([before.astype(object), now.astype(object)]))
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    kept = np.argsort(-counts, kind="stable")[:most]
    place = np.full(len(levels) + 1, len(kept))
    place[kept] = np.arange(len(kept))
    place[-1] = len(kept) + 1
    codes = place[codes]
    return _Coded(codes[: len(before)], codes[len(before) :], len(kept) + 1, False, tuple(levels[i] for i in kept))


def _parts(name: str, before: NDArray[Any], now: NDArray[Any], scale: tuple[float, float] | None) -> _Coded | None:
    """The parts that a column splits rows into; None where there is only one."""
    numeric = is_numeric(name, before) and is_numeric(name, now)
    if numeric:
        values = as_rows(before)
        values = values[np.isfinite(values)]
        if len(np.unique(values)) > _MOST_PARTS:
            return _quarters(values, as_rows(before), as_rows(now), scale)
    found = _levels(before, now, _MOST_PARTS)
    if len(found.labels) < 2:
        return None
    labels = [_number(float(label), scale) for label in found.labels] if numeric else list(found.labels)
    return found._replace(labels=(*(f"= {label}" for label in labels), "= any other"))


def _quarters(
    present: NDArray[np.float64], before: NDArray[np.float64], now: NDArray[np.float64], scale: tuple[float, float] | None
) -> _Coded:
    inner = np.unique(np.quantile(present, np.arange(1, _QUARTERS) / _QUARTERS))
    codes = [np.where(np.isnan(side), len(inner) + 1, np.searchsorted(inner, side)) for side in (before, now)]
    shown = [_number(edge, scale) for edge in inner.tolist()]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return _Coded(codes[0], codes[1], len(inner) + 1, True, (f"up to {shown[0]}", *between, f"above {shown[-1]}"))


def _number(value: float, scale: tuple[float, float] | None) -> str:
    return f"{value if scale is None else scale[0] + scale[1] * value:.4g}"


# ── effects and tests ──────────────────────────────────────────────────────────────────────────────────────────────


class _Effects(NamedTuple):
    """Per part [parts]: rows of both sides, effect, bias that chance alone brings, and the width of its bound at level 1/e."""

    n: NDArray[np.int64]
    m: NDArray[np.int64]
    effect: NDArray[np.float64]
    bias: NDArray[np.float64]
    width: NDArray[np.float64]
    factor: float
    """Of the exponential bound: P(effect exceeds the truth by bias + t) ≤ factor · exp(−(t/width)²)."""


def _effects(column: _Coded, split: _Coded, limits: Limits) -> _Effects:
    parts = split.cells
    before, now = (
        _table(part, codes, parts, column.cells) for part, codes in ((split.before, column.before), (split.now, column.now))
    )
    n, m = before.sum(axis=1), now.sum(axis=1)
    worth = [np.maximum(side / limits.inflation, 1) for side in (n, m)]
    p, q = before / np.maximum(n, 1)[:, None], now / np.maximum(m, 1)[:, None]
    if column.numeric:
        effect = np.abs(np.cumsum(p - q, axis=1)).max(axis=1)
        return _Effects(n, m, effect, np.zeros(parts), (worth[0] ** -0.5 + worth[1] ** -0.5) / math.sqrt(2), 2.0)
    pooled = (before + now) / np.maximum(n + m, 1)[:, None]
    inverse = 1 / worth[0] + 1 / worth[1]
    bias = np.sqrt(pooled * (1 - pooled) * inverse[:, None]).sum(axis=1) / 2
    return _Effects(n, m, np.abs(p - q).sum(axis=1) / 2, bias, np.sqrt(inverse / 2), 1.0)


def _has_moved(whole: _Effects, limits: Limits, alpha: float) -> bool:
    """Whether a column moved over all rows by surely more than its tolerance."""
    low = whole.effect[0] - whole.bias[0] - whole.width[0] * math.sqrt(math.log(whole.factor / alpha))
    return bool(low > limits.tolerance)


def _table(parts: _Codes, codes: _Codes, count: int, cells: int) -> NDArray[np.int64]:
    """Rows [parts, cells]; those without a part or a value are counted in a row and a column that go."""
    places = parts * (cells + 1)
    places += codes
    return np.bincount(places, minlength=(count + 1) * (cells + 1)).reshape(count + 1, cells + 1)[:-1, :-1]


def _findings(
    by: str, split: _Coded, name: str, column: _Coded, overall: float, limits: Limits, alpha: float
) -> list[SliceFinding]:
    """Of every part with enough rows, with its own p-value; `effect_low` at level 1 − alpha."""
    found = _effects(column, split, limits)
    excess = np.maximum(0.0, found.effect - found.bias - max(limits.tolerance, overall))
    p_values = np.minimum(1.0, found.factor * np.exp(-((excess / found.width) ** 2)))
    low = np.maximum(0.0, found.effect - found.bias - found.width * math.sqrt(math.log(found.factor / alpha)))
    enough = np.flatnonzero(np.minimum(found.n, found.m) >= FEWEST_SLICE_ROWS)
    return [
        SliceFinding(
            by,
            split.labels[i],
            name,
            int(found.n[i]),
            int(found.m[i]),
            float(found.effect[i]),
            float(low[i]),
            overall,
            float(p_values[i]),
            column.numeric,
        )
        for i in enough.tolist()
    ]


def _worst(found: Sequence[SliceFinding], alpha: float, fdr: Adjustment, most: int) -> list[SliceFinding]:
    """Of those that are found under the error rate the worst part of each column.

    When age moved among the rows of one city, the cities of one age moved as well: of two such findings the larger one is kept.
    """
    adjusted = ADJUSTMENTS[fdr]([finding.p_adjusted for finding in found]).tolist()
    kept = [finding._replace(p_adjusted=p) for finding, p in zip(found, adjusted, strict=True) if p <= alpha]
    kept.sort(key=lambda finding: finding.overall - finding.effect_low)
    worst: dict[str, SliceFinding] = {}
    for finding in kept:
        mirrored = worst.get(finding.by)
        if finding.column not in worst and (mirrored is None or mirrored.by != finding.column):
            worst[finding.column] = finding
    return list(worst.values())[:most]
