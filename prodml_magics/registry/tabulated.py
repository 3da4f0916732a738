"""Encoders of categories as tables: what they make of each level of each column, found by asking scikit-learn itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["Tabulated"]


class Tabulated(TransformerMixin, BaseEstimator):
    """Stands in a pipeline where encoders of text stood, and takes the numbers of levels, int64 [rows, columns].

    `tables` has one array for each column: float64 [levels, outputs], the row for each number, or, where outputs are many and each
    0 or 1, int64 [levels], which output is 1, -1 for none, of as many as `widths` says. The outputs of all columns side by side are
    put into `order`. `wide` says in which precision they are computed.
    """

    def __init__(self, tables: Sequence[np.ndarray], widths: Sequence[int], order: np.ndarray, wide: bool = False) -> None:
        self.tables = tables
        self.widths = widths
        self.order = order
        self.wide = wide
        self.written: tuple[str, str] | None = None
        """Of the graph that it is converted into: what the numbers and the outputs are called there."""

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, rows: Any, target: Any = None) -> Tabulated:
        """Nothing is to be fitted."""
        return self

    def transform(self, rows: Any) -> np.ndarray:
        """The outputs, float64 [rows, outputs], for the numbers of levels."""
        codes = np.asarray(rows, np.int64)
        parts = [
            table[codes[:, place]] if table.ndim == 2 else (table[codes[:, [place]]] == np.arange(width)).astype(np.float64)
            for place, (table, width) in enumerate(zip(self.tables, self.widths, strict=True))
        ]
        return np.hstack(parts)[:, self.order]
