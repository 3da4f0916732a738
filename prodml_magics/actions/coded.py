"""Numbers of a Parquet file that do not lie plainly in its pages, as most writers leave them: Arrow decodes a column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decoded"]

_READ_AT_ONCE = 2**20
"""Bytes: a column of a large row group is not held whole while it is packed."""


def decoded(
    path: Path, name: str, groups: Sequence[int], dtype: np.dtype[Any], most: int, footer: Any = None
) -> Iterator[tuple[NDArray[Any], int]]:
    """The present values of a flat column in some row groups, at most so many at a time, and how many are missing beside them.

    `footer` is what Arrow read of the file before: of many columns and row groups it takes as long as a million values. Raises
    ValueError where Arrow sees other values than numbers of this dtype, and that or OSError where it cannot read them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, metadata=footer, buffer_size=_READ_AT_ONCE) as file:
            for batch in file.iter_batches(most, row_groups=list(groups), columns=[name], use_threads=False):
                if not batch.num_columns:
                    raise ValueError(f"the file has no column '{name}' any more")
                column = batch.column(0)
                values = _numbers(column.drop_null() if column.null_count else column)
                if not np.can_cast(values.dtype, dtype, "safe"):
                    raise ValueError(f"{values.dtype} where the footer says {dtype}")
                yield values.astype(dtype, copy=False), column.null_count
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


_FLOATS = {"halffloat": "f2", "float": "f4", "double": "f8"}


def _numbers(column: Any) -> NDArray[Any]:
    """An array without nulls, where its numbers lie: `to_numpy` would import pandas, which takes a fraction of a second."""
    import pyarrow as pa

    kind, types = column.type, pa.types
    if types.is_timestamp(kind):
        dtype = np.dtype(f"M8[{kind.unit}]")
    elif types.is_floating(kind) or types.is_integer(kind):
        dtype = np.dtype(_FLOATS.get(str(kind), str(kind)))
    else:
        raise ValueError(f"{kind} where the footer says numbers")
    if not len(column):
        return np.zeros(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)
