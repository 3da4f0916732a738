"""A ready ``.onnx`` file made into a version: it has no other model to agree with, so it must agree with itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import GateRefused, InvalidInput
from prodml_magics.inference.smoke import smoke_run
from prodml_magics.registry.converters.ready import describe_tensors, prepare_file, task_of
from prodml_magics.registry.parity import Parity, measure
from prodml_magics.registry.probes import Probe, sample_rows
from prodml_magics.registry.prove import tensors_of

__all__ = ["ReadyModel", "prove_file"]

Columns = Mapping[str, np.ndarray]
_ROWS = 2_000


class ReadyModel(NamedTuple):
    """A file that passed, with its contract, and the given rows as its tensors."""

    model: bytes
    contract: Contract
    parity: Parity
    train: dict[str, np.ndarray] | None
    test: dict[str, np.ndarray] | None
    warnings: tuple[str, ...]


def prove_file(file: bytes, train: Columns | None, test: Columns | None) -> ReadyModel:
    """Gate, run, and hold to itself: the same rows twice, and alone, in twos and threes, must give the same answers.

    Rows are given as columns, which are laid side by side into the file's one input, or by the names of its inputs.
    Without rows it is run on zeros. Raises `GateRefused` for an unsafe file, one that fails, and one whose answer to a row
    depends on the rows beside it.
    """
    model = prepare_file(file)
    inputs, outputs = describe_tensors(model)
    training, testing = (None if rows is None else _tensors(inputs, rows) for rows in (train, test))
    rows = sample_rows(testing or training or _zeros(inputs), _ROWS)
    count = len(next(iter(rows.values())))
    batches = [rows, rows, *({n: v[:size] for n, v in rows.items()} for size in (1, 2, 3) if size < count)]
    first, *others = smoke_run(model, batches, timeout_s=60)
    _check_rows(first, count)
    expected = [
        Probe("file", batch, {n: v[: len(next(iter(batch.values())))] for n, v in first.items()}) for batch in batches[1:]
    ]
    parity = measure(expected, others, "FP32", tuple(sorted({len(next(iter(batch.values()))) for batch in batches})))
    if not parity.passed:
        raise GateRefused(f"the file answers differently when rows are sent together: by up to {parity.max_abs_difference:.2g}")
    contract = Contract(
        task=task_of(outputs), columns=(), inputs=inputs, outputs=_outputs(outputs, first), classes=_classes(first)
    )
    warnings = () if train or test else ("the file was run on zeros only: no rows were given",)
    return ReadyModel(model, contract, parity, training, testing, warnings)


def _outputs(declared: tuple[Tensor, ...], run: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """Outputs with the widths that a run showed where the file leaves them open."""
    shown = {tensor.name: tensor for tensor in tensors_of(run)}
    return tuple(shown[tensor.name] for tensor in declared)


def _classes(run: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """0, 1, … for the columns of ``probabilities``: a file does not say what its classes are called."""
    probabilities = run.get("probabilities")
    return tuple(range(probabilities.shape[1])) if probabilities is not None and probabilities.ndim == 2 else ()


def _tensors(inputs: tuple[Tensor, ...], columns: Columns) -> dict[str, np.ndarray]:
    """Named columns as the file's inputs: side by side for one input, by name for several."""
    if len(inputs) == 1:
        return {inputs[0].name: _fit(inputs[0], np.column_stack(list(columns.values())))}
    names = [tensor.name for tensor in inputs]
    if set(columns) != set(names):
        raise InvalidInput(
            f"the file has the inputs {', '.join(names)}, the rows the columns {', '.join(list(columns)[:5])}; name them alike"
        )
    return {tensor.name: _fit(tensor, np.asarray(columns[tensor.name])) for tensor in inputs}


def _fit(tensor: Tensor, values: Any) -> np.ndarray:
    shape = (len(values), *tensor.shape[1:])
    try:
        return np.ascontiguousarray(values.astype(dtype_of(tensor.datatype)).reshape(shape))
    except ValueError as error:
        given = f"{list(values.shape)} of {values.dtype.name}"
        raise InvalidInput(
            f"input {tensor.name!r} is {tensor.datatype} {list(tensor.shape)}, the rows are {given}; give rows that fit"
        ) from error


def _zeros(inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    found = {}
    for tensor in inputs:
        shape = (4, *(size if size > 0 else 1 for size in tensor.shape[1:]))
        found[tensor.name] = (
            np.full(shape, "", object) if tensor.datatype == "BYTES" else np.zeros(shape, dtype_of(tensor.datatype))
        )
    return found


def _check_rows(outputs: Mapping[str, np.ndarray], count: int) -> None:
    for name, values in outputs.items():
        if values.ndim == 0 or len(values) != count:
            raise GateRefused(
                f"output {name!r} has shape {list(values.shape)} for {count} rows; export the model with a free first axis"
            )
