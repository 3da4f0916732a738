"""``samples.json``: a few inputs of a version and the answers that it must give to them after loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from prodml_magics.contract.datatypes import datatype_of, dtype_of

__all__ = ["SAMPLES_FORMAT", "Samples", "read_samples", "write_samples"]

SAMPLES_FORMAT = 1


class Samples(msgspec.Struct, frozen=True):
    """Wire tensors of a few rows, and the output tensors that belong to them."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    format: int = SAMPLES_FORMAT


def write_samples(inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of ``samples.json``: tensors as the inference protocol writes them in JSON, NaN as null.

    Floats are written in full, so that reading gives the same bits back. Infinity is not kept: choose finite rows.
    """
    return msgspec.json.encode(_File(inputs=_pack(inputs), outputs=_pack(outputs)))


def read_samples(data: bytes) -> Samples:
    """Read ``samples.json``; raises ``msgspec.ValidationError`` on another shape."""
    file = msgspec.json.decode(data, type=_File)
    return Samples(_unpack_all(file.inputs), _unpack_all(file.outputs))


def _pack(tensors: Mapping[str, np.ndarray]) -> tuple[_Tensor, ...]:
    return tuple(_Tensor(name, datatype_of(array.dtype), array.shape, array.ravel().tolist()) for name, array in tensors.items())


def _unpack_all(tensors: tuple[_Tensor, ...]) -> dict[str, np.ndarray]:
    return {tensor.name: _unpack(tensor) for tensor in tensors}


def _unpack(tensor: _Tensor) -> np.ndarray:
    dtype = dtype_of(tensor.datatype)
    data = [np.nan if value is None else value for value in tensor.data] if dtype.kind == "f" else tensor.data
    return np.array(data, dtype).reshape(tensor.shape)
