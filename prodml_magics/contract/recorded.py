"""Recorded columns back into the tensors of a request: the inverse of `decode_columns`, whole columns at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.contract.cells import NULL_CATEGORY
from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import ContractError

__all__ = ["recorded_tensors"]


def recorded_tensors(contract: Contract, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Wire tensors of columns [rows] that were answered before, so that nothing is checked anew but their names.

    Numbers are float64 with NaN, texts are str with None where missing. Raises `ContractError` for a column that was not recorded.
    """
    return {tensor.name: _tensor(contract, tensor, columns) for tensor in contract.inputs}


def _tensor(contract: Contract, tensor: Tensor, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    named = tensor_columns(contract, tensor)
    names = [column.name for column in named] if contract.columns else _flat_names(tensor)
    missing = [name for name in names if name not in columns]
    if missing:
        raise ContractError(f"column {missing[0]!r} was not recorded; replay a version with the columns that were sent")
    rows = len(columns[names[0]]) if names else 0
    table = np.empty((rows, len(names)), dtype_of(tensor.datatype))
    for place, name in enumerate(names):
        values: Any = columns[name]
        if values.dtype.kind == "O" and tensor.datatype == "BYTES":
            null = named[place].null if contract.columns else NULL_CATEGORY
            values = [null if value is None else value for value in values.tolist()]
        table[:, place] = values
    return table if contract.columns else table.reshape(rows, *tensor.shape[1:])


def _flat_names(tensor: Tensor) -> list[str]:
    inner = tensor.shape[1:]
    if not inner:
        return [tensor.name]
    if min(inner) < 0:
        raise ContractError(
            f"input {tensor.name!r} has rows of any shape, which the log does not keep; such a model cannot be replayed"
        )
    return [f"{tensor.name}_{place}" for place in range(math.prod(inner))]
