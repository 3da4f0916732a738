"""The columns of a contract, read off the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace

from prodml_magics.contract.cells import NULL_BESIDE_EMPTY, NULL_CATEGORY, is_null
from prodml_magics.contract.schema import Column
from prodml_magics.errors import InvalidInput

__all__ = ["infer_columns"]


def infer_columns(columns: Mapping[str, np.ndarray], units: Mapping[str, str] = MappingProxyType({})) -> tuple[Column, ...]:
    """One `Column` per training column (1-D, [rows]), in the same order.

    Numbers and booleans are numeric, with range; text is categorical, with sorted levels. A column with None or NaN is
    nullable. `units` are kept with the columns of their names. Raises `InvalidInput` for dates and other dtypes, for text mixed
    with numbers, and for text that holds empty text, missing values and the character U+0000 alone, of which the wire has no three.
    """
    found = (_infer(name, np.asarray(values)) for name, values in columns.items())
    return tuple(replace(column, unit=units[column.name]) if column.name in units else column for column in found)


def _infer(name: str, values: np.ndarray) -> Column:
    if values.dtype.kind in "biuf":
        return _numeric(name, values, values.dtype.name)
    if values.dtype.kind not in "OUT":
        raise InvalidInput(f"column {name!r} is of dtype {values.dtype.name}; make it numbers or text before training")
    present = [value for value in values.tolist() if not is_null(value)]
    nullable = len(present) < len(values)
    if present and all(isinstance(value, str) for value in present):
        return _categorical(name, present, nullable)
    if all(isinstance(value, bool) for value in present) and not nullable:
        return _numeric(name, values.astype(np.bool_), "bool")
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return _numeric(name, np.array([np.nan if is_null(value) else value for value in values.tolist()], np.float64), "float64")
    kinds = sorted({type(value).__name__ for value in present})
    raise InvalidInput(f"column {name!r} holds {' and '.join(kinds)}; make it all numbers or all text before training")


def _numeric(name: str, values: np.ndarray, dtype: str) -> Column:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
    present = values[~missing]
    low, high = (float(present.min()), float(present.max())) if present.size else (None, None)
    return Column(name=name, kind="numeric", dtype=dtype, nullable=bool(missing.any()), minimum=low, maximum=high)


def _categorical(name: str, present: list[str], nullable: bool) -> Column:
    levels = tuple(sorted(set(present)))
    null = NULL_BESIDE_EMPTY if nullable and NULL_CATEGORY in levels else NULL_CATEGORY
    if nullable and null in levels:
        raise InvalidInput(
            f"column {name!r} holds empty text, missing values and the character U+0000, which no request can tell apart; "
            "replace one of them and fit again"
        )
    return Column(name=name, kind="categorical", dtype="string", nullable=nullable, categories=levels, null=null)
