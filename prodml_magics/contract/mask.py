"""Columns that no log may hold: their values are taken out of what is written down, never out of what the model sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput

__all__ = ["check_mask", "masked"]


def check_mask(contract: Contract, columns: Collection[str], model: str) -> None:
    """Raise `InvalidInput` for a column that the model does not have."""
    names = [column.name for column in contract.columns]
    if columns and not names:
        raise InvalidInput(f"{model} has no named columns, so that none can be masked; register it with named training rows")
    for name in columns:
        if name not in names:
            raise InvalidInput(f"{model} has no column {name!r} to mask; {did_you_mean(name, names)}")


def masked(contract: Contract, tensors: Mapping[str, np.ndarray], columns: Collection[str]) -> dict[str, np.ndarray]:
    """Copies of the input tensors [rows, n] with NaN, or None among text, in the masked columns; others are passed on as they are."""
    found = dict(tensors)
    for tensor in contract.inputs if contract.columns else ():
        places = [place for place, column in enumerate(tensor_columns(contract, tensor)) if column.name in columns]
        if places:
            table = tensors[tensor.name].copy()
            table[:, places] = None if tensor.datatype == "BYTES" else np.nan
            found[tensor.name] = table
    return found
