"""Wire tensors against the contract, on the path of every request: form first, then values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prodml_magics.contract.codes import check_codes
from prodml_magics.contract.datatypes import DTYPES, datatype_of
from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.finite import all_finite, check_finite
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput

__all__ = ["check_tensors"]


def check_tensors(contract: Contract, tensors: Mapping[str, np.ndarray]) -> int:
    """The number of rows of a request whose tensors keep the contract.

    Raises `InvalidInput` for a tensor that is missing, unknown, or of another datatype, rank or shape, for no rows and for
    tensors that differ in rows; `ContractError` naming column and row for infinity, for NaN where training had none, and for a level
    that the model itself refuses.
    BYTES are object arrays of str. FP32 for FP64 is refused here: call `contract.encode.widen` first.
    """
    if len(tensors) != len(contract.inputs) or any(tensor.name not in tensors for tensor in contract.inputs):
        _refuse_names(contract, tensors)
    for tensor in contract.inputs:
        _check_form(tensor, tensors[tensor.name])
    rows = _count_rows(contract, tensors)
    if contract.columns:
        for tensor in contract.inputs:
            # Naming the columns costs more than looking at the values of a small request: only where it is needed.
            if tensor.datatype in ("FP32", "FP64") and not all_finite(tensors[tensor.name]):
                check_finite(tensors[tensor.name], tensor_columns(contract, tensor))
    if contract.codes:
        check_codes(contract.codes, tensors["categorical"])
    return rows


def _refuse_names(contract: Contract, tensors: Mapping[str, np.ndarray]) -> None:
    known = [tensor.name for tensor in contract.inputs]
    for name in tensors:
        if name not in known:
            raise InvalidInput(f"the model has no input tensor {str(name)[:60]!r}; {did_you_mean(str(name), known)}")
    missing = [name for name in known if name not in tensors]
    raise InvalidInput(f"input tensor {missing[0]!r} is missing; the model needs {', '.join(known)}")


def _check_form(tensor: Tensor, array: np.ndarray) -> None:
    if array.dtype != DTYPES[tensor.datatype]:
        raise InvalidInput(f"tensor {tensor.name!r} is {_datatype(array)}; send {tensor.datatype} {list(tensor.shape)}")
    if not _fits(tensor.shape, array.shape):
        wanted = f"{list(tensor.shape)}, where -1 is any number"
        raise InvalidInput(f"tensor {tensor.name!r} has shape {list(array.shape)}; send {wanted}")
    if tensor.datatype == "BYTES" and not set(map(type, array.ravel().tolist())) <= {str}:
        raise InvalidInput(f"tensor {tensor.name!r} holds values that are not text; send every category as a string")


def _fits(wanted: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(wanted) != len(shape):
        return False
    # Rows are any number nearly always, and the rest is given.
    usual = wanted[:1] == (-1,) and wanted[1:] == shape[1:]
    return usual or all(want in (-1, got) for want, got in zip(wanted, shape, strict=True))


def _datatype(array: np.ndarray) -> str:
    try:
        return datatype_of(array.dtype)
    except InvalidInput:
        return array.dtype.name


def _count_rows(contract: Contract, tensors: Mapping[str, np.ndarray]) -> int:
    if len(contract.inputs) == 1 and contract.inputs[0].shape[:1] == (-1,):
        rows = len(tensors[contract.inputs[0].name])
    else:
        rows = _common_rows(contract, tensors)
    if not rows:
        raise InvalidInput("the request has no rows; send at least one")
    return rows


def _common_rows(contract: Contract, tensors: Mapping[str, np.ndarray]) -> int:
    free = [tensor.name for tensor in contract.inputs if tensor.shape and tensor.shape[0] == -1]
    counts = [len(tensors[name]) for name in free] or [1]
    if counts.count(counts[0]) < len(counts):
        given = dict(zip(free, counts, strict=True))
        raise InvalidInput(f"tensors differ in their number of rows, {given}; send the same rows in each")
    return counts[0]
