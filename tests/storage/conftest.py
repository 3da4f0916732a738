"""Blocks of a small model with a contract of two columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block

CONTRACT = Contract(
    task="classification",
    columns=(
        Column(name="mean radius", kind="numeric", dtype="float64", nullable=True),
        Column(name="city", kind="categorical", dtype="string", categories=("Oslo", "Rome")),
    ),
    inputs=(
        Tensor(name="numeric", datatype="FP32", shape=(-1, 1)),
        Tensor(name="categorical", datatype="BYTES", shape=(-1, 1)),
    ),
    outputs=(Tensor(name="label", datatype="INT64", shape=(-1,)), Tensor(name="probabilities", datatype="FP32", shape=(-1, 2))),
    classes=(0, 1),
)


def block(sequence: int, rows: int = 3, **changes: Any) -> Block:
    """A live block of one request of `rows` rows; values tell which row they belong to."""
    numbers = np.arange(sequence, sequence + rows, dtype=np.float32).reshape(-1, 1)
    cities = np.array([["Oslo"], ["Rome"]], dtype=object)[np.arange(rows) % 2]
    values: dict[str, Any] = {
        "model": "cancer",
        "version": 1,
        "arm": "live",
        "sequence": sequence,
        "request_ids": [f"r{sequence}"],
        "request_rows": [rows],
        "received_at": [1_767_225_600.0 + sequence],
        "latency_ms": [1.5],
        "run_ms": 0.5,
        "status": [200],
        "keys": [""],
        "inputs": {"numeric": to_array(numbers), "categorical": to_array(cities)},
        "outputs": {
            "label": to_array(np.arange(rows) % 2),
            "probabilities": to_array(np.full((rows, 2), 0.5, np.float32)),
        },
    }
    return Block(**(values | changes))
