"""One named column read out of the tensors of a request: as text that is the same whenever the value is, or held against a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.contract.schema import Column, Contract
from prodml_magics.errors import InvalidInput

__all__ = ["ColumnReader", "ValueReader", "reader_of", "value_of"]

_FLAGS = {"true": 1.0, "false": 0.0}


class ColumnReader(NamedTuple):
    """Where a column lies."""

    column: Column
    tensor: str
    place: int

    def first(self, tensors: Mapping[str, np.ndarray]) -> str:
        """The value in the first row; empty where it is missing."""
        value = tensors[self.tensor][0, self.place]
        if isinstance(value, str):
            return value
        return "" if np.isnan(value) else str(int(value)) if value == np.floor(value) and np.isfinite(value) else str(value)

    def values(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The column [rows]."""
        return tensors[self.tensor][:, self.place]


class ValueReader(NamedTuple):
    """A column and one value of it."""

    reader: ColumnReader
    value: float | str

    def in_every_row(self, tensors: Mapping[str, np.ndarray]) -> bool:
        """Whether all rows have the value."""
        return bool((self.reader.values(tensors) == self.value).all())


def reader_of(contract: Contract, name: str, what: str) -> ColumnReader:
    """The column `name`; `InvalidInput` where there is none. `what` is the flag, for the message."""
    names = [column.name for column in contract.columns]
    if not names:
        raise InvalidInput(f"{what} {name} needs named columns, which the model has not; register it with named training rows")
    for tensor in contract.inputs:
        for place, column in enumerate(tensor_columns(contract, tensor)):
            if column.name == name:
                return ColumnReader(column, tensor.name, place)
    raise InvalidInput(f"{what}: the model has no column {name!r}; {did_you_mean(name, names)}")


def value_of(contract: Contract, name: str, text: str, what: str) -> ValueReader:
    """The value that `text` means in the column `name`; `InvalidInput` for one that it never had, or that is no number."""
    reader = reader_of(contract, name, what)
    column = reader.column
    if column.kind == "categorical":
        if text not in column.categories:
            raise InvalidInput(f"{what}: {name} never was {text!r} in training; {did_you_mean(text, list(column.categories))}")
        return ValueReader(reader, text)
    try:
        value = _FLAGS[text.lower()] if column.dtype == "bool" and text.lower() in _FLAGS else float(text)
    except ValueError as error:
        raise InvalidInput(f"{what}: {name} is a number, not {text!r}; write {name}=1") from error
    datatype = next(tensor.datatype for tensor in contract.inputs if tensor.name == reader.tensor)
    return ValueReader(reader, float(np.asarray(value, dtype_of(datatype))))
