"""A few whole rows of a reference, for what is asked of parts of its rows: columns alone do not say which values stand together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.columns import as_rows, level_codes

if TYPE_CHECKING:
    from prodml_magics.stats.drift.reference import Column

__all__ = ["MOST_WHOLE_ROWS", "whole_rows"]

MOST_WHOLE_ROWS = 10_000
_MOST_VALUES, _FEWEST = 2_000_000, 1_000
"""Of very many columns fewer rows are kept."""


def whole_rows(
    given: Mapping[str, NDArray[Any]], columns: Mapping[str, Column], most: int = MOST_WHOLE_ROWS, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """At most so many rows, drawn without replacement and kept in order, of columns [rows] that are of one length.

    Numbers are float64 or, where it holds them, float32, NaN where missing; levels are texts, None where missing. Left out are dates and
    durations, texts that hardly repeat, vectors, and levels that were too many to be kept.
    """
    from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn

    numeric = [name for name, column in columns.items() if isinstance(column, NumericColumn) and not column.unit]
    levels = [name for name, column in columns.items() if isinstance(column, LevelColumn) and not column.other]
    names = [name for name in columns if name in given and (name in numeric or name in levels)]
    lengths = [len(given[name]) for name in names]
    rows = max(lengths, key=lengths.count, default=0)
    names = [name for name in names if len(given[name]) == rows]
    count = min(rows, most, max(_FEWEST, _MOST_VALUES // max(1, len(names))))
    chosen = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False)) if count else np.zeros(0, np.intp)
    return {name: _narrow(as_rows(given[name][chosen])) if name in numeric else _spelled(given[name][chosen]) for name in names}


def _narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    with np.errstate(over="ignore", under="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), values, equal_nan=True) else values


def _spelled(values: NDArray[Any]) -> NDArray[np.object_]:
    levels, codes = level_codes(values)
    found: NDArray[np.object_] = np.array([*levels, None], dtype=object)[codes]
    return found
