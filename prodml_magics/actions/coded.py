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


def decoded(path: Path, name: str, groups: Sequence[int], dtype: np.dtype[Any], most: int) -> Iterator[tuple[NDArray[Any], int]]:
    """The present values of a flat column in some row groups, at most so many at a time, and how many are missing beside them.

    Raises ValueError where Arrow sees other values than numbers of this dtype, and that or OSError where it cannot read them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=_READ_AT_ONCE) as file:
            for batch in file.iter_batches(most, row_groups=list(groups), columns=[name], use_threads=False):
                if not batch.num_columns:
                    raise ValueError(f"the file has no column '{name}' any more")
                column = batch.column(0)
                values = column.drop_null().to_numpy(zero_copy_only=False)
                if not np.can_cast(values.dtype, dtype, "safe"):
                    raise ValueError(f"{values.dtype} where the footer says {dtype}")
                yield values.astype(dtype, copy=False), column.null_count
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
