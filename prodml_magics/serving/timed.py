"""One run of a model: how long it took, and whether what it gave belongs to the rows that it was given."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from prodml_magics.contract.finite import all_finite
from prodml_magics.inference.isolated import TimedOutputs
from prodml_magics.serving.batch import Request, Tensors
from prodml_magics.serving.version import LoadedVersion

__all__ = ["count_broken", "run_timed"]


def run_timed(version: LoadedVersion, inputs: Tensors, rows: int) -> tuple[Tensors | Exception, float]:
    """Run the model on `inputs`; returns its outputs, or what it threw, and the seconds it took.

    Marking a run is no part of it: two identical versions take as long, of which only the candidate is marked.
    """
    marker = version.marker
    if marker is not None:
        marker.set(version.model, version.version)
    started = time.perf_counter()
    try:
        outputs: Tensors | Exception = version.run(inputs)
        _check_rows(outputs, rows)  # type: ignore[arg-type]
    except Exception as error:  # whatever a model throws is the answer to its rows, never the end of the worker
        outputs = error
    seconds = time.perf_counter() - started
    if marker is not None:
        marker.clear()
    version.measured(rows, seconds)
    return outputs, outputs.seconds if isinstance(outputs, TimedOutputs) else seconds


def count_broken(batch: Sequence[Request], outputs: Tensors, bounds: tuple[float, float] | None, *, holes: bool) -> int:
    """How many requests were answered with numbers outside of `bounds`, or, unless the model has `holes`, with NaN or infinity."""
    numbers = [values for values in outputs.values() if values.dtype.kind == "f"]
    if bounds is None:
        for values in numbers:
            if not all_finite(values):
                break
        else:
            return 0
    well = [_well(values, bounds, holes) for values in numbers]
    if all(each.all() for each in well):
        return 0
    broken = np.any([~each.reshape(len(each), -1).all(axis=1) for each in well], axis=0)
    starts = np.cumsum([0, *(pending.rows for pending in batch[:-1])])
    return int(np.add.reduceat(broken, starts).astype(bool).sum())


def _well(values: np.ndarray, bounds: tuple[float, float] | None, holes: bool) -> np.ndarray:
    within = True if bounds is None else (values >= bounds[0]) & (values <= bounds[1])
    return within | np.isnan(values) if holes else within & np.isfinite(values)


def _check_rows(outputs: Tensors, rows: int) -> None:
    for name, values in outputs.items():
        if values.ndim == 0 or len(values) != rows:
            raise ValueError(f"output {name} has shape {list(values.shape)} for {rows} rows")
