"""What people hand to a prediction, as the body of MLflow's scoring protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.contract.cells import is_null
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput

__all__ = ["payload_of"]


def payload_of(contract: Contract, inputs: Any) -> dict[str, Any]:
    """``dataframe_split`` for frames and tables of named columns, ``inputs`` for tensors; missing values are null."""
    if inputs is None:
        raise InvalidInput("no inputs were given; give a frame, an array [rows, columns], or tensors by name")
    if isinstance(inputs, Mapping):
        return {"inputs": {str(name): np.asarray(values).tolist() for name, values in inputs.items()}}
    if hasattr(inputs, "columns"):
        values = inputs.rows() if hasattr(inputs, "rows") else inputs.to_numpy(object).tolist()
        return {"dataframe_split": {"columns": [str(name) for name in inputs.columns], "data": _rows(values)}}
    if not contract.columns:
        return {"inputs": np.asarray(inputs).tolist()}
    table = np.asarray(inputs)
    if table.ndim != 2 or table.shape[1] != len(contract.columns):
        raise InvalidInput(f"the inputs have shape {list(table.shape)}; give rows of {len(contract.columns)} columns")
    return {"dataframe_split": {"columns": [column.name for column in contract.columns], "data": _rows(table.tolist())}}


def _rows(rows: Any) -> list[list[Any]]:
    return [[None if is_null(value) else value for value in row] for row in rows]
