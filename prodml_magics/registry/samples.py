"""Which rows are kept with a version, so that whoever loads it can see that it answers as it did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prodml_magics.contract.samples import write_samples
from prodml_magics.inference.runner import Runner
from prodml_magics.registry.probes import sample_rows

__all__ = ["SAMPLE_ROWS", "make_samples", "write_samples"]

SAMPLE_ROWS = 16


def make_samples(session: Runner, tensors: Mapping[str, np.ndarray]) -> bytes:
    """``samples.json``: up to 16 of the rows in `tensors` and the session's answers, none of them infinite."""
    inputs = sample_rows(tensors, SAMPLE_ROWS)
    outputs = session.run(inputs)
    finite = np.ones(len(next(iter(inputs.values()))), np.bool_)
    for values in outputs.values():
        if values.dtype.kind == "f" and len(values) == len(finite):
            finite &= ~np.isinf(values.reshape(len(values), -1)).any(axis=1)
    return write_samples(_kept(inputs, finite), _kept(outputs, finite))


def _kept(tensors: Mapping[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[chosen] if len(values) == len(chosen) else values for name, values in tensors.items()}
