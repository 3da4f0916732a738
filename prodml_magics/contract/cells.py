"""One value of one named column, read strictly: the slow path that names column, row and value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from prodml_magics.contract.schema import Column
from prodml_magics.errors import ContractError

__all__ = ["NULL_BESIDE_EMPTY", "NULL_CATEGORY", "as_category", "as_number", "is_null"]

NULL_CATEGORY = ""
"""How a missing category is written on the wire. BYTES has no null, so that in a nullable column the empty text means
missing, in JSON rows (`null` or ``""``), in tensors and in the graph; in other columns it is a level like any other."""

NULL_BESIDE_EMPTY = "\0"
"""How it is written where the empty text is a level too; in JSON rows it is `null` as everywhere."""


def is_null(value: Any) -> bool:
    """True for None, NaN and pandas' NA and NaT: the ways in which Python writes a missing value."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def as_number(column: Column, row: int, value: Any) -> float:
    """`value` as a float, NaN for a missing one; raises `ContractError` naming column, row and value."""
    if isinstance(value, bool | np.bool_):
        return float(value) if column.dtype == "bool" else _refuse(column, row, value, "a number")
    if column.dtype == "bool" and not is_null(value) and value not in (0, 1):
        return _refuse(column, row, value, "true or false")
    if is_null(value):
        return math.nan
    if not isinstance(value, int | float | np.integer | np.floating):
        return _refuse(column, row, value, "a number")
    try:
        return float(value)
    except OverflowError:
        return _refuse(column, row, value, "a number that fits a float")


def as_category(column: Column, row: int, value: Any) -> str:
    """`value` as the text of a level, `Column.null` for a missing one; raises `ContractError`."""
    if is_null(value):
        return column.null if column.nullable else _refuse(column, row, value, "text, and no training row lacked it")
    if isinstance(value, str):
        return str(value) if value.isascii() or _is_unicode(value) else _refuse(column, row, value, "text in valid Unicode")
    if column.dtype != "string" and isinstance(value, bool | int | float | np.generic):
        return str(value)
    return _refuse(column, row, value, "text")


def _is_unicode(text: str) -> bool:
    """False for a lone surrogate, which no UTF-8 can carry into onnxruntime."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(column: Column, row: int, value: Any, wanted: str) -> Any:
    shown = "null" if value is None else ascii(value)[:60]
    raise ContractError(f"column {column.name!r} is {shown} ({type(value).__name__}) in row {row}; send {wanted}")
