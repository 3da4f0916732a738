"""A block of the request log as a table of the lake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from prodml_magics.contract.encode import decode_columns, output_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.storage.arrays import from_array
from prodml_magics.storage.blocks import Block

__all__ = ["block_table"]


def block_table(block: Block, writer: str, contract: Contract) -> pa.Table:
    """The rows of `block`, one per answered row, in the columns of `prodml_magics.storage.lake`."""
    rows = np.asarray(block.request_rows)
    count = int(rows.sum())
    received = np.repeat(np.asarray(block.received_at) * 1e6, rows).astype(np.int64)
    starts = np.repeat(np.cumsum(rows) - rows, rows)
    fields: dict[str, pa.Array] = {
        "date": _days(received),
        "writer": pa.repeat(pa.scalar(writer), count),
        "sequence": pa.array(np.arange(block.sequence, block.sequence + count)),
        "request_id": _repeat(block.request_ids, rows),
        "row": pa.array((np.arange(count) - starts).astype(np.int32)),
        "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
        "key": _repeat(block.keys, rows),
        "arm": pa.repeat(pa.scalar(block.arm), count),
        "version": pa.array(np.full(count, block.version, np.int32)),
        "latency_ms": pa.array(np.repeat(np.asarray(block.latency_ms, np.float64), rows)),
        "run_ms": pa.array(np.full(count, block.run_ms)),
        "status": pa.array(np.repeat(np.asarray(block.status, np.int32), rows)),
        "mirrors": pa.array(block.mirrors if block.mirrors is not None else [None] * count, pa.int64()),
    }
    inputs = {name: from_array(array) for name, array in block.inputs.items()}
    fields["inputs"] = _struct(decode_columns(contract, inputs))
    if block.outputs is not None:
        outputs = {name: from_array(array) for name, array in block.outputs.items()}
        fields["outputs"] = _struct(output_columns(contract, outputs))
    return pa.table(fields)


def _repeat(values: list[str], rows: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(np.repeat(np.arange(len(values)), rows)))


def _days(microseconds: np.ndarray) -> pa.Array:
    days = microseconds // 86_400_000_000
    texts = {int(day): datetime.fromtimestamp(int(day) * 86_400, UTC).date().isoformat() for day in np.unique(days)}
    return pa.array([texts[day] for day in days.tolist()], pa.string())


def _struct(columns: Mapping[str, np.ndarray]) -> pa.Array:
    """Named columns as one struct: numbers and booleans as float64, everything else as text; class labels are text."""
    arrays = [_text(values) if name == "label" else _arrow(values) for name, values in columns.items()]
    return pa.StructArray.from_arrays(arrays, names=list(columns))


def _arrow(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64)) if values.dtype.kind in "fiub" else _text(values)


def _text(values: np.ndarray) -> pa.Array:
    texts = [None if value is None or value != value else str(value) for value in values.tolist()]
    return pa.array(texts, pa.string())
