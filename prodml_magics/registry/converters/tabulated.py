"""Tables in the place of encoders: ``registry.tabulated.Tabulated`` as a look-up of the numbers of levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter
from prodml_magics.registry.converters.fold import side_by_side
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
    places = [_places(each) for each in table.tables]
    output = operator.outputs[0].full_name
    table.written = (codes, output)
    if all(each is not None for each in places):
        _marked(emitter, table, places, codes, output)  # type: ignore[arg-type]
        return
    one_each = all(each.ndim == 2 and each.shape[1] == 1 for each in table.tables)
    made = _one_each if one_each else _side_by_side
    if np.array_equal(table.order, np.arange(len(table.order))):
        made(emitter, table, codes, output)
    else:
        found = made(emitter, table, codes, emitter.name("columns"))
        emitter.put("Gather", [found, emitter.constant(table.order)], output, version=13, axis=1)


def _places(table: np.ndarray) -> np.ndarray | None:
    """For each level the output that is 1, -1 for none; None for a table of other numbers."""
    if table.ndim == 1:
        return table
    if not np.isin(table, (0.0, 1.0)).all() or (table.sum(axis=1) > 1).any():
        return None
    return np.where(table.any(axis=1), table.argmax(axis=1) if table.shape[1] else 0, -1)


def _marked(emitter: Emitter, table: Tabulated, places: list[np.ndarray], codes: str, output: str) -> None:
    """1 where the number in the column of an output is the one that it stands for.

    A matrix product spreads the numbers [rows, columns] over the outputs: to gather them takes onnxruntime ten times as long. Where
    several levels are one output, they are given one number first.
    """
    alone = all(len(set(each[each >= 0].tolist())) == (each >= 0).sum() for each in places)
    if alone:
        numbers = emitter.node("Cast", [codes], to=_FLOAT)
        wanted = [np.full(width, -1) for width in table.widths]
        for each, own in zip(places, wanted, strict=True):
            own[each[each >= 0]] = np.flatnonzero(each >= 0)
    else:
        numbers = _looked_up(emitter, codes, [each.astype(np.float32) for each in places], emitter.name("numbers"))
        wanted = [np.arange(width) for width in table.widths]
    column = np.repeat(np.arange(len(places)), table.widths)
    spread = (column[table.order][None, :] == np.arange(len(places))[:, None]).astype(np.float32)
    each_wanted = np.concatenate(wanted).astype(np.float32)[table.order]
    held = emitter.node("MatMul", [numbers, emitter.constant(spread)], version=13)
    same = emitter.node("Equal", [held, emitter.constant(each_wanted[None, :])], version=13)
    emitter.put("Cast", [same], output, version=13, to=_DOUBLE if table.wide else _FLOAT)


def _looked_up(emitter: Emitter, codes: str, tables: Sequence[np.ndarray], output: str) -> str:
    """`output`, one number of each column: tables [levels] side by side, or of many levels one behind another, where each column
    begins where the one before it ends.
    """
    cells = side_by_side(tables)
    if cells is not None:
        return emitter.put("GatherElements", [emitter.constant(cells), codes], output, version=13, axis=0)
    starts = np.cumsum([0, *(len(each) for each in tables[:-1])])
    shifted = codes if len(starts) == 1 else emitter.node("Add", [codes, emitter.constant(starts[None, :])], version=14)
    return emitter.put("Gather", [emitter.constant(np.concatenate(tables)), shifted], output, version=13, axis=0)


def _one_each(emitter: Emitter, table: Tabulated, codes: str, output: str) -> str:
    return _looked_up(emitter, codes, [each[:, 0].astype(_dtype(table)) for each in table.tables], output)


def _side_by_side(emitter: Emitter, table: Tabulated, codes: str, output: str) -> str:
    """Several outputs of a column: [rows, 1, outputs] of each, put together and flattened."""
    columns = [codes] if len(table.tables) == 1 else emitter.split(codes, len(table.tables))
    parts = [
        _rows_of(emitter, table, each, width, column)
        for each, width, column in zip(table.tables, table.widths, columns, strict=True)
        if width
    ]
    joined = parts[0] if len(parts) == 1 else emitter.node("Concat", parts, version=13, axis=2)
    return emitter.put("Reshape", [joined, emitter.constant(np.array([-1, sum(table.widths)]))], output, version=14)


def _rows_of(emitter: Emitter, table: Tabulated, each: np.ndarray, width: int, column: str) -> str:
    if each.ndim == 1:  # where its one 1 is
        places = emitter.node("Gather", [emitter.constant(each[:, None]), column], version=13, axis=0)
        same = emitter.node("Equal", [places, emitter.constant(np.arange(width)[None, None, :])], version=13)
        return emitter.node("Cast", [same], to=_DOUBLE if table.wide else _FLOAT)
    return emitter.node("Gather", [emitter.constant(each.astype(_dtype(table))), column], version=13, axis=0)


def _dtype(table: Tabulated) -> type[np.floating[Any]]:
    return np.float64 if table.wide else np.float32
