"""numpy arrays to the `Array` record of a block and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prodml_magics.storage.blocks import Array

__all__ = ["from_array", "from_arrays", "to_array"]


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


def from_arrays(arrays: Sequence[Array]) -> np.ndarray:
    """All of at least one packed array, one behind the other along the first axis.

    Most are a single row: those of numbers of one kind and shape are put together as bytes, which costs a tenth of putting arrays
    together.
    """
    dtype, rest = arrays[0].dtype, arrays[0].shape[1:]
    if all(each.texts is None and each.dtype == dtype and each.shape[1:] == rest and each.shape for each in arrays):
        packed = np.frombuffer(b"".join([each.data for each in arrays]), np.dtype(dtype))
        return packed.reshape(sum([each.shape[0] for each in arrays]), *rest)
    return np.concatenate([from_array(each) for each in arrays])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
