"""The contract record: columns, wire tensors and classes of one model version (``contract.json``)."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["CONTRACT_FORMAT", "Column", "Contract", "Tensor", "read_contract", "write_contract"]

CONTRACT_FORMAT = 1
"""Raise it when a field changes its meaning; `read_contract` must go on reading every older one."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One named input column as the training rows showed it."""

    name: str
    kind: Literal["numeric", "categorical"]
    dtype: str
    """numpy name of the training dtype: float64, int64, bool, string, …"""
    nullable: bool = False
    """True where training rows had missing values: then null (JSON) and NaN (binary) are data."""
    minimum: float | None = None
    maximum: float | None = None
    """Range seen in training; numeric columns only."""
    categories: tuple[str, ...] = ()
    """Levels seen in training, sorted; categorical columns only. Other levels are accepted and counted as unseen."""
    unit: str = ""
    """What its numbers are counted in, where the training rows said so."""


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor on the wire, in the words of the Open Inference Protocol v2; -1 is the batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs of a model version. Wire tensors have the names of the graph's inputs and outputs.

    With named columns, ``input`` is [-1, columns], or ``numeric`` is [-1, n] and ``categorical`` is [-1, k] BYTES, the
    columns in the order of `columns`. A model without named columns has `columns == ()` and its own tensors.
    """

    task: Literal["classification", "regression", "other"]
    columns: tuple[Column, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str | int | float, ...] = ()
    """Class labels in the order of the columns of ``probabilities``."""
    key: str = ""
    """Column whose value says whose row it is, by which canaries split the traffic; empty when none was declared."""
    format: int = CONTRACT_FORMAT

    @property
    def numeric(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind == "numeric")

    @property
    def categorical(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind == "categorical")


def read_contract(data: bytes) -> Contract:
    """Read ``contract.json``; raises ``msgspec.ValidationError`` on another shape."""
    return msgspec.json.decode(data, type=Contract)


def write_contract(contract: Contract) -> bytes:
    """The bytes of ``contract.json``."""
    return msgspec.json.format(msgspec.json.encode(contract), indent=1)
