"""One column in detail: the reference and now, side by side on one grid, for a picture or a widget."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.arrays import as_array
from prodml_magics.stats.drift.columns import Numbers, as_levels, as_numbers, as_texts, as_vectors
from prodml_magics.stats.drift.comparison import OTHER, paired_counts
from prodml_magics.stats.drift.embeddings import distances_to_centre
from prodml_magics.stats.drift.reference import (
    EmbeddingColumn,
    LevelColumn,
    NumericColumn,
    Reference,
    TextColumn,
    numeric_column,
)
from prodml_magics.stats.drift.text import text_parts

__all__ = ["ColumnDetail", "column_detail"]

_MOST_BARS = 20
_POINTS = 50
"""Quantiles of either side at which the distribution functions are told."""

_HUGE = 4e307
_TAIL = 0.005
"""Share of either side that may lie beyond each end of the grid; the end bins hold it."""


class ColumnDetail(NamedTuple):
    """Shares of the present rows per bin or level; JSON-ready through `to_dict`.

    Numeric: `edges` [bins + 1] in the column's unit; rows below the first or above the last edge are counted in the end
    bins, and `note` says so. Categorical: `levels`, the most frequent ones and the pooled rest. The other is empty.

    Of numbers also the empirical distribution functions, which are exact: at `points`, the quantiles of both sides, the shares
    `reference_upto` and `current_upto` of values up to each; and where the bins of PSI and its kin end, `bins`.
    """

    name: str
    kind: str
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    note: str = ""
    points: tuple[float, ...] = ()
    reference_upto: tuple[float, ...] = ()
    current_upto: tuple[float, ...] = ()
    bins: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and finite floats."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}


def column_detail(reference: Reference, current_values: Any, name: str, bins: int = 40) -> ColumnDetail:
    """Shares of the reference and of `current_values` (1-D) of the column `name`, on one grid of at most `bins` bins."""
    column = reference.columns.get(name)
    if column is None:
        raise InvalidInput(f"the reference has no column '{name}'")
    values = as_array(current_values)
    if isinstance(column, LevelColumn):
        return _level_detail(name, column, values)
    if isinstance(column, TextColumn):
        lengths = text_parts(as_texts(values))["length"]
        detail = _number_detail(name, column.parts["length"], lengths, bins)
        return _noted(detail, "length of the texts in characters")
    if isinstance(column, EmbeddingColumn):
        return _noted(_vector_detail(name, column, values, bins), "distance of the vectors from the reference's mean")
    return _number_detail(name, column, as_numbers(name, values).values, bins)


def _noted(detail: ColumnDetail, note: str) -> ColumnDetail:
    return detail._replace(note="; ".join(filter(None, [note, detail.note])))


def _vector_detail(name: str, column: EmbeddingColumn, values: NDArray[Any], bins: int) -> ColumnDetail:
    now = as_vectors(name, values, column.values.shape[1]).values
    if not len(column.values):
        return _number_detail(name, numeric_column(Numbers(np.zeros(0), 0)), np.zeros(0), bins)
    before = distances_to_centre(column, column.values)
    after = distances_to_centre(column, now) if len(now) else np.zeros(0)
    return _number_detail(name, numeric_column(Numbers(before, len(before))), after, bins)


def _number_detail(name: str, column: NumericColumn, current: NDArray[Any], bins: int) -> ColumnDetail:
    sides = [_finite(column.values), np.sort(_finite(current))]
    edges = _grid([side for side in sides if len(side)], bins)
    shares = [_shares(np.histogram(side.clip(edges[0], edges[-1]), edges)[0]) for side in sides]
    beyond = sum(int(((side < edges[0]) | (side > edges[-1])).sum()) for side in sides)
    infinite = len(column.values) + len(current) - sum(len(side) for side in sides)
    detail = ColumnDetail(name, "numeric", tuple(edges.tolist()), (), shares[0], shares[1], _note(beyond, infinite))
    points = _quantiles([side for side in sides if len(side)])
    upto = [_upto(points, side, values) for side, values in zip(sides, (column.values, current), strict=True)]
    ends = tuple(_finite(column.edges).tolist())
    return detail._replace(points=tuple(points.tolist()), reference_upto=upto[0], current_upto=upto[1], bins=ends)


def _quantiles(sides: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Values of either side at evenly spaced ranks, its smallest and largest included."""
    ranks = [(len(side) - 1) * np.arange(_POINTS + 1) // _POINTS for side in sides]
    return np.unique(np.concatenate([side[rank] for side, rank in zip(sides, ranks, strict=True)])) if sides else np.zeros(0)


def _upto(points: NDArray[np.float64], finite: NDArray[np.float64], values: NDArray[Any]) -> tuple[float, ...]:
    """Shares of all values, infinite ones among them, up to each point."""
    if not len(values):
        return (0.0,) * len(points)
    lowest = int(np.isneginf(values).sum()) if values.dtype.kind == "f" else 0
    return tuple(((np.searchsorted(finite, points, side="right") + lowest) / len(values)).tolist())


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    """The finite values as float64, those beyond ±4e307 moved there so that the grid's width is finite."""
    wide = values.astype(np.float64)
    return wide[np.isfinite(wide)].clip(-_HUGE, _HUGE)


def _grid(sides: list[NDArray[np.float64]], bins: int) -> NDArray[np.float64]:
    """Equal bins over the range that holds all but the outermost half percent of each side; integers get whole bins."""
    if not sides:
        return np.array([0.0, 1.0])
    low = min(side[math.floor((len(side) - 1) * _TAIL)] for side in sides)
    high = max(side[math.ceil((len(side) - 1) * (1 - _TAIL))] for side in sides)
    whole = all((side == np.rint(side)).all() for side in sides)
    if whole and high - low < bins and max(abs(low), abs(high)) < 2**50:
        return np.arange(low - 0.5, high + 1)
    if not high - low > 1e-12 * max(abs(low), abs(high)):
        width = abs(low) * 1e-3 or 0.5
        low, high = low - width, high + width
    return np.linspace(low, high, bins + 1)


def _note(beyond: int, infinite: int) -> str:
    notes = [f"{beyond:,} rows beyond the grid are in its end bins"] if beyond else []
    if infinite:
        notes.append(f"{infinite:,} infinite values are not shown")
    return "; ".join(notes)


def _level_detail(name: str, column: LevelColumn, values: NDArray[Any]) -> ColumnDetail:
    levels, before, now = paired_counts(column, as_levels(values, column.levels))
    share_before, share_now = (np.array(_shares(side)) for side in (before, now))
    order = np.argsort(-np.maximum(share_before, share_now), kind="stable")
    order = np.concatenate([order[order != _pool(levels)], order[order == _pool(levels)]])
    shown, rest = order[:_MOST_BARS], order[_MOST_BARS:]
    names = [levels[i] for i in shown]
    sides = [side[shown].tolist() for side in (share_before, share_now)]
    if len(rest):
        names.append(OTHER)
        sides = [[*side, float(whole[rest].sum())] for side, whole in zip(sides, (share_before, share_now), strict=True)]
    note = f"{len(rest):,} further levels are pooled" if len(rest) else ""
    return ColumnDetail(name, "categorical", (), tuple(names), tuple(sides[0]), tuple(sides[1]), note)


def _pool(levels: tuple[str, ...]) -> int:
    return levels.index(OTHER) if OTHER in levels else -1


def _shares(counts: NDArray[Any]) -> tuple[float, ...]:
    total = counts.sum()
    return tuple((counts / total).tolist()) if total else (0.0,) * len(counts)
