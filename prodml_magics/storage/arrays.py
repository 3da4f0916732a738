"""numpy arrays to the `Array` record of a block and back."""

from __future__ import annotations

import numpy as np

from prodml_magics.storage.blocks import Array

__all__ = ["from_array", "to_array"]


def to_array(values: np.ndarray) -> Array:
    """Pack `values`; object and text arrays keep their texts, null stays null."""
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
