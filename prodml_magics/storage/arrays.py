"""numpy arrays to the `Array` record of a block and back."""

from __future__ import annotations

import numpy as np

from prodml_magics.storage.blocks import Array

__all__ = ["from_array", "to_array"]


_LITTLE = {
    np.dtype(name): np.dtype(name).str
    for name in ("<f4", "<f8", "<f2", "<i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1", "?")
}
"""What most tensors are; to ask numpy for the name of a dtype takes longer than to copy a row."""


def to_array(values: np.ndarray) -> Array:
    """Pack `values`; object and text arrays keep their texts, null stays null."""
    name = _LITTLE.get(values.dtype)
    if name is not None:
        return Array(name, values.shape, values.tobytes())  # row-major whatever the strides are
    if values.dtype.kind in "OUS":
        texts = [None if value is None else _text(value) for value in values.ravel().tolist()]
        return Array("O", values.shape, texts=texts)
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return Array(little.dtype.str, values.shape, np.ascontiguousarray(little).tobytes())


def from_array(array: Array) -> np.ndarray:
    """The array that `to_array` packed; read-only for numbers."""
    if array.texts is not None:
        values = np.empty(len(array.texts), dtype=object)
        values[:] = array.texts
        return values.reshape(array.shape)
    return np.frombuffer(array.data, dtype=np.dtype(array.dtype)).reshape(array.shape)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
