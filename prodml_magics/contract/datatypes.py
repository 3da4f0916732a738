"""Datatypes of the Open Inference Protocol v2 and the numpy dtypes that hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from prodml_magics.errors import InvalidInput

__all__ = ["DTYPES", "datatype_of", "dtype_of"]

DTYPES: Mapping[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
"""``BYTES`` is held as an object array of `str`: UTF-8 on the wire, text inside."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(dtype: DTypeLike) -> str:
    """The protocol's name of a numpy dtype; raises `InvalidInput` where it has none.

    >>> datatype_of(np.float32), datatype_of("<U3")
    ('FP32', 'BYTES')
    """
    kind = np.dtype(dtype)
    name = "BYTES" if kind.kind in "OUT" else _NAMES.get(kind.newbyteorder("="))
    if name is None:
        raise InvalidInput(f"dtype {kind.name} has no datatype in the inference protocol; use one of {', '.join(DTYPES)}")
    return name


def dtype_of(datatype: str) -> np.dtype:
    """The numpy dtype that holds `datatype`; raises `InvalidInput` for a name that the protocol lacks."""
    if datatype not in DTYPES:
        raise InvalidInput(f"{datatype[:40]!r} is not a datatype of the inference protocol; use one of {', '.join(DTYPES)}")
    return DTYPES[datatype]
