"""The wire tensors of a model with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from prodml_magics.contract.schema import Column, Tensor

__all__ = ["Precision", "wire_inputs"]

Precision = Literal["FP32", "FP64"]


def wire_inputs(columns: Sequence[Column], precision: Precision) -> tuple[Tensor, ...]:
    """``input`` for numbers alone, ``numeric`` and ``categorical`` for both, ``categorical`` for text alone."""
    numeric = sum(column.kind == "numeric" for column in columns)
    text = len(columns) - numeric
    tensors = []
    if numeric:
        tensors.append(Tensor(name="numeric" if text else "input", datatype=precision, shape=(-1, numeric)))
    if text:
        tensors.append(Tensor(name="categorical", datatype="BYTES", shape=(-1, text)))
    return tuple(tensors)
