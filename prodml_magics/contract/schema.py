"""The contract record: columns, wire tensors and classes of one model version (``contract.json``)."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

from prodml_magics.errors import ContractError

__all__ = ["CONTRACT_FORMAT", "CodeTable", "Column", "Contract", "Tensor", "read_contract", "write_contract"]

CONTRACT_FORMAT = 3
"""Raise it when a field changes its meaning; `read_contract` must go on reading every older one.

1: graphs take categories as text. 2: where there are `codes`, the graph takes int64 in their place. 3: a column says how a missing
category is written.
"""


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
    null: str = ""
    """How a missing category is written in tensors: empty text, or the character U+0000 where empty text is a level of its own."""
    unit: str = ""
    """What its numbers are counted in, where the training rows said so."""


class CodeTable(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """By which number the graph knows each level of one categorical column: its place in `categories`."""

    column: str
    categories: tuple[str, ...]
    """Levels that the encoders of the model tell apart, sorted."""
    missing: int | None = None
    """The number of a missing value; None where the column has none, or the model refuses it."""
    unseen: int | None = None
    """The number of every other text; None where the model refuses such rows."""
    nullable: bool = False
    """Whether the text `null` means a missing value."""
    null: str = ""

    @cached_property
    def numbers(self) -> Numbers:
        """The number of each text."""
        known = {category: place for place, category in enumerate(self.categories)}
        if self.nullable:
            known.pop(self.null, None)
            if self.missing is not None:
                known[self.null] = self.missing
        return Numbers(known, self)


class Numbers(dict[str, int]):
    """`CodeTable.numbers`: looked up at the speed of a dict; `ContractError` for a text that the model refuses."""

    def __init__(self, known: dict[str, int], table: CodeTable) -> None:
        super().__init__(known)
        self._table = table

    def __missing__(self, text: str) -> int:
        missing = self._table.nullable and text == self._table.null
        if self._table.unseen is None or missing:
            what = "missing" if missing else ascii(text)[:60]
            known = ", ".join(map(repr, self._table.categories[:5])) + (", …" if len(self._table.categories) > 5 else "")
            raise ContractError(f"column {self._table.column!r} is {what}, which the model refuses; send one of {known}")
        return self._table.unseen


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor on the wire, in the words of the Open Inference Protocol v2; -1 is the batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs of a model version. Wire tensors have the names of the graph's inputs and outputs.

    With named columns, ``input`` is [-1, columns], or ``numeric`` is [-1, n] and ``categorical`` is [-1, k] BYTES, the
    columns in the order of `columns`; the graph's own ``categorical`` is int64 where there are `codes`. A model without named
    columns has `columns == ()` and its own tensors.
    """

    task: Literal["classification", "regression", "other"]
    columns: tuple[Column, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str | int | float, ...] = ()
    """Class labels in the order of the columns of ``probabilities``."""
    key: str = ""
    """Column whose value says whose row it is, by which canaries split the traffic; empty when none was declared."""
    codes: tuple[CodeTable, ...] = ()
    """One for each categorical column where the graph takes numbers in place of their text; clients send text all the same."""
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
