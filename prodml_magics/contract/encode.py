"""Named rows and columns into wire tensors, and tensors back into named columns.

Gateway, lake, profile and parity all go through here, so that a column has one name and one value everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prodml_magics.contract.cells import as_category, as_number
from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.finite import check_finite
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.errors import ContractError, InvalidInput

__all__ = ["decode_columns", "encode_columns", "encode_rows", "output_columns", "tensor_columns", "widen"]

_PLAIN = frozenset((int, float))


def encode_rows(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Wire tensors of named rows, as JSON gives them: numbers, text, true, false, null.

    Returns the tensors of `contract.inputs`: floats [rows, n], and an object array of str [rows, k] for categories.
    Raises `InvalidInput` for no rows or a row that is no mapping, and `ContractError` naming column, row and value for a
    column that is missing or extra, of another type, null where training had none, not finite, or too large for float32.
    """
    if not rows:
        raise InvalidInput("no rows were given; send at least one row of named values")
    _need_columns(contract)
    names = {column.name for column in contract.columns}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(f"row {index} is a {type(row).__name__}; send each row as an object of column names and values")
        if row.keys() != names:
            _refuse_names(contract, row, f" in row {index}")
    return {tensor.name: _encode_row_tensor(contract, tensor, rows) for tensor in contract.inputs}


def encode_columns(contract: Contract, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Wire tensors of whole columns, each a 1-D array [rows]; the same rules and errors as `encode_rows`."""
    _need_columns(contract)
    if columns.keys() != {column.name for column in contract.columns}:
        _refuse_names(contract, columns, "")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"columns differ in their number of rows, {lengths}; give columns of equal length")
    if not next(iter(lengths.values())):
        raise InvalidInput("the columns have no rows; give at least one")
    return {tensor.name: _encode_column_tensor(contract, tensor, columns) for tensor in contract.inputs}


def decode_columns(contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named 1-D columns of the input tensors of a request, in the order of the contract.

    Numbers keep the dtype of the wire; categories are str, None where missing. Without named columns a tensor [rows]
    keeps its name and a tensor [rows, …] becomes ``name_0`` to ``name_{n-1}``.
    """
    if not contract.columns:
        return {name: values for tensor in contract.inputs for name, values in _flatten(tensor.name, tensors[tensor.name])}
    decoded: dict[str, np.ndarray] = {}
    for tensor in contract.inputs:
        for position, column in enumerate(tensor_columns(contract, tensor)):
            decoded[column.name] = _decode(column, tensors[tensor.name][:, position])
    return {column.name: decoded[column.name] for column in contract.columns}


def output_columns(contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named 1-D columns of the output tensors: ``label``, ``probability_<class>``, ``score_<class>``, ``prediction``.

    A tensor [rows] keeps its name. Columns of ``probabilities`` and ``scores`` are named after the classes where the
    numbers agree; every other tensor [rows, …] is numbered from 0.
    """
    columns: dict[str, np.ndarray] = {}
    for tensor in contract.outputs:
        values = tensors[tensor.name]
        stem = {"probabilities": "probability", "scores": "score"}.get(tensor.name)
        if stem and values.ndim == 2 and values.shape[1] == len(contract.classes):
            columns |= {f"{stem}_{label}": values[:, place] for place, label in enumerate(contract.classes)}
        else:
            columns |= dict(_flatten(stem or tensor.name, values))
    return columns


def widen(contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`tensors` with FP32 made FP64 where the contract says FP64 (exact); everything else is left as it is."""
    doubles = {tensor.name for tensor in contract.inputs if tensor.datatype == "FP64"}
    return {
        name: values.astype(np.float64) if name in doubles and values.dtype == np.float32 else values
        for name, values in tensors.items()
    }


def tensor_columns(contract: Contract, tensor: Tensor) -> tuple[Column, ...]:
    """The named columns that `tensor` carries, in the order of its second axis."""
    return contract.categorical if tensor.datatype == "BYTES" else contract.numeric


def _need_columns(contract: Contract) -> None:
    if not contract.columns:
        names = ", ".join(tensor.name for tensor in contract.inputs)
        raise InvalidInput(f"the model has no named columns; send its tensors ({names}) instead of named rows")


def _refuse_names(contract: Contract, given: Mapping[str, Any], where: str) -> None:
    known = [column.name for column in contract.columns]
    for name in given:
        if name not in known:
            raise ContractError(f"column {str(name)[:60]!r}{where} is not one of the model's; {did_you_mean(str(name), known)}")
    missing = [name for name in known if name not in given]
    raise ContractError(f"column {missing[0]!r} is missing{where}; the model needs all {len(known)} columns")


def _encode_row_tensor(contract: Contract, tensor: Tensor, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    columns = tensor_columns(contract, tensor)
    if tensor.datatype == "BYTES":
        cells = [[as_category(column, index, row[column.name]) for column in columns] for index, row in enumerate(rows)]
        return _objects(cells, (len(rows), len(columns)))
    plain = not any(column.dtype == "bool" for column in columns)
    table = np.empty((len(rows), len(columns)))
    for index, row in enumerate(rows):
        values = [row[column.name] for column in columns]
        if not (plain and _PLAIN.issuperset(map(type, values))):
            values = [as_number(column, index, value) for column, value in zip(columns, values, strict=True)]
        table[index] = _floats(columns, index, values)
    return _narrow(table, columns, tensor)


def _floats(columns: Sequence[Column], index: int, values: list[Any]) -> list[Any]:
    """`values` as they are, or the error of the integer among them that no float can hold."""
    try:
        return list(map(float, values))
    except OverflowError:
        return [as_number(column, index, value) for column, value in zip(columns, values, strict=True)]


def _encode_column_tensor(contract: Contract, tensor: Tensor, given: Mapping[str, np.ndarray]) -> np.ndarray:
    columns = tensor_columns(contract, tensor)
    if tensor.datatype == "BYTES":
        return np.column_stack([_categories(column, np.asarray(given[column.name])) for column in columns])
    table = np.column_stack([_numbers(column, np.asarray(given[column.name])) for column in columns])
    return _narrow(table, columns, tensor)


def _numbers(column: Column, values: np.ndarray) -> np.ndarray:
    """One numeric column as float64 [rows]; whole dtypes at once, objects and other dtypes cell by cell."""
    if values.dtype.kind in "iuf" and column.dtype != "bool":
        return values.astype(np.float64)
    if values.dtype.kind == "b" and column.dtype == "bool":
        return values.astype(np.float64)
    return np.array([as_number(column, row, value) for row, value in enumerate(values.tolist())], np.float64)


def _categories(column: Column, values: np.ndarray) -> np.ndarray:
    """One categorical column as an object array of str [rows]."""
    cells = values.tolist()
    plain = set(map(type, cells)) == {str} and "".join(cells).isascii()
    return _objects(cells if plain else [as_category(column, row, value) for row, value in enumerate(cells)], (len(cells),))


def _objects(cells: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    table = np.empty(shape, object)
    table[...] = cells
    return table


def _narrow(table: np.ndarray, columns: Sequence[Column], tensor: Tensor) -> np.ndarray:
    """float64 [rows, n] as the dtype of the wire, checked before (NaN, infinity) and after (overflow)."""
    check_finite(table, columns)
    dtype = dtype_of(tensor.datatype)
    if dtype == table.dtype:
        return np.ascontiguousarray(table)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.ascontiguousarray(table, dtype)
    if np.isinf(narrow).any():
        row, place = np.argwhere(np.isinf(narrow))[0]
        value = f"{table[row, place]:g}, too large for {tensor.datatype},"
        raise ContractError(f"column {columns[place].name!r} is {value} in row {row}; send a smaller number")
    return narrow


def _decode(column: Column, values: np.ndarray) -> np.ndarray:
    if column.kind == "numeric" or not column.nullable:
        return values
    return _objects([None if value == column.null else value for value in values.tolist()], values.shape)


def _flatten(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if values.ndim <= 1:
        return [(name, values)]
    table = values.reshape(len(values), -1)
    return [(f"{name}_{place}", table[:, place]) for place in range(table.shape[1])]
