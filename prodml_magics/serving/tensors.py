"""Tensors between wire and numpy: datatypes, shapes, and the raw little-endian form that REST and gRPC share.

Source: https://github.com/kserve/open-inference-protocol (datatypes, raw contents), and the binary data extension that Triton
documents. numpy has no bfloat16: BF16 arrives as the float32 of the same value, which FP32 and FP64 inputs take exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from prodml_magics.errors import InvalidInput

__all__ = ["DATATYPES", "check_shape", "datatype_of", "dtype_for", "from_raw", "shaped", "to_bfloat", "to_raw"]

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<f4"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")
_MAX_DIMENSIONS = 8
_MAX_VALUES = 2**48
_SHOWN = 100


def dtype_for(name: str, datatype: str) -> np.dtype[Any]:
    """The numpy dtype in which input `name` is held; `InvalidInput` for a datatype that the protocol lacks."""
    dtype = DATATYPES.get(datatype)
    if dtype is None:
        raise InvalidInput(f"input {_shown(name)}: datatype {datatype[:20]!a} is not served; use one of {', '.join(DATATYPES)}")
    return dtype


def datatype_of(values: np.ndarray) -> str:
    """The protocol's name for the dtype of `values`."""
    dtype = values.dtype
    # Asked of the dtype as it is first: nearly every array is little-endian already.
    return _NAMES.get(dtype) or ("BYTES" if dtype.kind in "US" else _NAMES[dtype.newbyteorder("<")])


def check_shape(name: str, shape: Sequence[int]) -> int:
    """How many values `shape` holds; `InvalidInput` for one that is not usable."""
    outside = len(shape) > _MAX_DIMENSIONS or (shape and not 0 <= min(shape) <= max(shape) < 2**31)
    # An array without values has strides as well, which numpy must be able to count.
    if outside or (0 in shape and math.prod(size or 1 for size in shape) >= _MAX_VALUES):
        raise InvalidInput(
            f"input {_shown(name)}: shape {list(shape[:10])} is not usable; send at most {_MAX_DIMENSIONS} dimensions, each below 2^31"
        )
    return math.prod(shape)


def shaped(name: str, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`values` in `shape`, which `check_shape` has seen; `InvalidInput` where they are more or fewer."""
    count = math.prod(shape)
    if values.size != count:
        raise InvalidInput(
            f"input {_shown(name)} has {values.size} values, its shape {list(shape)} needs {count}; send one value per cell"
        )
    return values.reshape(shape)


def from_raw(name: str, datatype: str, data: bytes | memoryview) -> np.ndarray:
    """The 1-D values of little-endian bytes; BYTES are length-prefixed UTF-8 and become an object array of str."""
    if datatype == "BYTES":
        return _texts(name, memoryview(data))
    dtype = np.dtype("<u2") if datatype == "BF16" else dtype_for(name, datatype)
    if len(data) % dtype.itemsize:
        raise InvalidInput(f"input {_shown(name)}: {len(data)} bytes are no whole number of {datatype} values")
    values = np.frombuffer(data, dtype)
    if datatype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    # Any byte but 0 is true to numpy, yet two true values must be equal.
    return values.view("<u1") != 0 if datatype == "BOOL" else values


def to_raw(values: np.ndarray) -> bytes:
    """Little-endian bytes, row-major; texts length-prefixed."""
    if values.dtype.kind in "OUS":
        encoded = [str(value).encode() for value in values.ravel().tolist()]
        return b"".join(_LENGTH.pack(len(text)) + text for text in encoded)
    # tobytes writes row-major whatever the strides are.
    return (values if values.dtype in _NAMES else values.astype(values.dtype.newbyteorder("<"))).tobytes()


def to_bfloat(values: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest value that BF16 can hold, ties to even; NaN and infinity stay."""
    bits = values.astype("<f4").view("<u4").astype("<u8")
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype("<u4").view("<f4")
    return np.where(np.isfinite(values), rounded, values).astype("<f4")


def _texts(name: str, data: memoryview) -> np.ndarray:
    texts: list[str] = []
    offset = 0
    try:
        while offset < len(data):
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            if offset + length > len(data):
                raise ValueError("a length points past the end")
            texts.append(str(data[offset : offset + length], "utf-8"))
            offset += length
    except (struct.error, ValueError) as error:
        raise InvalidInput(f"input {_shown(name)} is not length-prefixed UTF-8 ({error})") from error
    return _objects(texts)


def _objects(texts: list[str]) -> np.ndarray:
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


def _shown(name: str) -> str:
    return ascii(name[:_SHOWN])
