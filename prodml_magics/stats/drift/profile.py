"""The stored form of a reference: ``profile.arrow``, an Arrow IPC file with one row per column.

Format 1. Schema metadata: ``prodml.format`` and ``prodml.extras`` (JSON). Fields: name, kind (numeric or categorical),
rows, missing, dtype; of a numeric column the sorted sample and the bin edges in the list that its dtype names; of a
categorical one levels, counts and other. To change it: add fields freely, readers ignore what they do not know; when one
changes its meaning raise PROFILE_FORMAT, keep reading every older format, and keep a file of the old one under tests.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn, Reference

__all__ = ["PROFILE_FORMAT", "from_arrow", "to_arrow"]

PROFILE_FORMAT = 1

_DTYPES = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64()}

_FIELDS = [
    pa.field("name", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("rows", pa.int64()),
    pa.field("missing", pa.int64()),
    pa.field("dtype", pa.string()),
    *(pa.field(f"values_{name}", pa.large_list(dtype)) for name, dtype in _DTYPES.items()),
    *(pa.field(f"edges_{name}", pa.list_(dtype)) for name, dtype in _DTYPES.items()),
    pa.field("levels", pa.list_(pa.string())),
    pa.field("counts", pa.list_(pa.int64())),
    pa.field("other", pa.int64()),
]


def to_arrow(reference: Reference) -> bytes:
    """The bytes of ``profile.arrow``; `from_arrow` gives the same reference back."""
    metadata = {"prodml.format": str(PROFILE_FORMAT), "prodml.extras": json.dumps(dict(reference.extras), allow_nan=False)}
    schema = pa.schema(_FIELDS, metadata=metadata)
    batches = [_batch(name, column, schema) for name, column in reference.columns.items()]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _batch(name: str, column: NumericColumn | LevelColumn, schema: pa.Schema) -> pa.RecordBatch:
    row: dict[str, Any] = {"name": name, "rows": column.rows, "missing": column.missing}
    if isinstance(column, NumericColumn):
        dtype = str(column.values.dtype)
        row |= {"kind": "numeric", "dtype": dtype, f"values_{dtype}": column.values, f"edges_{dtype}": column.edges}
    else:
        row |= {"kind": "categorical", "levels": list(column.levels), "counts": column.counts, "other": column.other}
    return pa.record_batch([pa.array([row.get(field.name)], type=field.type) for field in schema], schema=schema)


def from_arrow(data: bytes) -> Reference:
    """Read ``profile.arrow``; raises InvalidInput for anything else and Unsupported for a later format than this one."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"not a profile: {error}; register the model again to make one") from error
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    _check_format(metadata.get("prodml.format", ""))
    columns = {str(table["name"][i]): _column(table, i) for i in range(table.num_rows)}
    return Reference(columns, json.loads(metadata.get("prodml.extras", "{}")))


def _check_format(version: str) -> None:
    if not version.isdecimal():
        raise InvalidInput("an Arrow file, but not a profile: it names no format; register the model again to make one")
    if int(version) > PROFILE_FORMAT:
        raise Unsupported(f"profile format {version} is later than {PROFILE_FORMAT}, the last known here; upgrade prodml-magics")


def _column(table: pa.Table, i: int) -> NumericColumn | LevelColumn:
    rows, missing = table["rows"][i].as_py(), table["missing"][i].as_py()
    if table["kind"][i].as_py() == "categorical":
        counts = _array(table["counts"][i], "int64")
        return LevelColumn(rows, missing, tuple(table["levels"][i].as_py()), counts, table["other"][i].as_py())
    dtype = table["dtype"][i].as_py()
    return NumericColumn(rows, missing, *(_array(table[f"{part}_{dtype}"][i], dtype) for part in ("values", "edges")))


def _array(cell: pa.Scalar, dtype: str) -> NDArray[Any]:
    return np.asarray(cell.values.to_numpy(zero_copy_only=False), dtype=dtype)
