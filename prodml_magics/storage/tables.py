"""Blocks of the request log as a table of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from prodml_magics.contract.encode import decode_columns, output_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.storage.arrays import from_arrays
from prodml_magics.storage.blocks import Array, Block

__all__ = ["blocks_table"]


def blocks_table(blocks: Sequence[Block], writer: str, contract: Contract) -> pa.Table:
    """The rows of `blocks`, one per answered row, in the columns of `prodml_magics.storage.lake`.

    The blocks are of one model and version, and all of them have inputs or none has, and outputs or none has. A block is often a single
    row, so they are put together before anything is made of them.
    """
    requests = np.concatenate([np.asarray(block.request_rows) for block in blocks])
    sizes = np.array([block.rows for block in blocks])
    count = int(sizes.sum())
    received = np.repeat(np.array(_chained(blocks, "received_at")) * 1e6, requests).astype(np.int64)
    fields: dict[str, pa.Array] = {
        "date": _days(received),
        "writer": pa.repeat(pa.scalar(writer), count),
        "sequence": pa.array(np.repeat([block.sequence for block in blocks], sizes) + _numbered(sizes)),
        "request_id": _repeat(_chained(blocks, "request_ids"), requests),
        "row": pa.array(_numbered(requests).astype(np.int32)),
        "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
        "key": _repeat(_chained(blocks, "keys"), requests),
        "arm": _repeat([block.arm for block in blocks], sizes),
        "version": pa.array(np.full(count, blocks[0].version, np.int32)),
        "latency_ms": pa.array(np.repeat(np.array(_chained(blocks, "latency_ms"), np.float64), requests)),
        "run_ms": pa.array(np.repeat([block.run_ms for block in blocks], sizes)),
        "status": pa.array(np.repeat(np.array(_chained(blocks, "status"), np.int32), requests)),
        "rollout": pa.array(np.repeat(np.array([block.rollout for block in blocks], np.int64), sizes)),
        "share": pa.array(np.repeat(np.array([block.share for block in blocks], np.float64), sizes)),
        "log_share": pa.array(np.repeat(np.array([block.log_share for block in blocks], np.float64), sizes)),
        "mirrors": _mirrors(blocks, count),
    }
    if blocks[0].inputs:
        fields["inputs"] = _struct(decode_columns(contract, _tensors([block.inputs for block in blocks])))
    if blocks[0].outputs is not None:
        outputs = _tensors([block.outputs for block in blocks if block.outputs is not None])
        fields["outputs"] = _struct(output_columns(contract, outputs))
    return pa.table(fields)


def _chained(blocks: Sequence[Block], field: str) -> list[Any]:
    return [value for block in blocks for value in getattr(block, field)]


def _numbered(sizes: np.ndarray) -> np.ndarray:
    """0, 1, … within each group of the given sizes."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _tensors(parts: Sequence[Mapping[str, Array]]) -> dict[str, np.ndarray]:
    return {name: from_arrays([part[name] for part in parts]) for name in parts[0]}


def _repeat(values: list[str], rows: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(np.repeat(np.arange(len(values)), rows)))


def _mirrors(blocks: Sequence[Block], count: int) -> pa.Array:
    if not any(block.mirrors for block in blocks):
        return pa.nulls(count, pa.int64())
    return pa.array([each for block in blocks for each in block.mirrors or (None,) * block.rows], pa.int64())


def _days(microseconds: np.ndarray) -> pa.Array:
    days, place = np.unique(microseconds // 86_400_000_000, return_inverse=True)
    texts = [datetime.fromtimestamp(day * 86_400, UTC).date().isoformat() for day in days.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(place))


def _struct(columns: Mapping[str, np.ndarray]) -> pa.Array:
    """Named columns as one struct: numbers and booleans as float64, everything else as text; class labels are text."""
    arrays = [_text(values) if name == "label" else _arrow(values) for name, values in columns.items()]
    return pa.StructArray.from_arrays(arrays, names=list(columns))


def _arrow(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64)) if values.dtype.kind in "fiub" else _text(values)


def _text(values: np.ndarray) -> pa.Array:
    if values.dtype.kind in "iu":
        return pa.array(values).cast(pa.string())
    texts = [None if value is None or value != value else str(value) for value in values.tolist()]
    return pa.array(texts, pa.string())
