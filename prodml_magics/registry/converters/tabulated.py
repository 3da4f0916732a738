"""Tables in the place of encoders: ``registry.tabulated.Tabulated`` as a look-up of the numbers of levels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter
from prodml_magics.registry.tabulated import Tabulated

__all__ = ["use_own_tables"]

_FLOAT, _INT64, _DOUBLE = 1, 7, 11


@cache
def use_own_tables() -> None:
    """Have skl2onnx know our tables, for this process."""
    from skl2onnx import update_registered_converter

    update_registered_converter(Tabulated, "ProdmlTabulated", _shape, _convert)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    table = operator.raw_operator
    operator.outputs[0].type = (DoubleTensorType if table.wide else FloatTensorType)([None, sum(table.widths)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter, table = Emitter(scope, container), operator.raw_operator
    codes = emitter.joined(operator)
    if type(operator.inputs[0].type).__name__ != "Int64TensorType":  # from a matrix, whose numbers are floats
        codes = emitter.node("Cast", [codes], to=_INT64)
    found = _one_each(emitter, table, codes) if _is_one_each(table) else _side_by_side(emitter, table, codes)
    if not np.array_equal(table.order, np.arange(len(table.order))):
        found = emitter.node("Gather", [found, emitter.constant(table.order)], version=13, axis=1)
    emitter.put("Identity", [found], operator.outputs[0].full_name, version=16)


def _is_one_each(table: Tabulated) -> bool:
    return all(each.ndim == 2 and each.shape[1] == 1 for each in table.tables)


def _one_each(emitter: Emitter, table: Tabulated, codes: str) -> str:
    """One output of each column: all tables are one, and each column begins where the one before it ends."""
    starts = np.cumsum([0, *(len(each) for each in table.tables[:-1])])
    values = emitter.constant(np.concatenate([each[:, 0] for each in table.tables]).astype(_dtype(table)))
    shifted = codes if len(starts) == 1 else emitter.node("Add", [codes, emitter.constant(starts[None, :])], version=14)
    return emitter.node("Gather", [values, shifted], version=13, axis=0)


def _side_by_side(emitter: Emitter, table: Tabulated, codes: str) -> str:
    """Several outputs of a column: [rows, 1, outputs] of each, put together and flattened."""
    columns = [codes] if len(table.tables) == 1 else emitter.split(codes, len(table.tables))
    parts = [
        _rows_of(emitter, table, each, column) if each.ndim == 2 else _marks_of(emitter, table, each, width, column)
        for each, width, column in zip(table.tables, table.widths, columns, strict=True)
        if width
    ]
    joined = parts[0] if len(parts) == 1 else emitter.node("Concat", parts, version=13, axis=2)
    return emitter.node("Reshape", [joined, emitter.constant(np.array([-1, sum(table.widths)]))], version=14)


def _rows_of(emitter: Emitter, table: Tabulated, each: np.ndarray, column: str) -> str:
    return emitter.node("Gather", [emitter.constant(each.astype(_dtype(table))), column], version=13, axis=0)


def _marks_of(emitter: Emitter, table: Tabulated, each: np.ndarray, width: int, column: str) -> str:
    """1 at the place that the table tells."""
    places = emitter.node("Gather", [emitter.constant(each[:, None]), column], version=13, axis=0)
    same = emitter.node("Equal", [places, emitter.constant(np.arange(width)[None, None, :])], version=13)
    return emitter.node("Cast", [same], to=_DOUBLE if table.wide else _FLOAT)


def _dtype(table: Tabulated) -> type[np.floating[Any]]:
    return np.float64 if table.wide else np.float32
