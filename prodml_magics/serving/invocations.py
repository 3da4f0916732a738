"""The bodies that MLflow's scoring server takes, and its form of an answer.

One of four fields: ``dataframe_split``, ``dataframe_records``, ``inputs``, ``instances``; the answer is ``{"predictions": …}``.
Columns that the model does not have are left out, as MLflow's own schema check does.

Source: MLflow's documentation of its inference server, https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import encode_rows
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.openinference import nested_tensor
from prodml_magics.serving.requests import Answer

__all__ = ["decode_invocation", "encode_predictions"]

Tensors = dict[str, np.ndarray]
_SEND = "send one of dataframe_split, dataframe_records, inputs, instances"


def decode_invocation(contract: Contract, body: bytes) -> tuple[Tensors, int]:
    """Checked wire tensors of an invocation, and their rows; `InvalidInput` or `ContractError` in one line."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not JSON ({error}); {_SEND}") from error
    field, data = _field(value)
    tensors = (_named if contract.columns else _unnamed)(contract, field, data)
    return tensors, check_tensors(contract, tensors)


def encode_predictions(contract: Contract, names: Sequence[str], answer: Answer) -> bytes:
    """``{"predictions": …}``: labels of a classifier, numbers of a regressor, else the one output, or all of them by name."""
    chosen = {"classification": "label", "regression": "prediction"}.get(contract.task)
    found: Any
    if chosen in names:
        found = answer.array(str(chosen)).tolist()
    elif len(names) == 1:
        found = answer.array(names[0]).tolist()
    else:
        found = {name: answer.array(name).tolist() for name in names}
    return msgspec.json.encode({"predictions": found})


def _field(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"the body is no JSON object; {_SEND}")
    if value.get("params"):
        raise InvalidInput("the model takes no params; leave them out")
    given = [name for name in _FIELDS if name in value]
    if len(given) != 1:
        raise InvalidInput(f"the body has {', '.join(given) or 'none'} of the fields that hold rows; {_SEND}")
    return given[0], value[given[0]]


def _named(contract: Contract, field: str, data: Any) -> Tensors:
    """Tensors of a model with named columns: every field comes down to rows of named values."""
    if field == "inputs" and isinstance(data, dict) and data.keys() == {tensor.name for tensor in contract.inputs}:
        return _unnamed(contract, field, data)
    rows = _FIELDS[field]([column.name for column in contract.columns], data)
    seen = set().union(*rows)
    # As in a frame, a value that one row lacks and another has is missing, and a column that the model lacks is left out.
    wanted = [column.name for column in contract.columns if column.name in seen]
    return encode_rows(contract, [{name: row.get(name) for name in wanted} for row in rows])


def _unnamed(contract: Contract, field: str, data: Any) -> Tensors:
    """Tensors of a model without named columns: by name, or the only one."""
    if field.startswith("dataframe"):
        raise InvalidInput(f"the model has no named columns; send its tensors in inputs ({_names(contract)})")
    if isinstance(data, list) and data and isinstance(data[0], dict):
        data = _columns(_objects(data))
    if isinstance(data, list) and len(contract.inputs) == 1:
        data = {contract.inputs[0].name: data}
    if not isinstance(data, dict):
        raise InvalidInput(f"{field} is no object of tensors by name; the model needs {_names(contract)}")
    datatypes = {tensor.name: tensor.datatype for tensor in contract.inputs}
    for name in data:
        if name not in datatypes:
            raise InvalidInput(f"the model has no input tensor {name[:60]!a}; it needs {_names(contract)}")
    return {name: nested_tensor(name, datatypes[name], values) for name, values in data.items()}


def _names(contract: Contract) -> str:
    return ", ".join(tensor.name for tensor in contract.inputs)


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    if any(row.keys() != rows[0].keys() for row in rows):
        raise InvalidInput("instances differ in their names; give every one the same tensors")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _split(names: list[str], data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise InvalidInput('dataframe_split is an object {"columns": [names], "data": [rows]}')
    columns = data.get("columns", names)
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise InvalidInput("the columns of dataframe_split are a list of names")
    if len(set(columns)) != len(columns):
        raise InvalidInput("dataframe_split names a column twice; name each once")
    return _positional(columns, data["data"])


def _records(_names: list[str], data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, list):
        raise InvalidInput("dataframe_records is a list of objects, one per row")
    return _objects(data)


def _inputs(names: list[str], data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, dict):
        return _instances(names, data)
    columns = {name: values if isinstance(values, list) else [values] for name, values in data.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise InvalidInput("the columns of inputs differ in their number of rows; give columns of equal length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _instances(names: list[str], data: Any) -> list[dict[str, Any]]:
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return _objects(data)
    return _positional(names, data)


_FIELDS: Mapping[str, Callable[[list[str], Any], list[dict[str, Any]]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": _inputs,
    "instances": _instances,
}


def _objects(data: list[Any]) -> list[dict[str, Any]]:
    if not data or not all(isinstance(row, dict) for row in data):
        raise InvalidInput("send at least one row, each an object of column names and values")
    return data


def _positional(names: list[str], data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, list) or not data or not all(isinstance(row, list) for row in data):
        raise InvalidInput("send a list of at least one row, each a list of values")
    for index, row in enumerate(data):
        if len(row) != len(names):
            raise InvalidInput(f"row {index} has {len(row)} values for {len(names)} columns; send one value per column")
    return [dict(zip(names, row, strict=True)) for row in data]
