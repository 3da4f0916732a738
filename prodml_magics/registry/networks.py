"""Networks of PyTorch and JAX as models: what goes in, what their outputs mean, and proof that ONNX answers as they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from prodml_magics.contract.datatypes import datatype_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import GateRefused, InvalidInput, first_line
from prodml_magics.inference.gate import check_model
from prodml_magics.registry.converters.families import Family
from prodml_magics.registry.converters.network import Meaning, Network, answers_of
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.parity import Batches, prove
from prodml_magics.registry.probes import make_probes
from prodml_magics.registry.prove import Proved, tensors_of

__all__ = ["NetworkConverter", "NetworkReference", "NetworkRows", "described_network", "network_rows", "prove_network"]

_SUMS_TO_ONE = 1e-3


class NetworkRows(NamedTuple):
    """Rows as a network gets them: named `columns` of a table of numbers, or none and one `array` [rows, …]."""

    columns: Mapping[str, np.ndarray]
    array: np.ndarray | None = None

    def tensors(self, contract: Contract) -> dict[str, np.ndarray]:
        """The wire tensors of the rows."""
        if self.array is None:
            return encode_columns(contract, self.columns)
        return {"input": np.ascontiguousarray(self.array, _wire_dtype(self.array))}


class NetworkConverter(Protocol):
    """Makes the ONNX file of a network, and tries it out."""

    def convert_network(self, network: Network) -> bytes: ...

    def run(self, model: bytes, batches: Batches) -> list[dict[str, np.ndarray]]: ...


class NetworkReference:
    """The network, asked by wire tensors in this process."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.model = network.function
        self._run = import_module(f"{__package__}.converters.{network.family}").run_network

    def outputs(self, array: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]]:
        """Names and arrays that the function returns for wire rows."""
        found: tuple[tuple[str, ...], list[np.ndarray]] = self._run(self.network.function, array.astype(self.network.seen))
        return found

    def answer(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs under our names; what the function raises passes through."""
        return answers_of(self.network, self.outputs(tensors["input"])[1])


def described_network(
    model: Any, family: Family, rows: NetworkRows, target: np.ndarray | None, task: str
) -> tuple[NetworkReference, Contract, tuple[str, ...]]:
    """The network beside its draft of a contract, without outputs, and what the user should know of how it was understood."""
    columns = infer_columns(rows.columns) if rows.array is None else ()
    text = next((column.name for column in columns if column.kind == "categorical"), None)
    if text is not None:
        raise InvalidInput(f"column {text!r} is text, and a {family.name} model takes numbers; encode it before training")
    opened = import_module(f"{__package__}.converters.{family.converter}").open_network(model)
    if rows.array is None:
        dtype = np.dtype(opened.seen)
        inputs = wire_inputs(columns, "FP64" if dtype == np.float64 else "FP32")
    else:
        dtype = _wire_dtype(rows.array)
        inputs = (Tensor(name="input", datatype=datatype_of(dtype), shape=(-1, *rows.array.shape[1:])),)
    draft = Contract(task="other", columns=columns, inputs=inputs, outputs=())
    seen = opened.seen if dtype.kind == "f" else opened.seen_whole
    network = opened._replace(shape=inputs[0].shape[1:], dtype=dtype.name, seen=seen)
    names, outputs = _first_answer(NetworkReference(network), draft, rows)
    meaning = _meaning(outputs, names, task, target)
    known = msgspec.structs.replace(draft, task=_task(meaning, task), classes=_classes(meaning, outputs))
    return NetworkReference(network._replace(meaning=meaning, names=names)), known, _notes(meaning, outputs)


def prove_network(
    converter: NetworkConverter,
    draft: Contract,
    reference: NetworkReference,
    train: NetworkRows,
    test: NetworkRows | None,
) -> Proved:
    """Convert, and hold the file to the network's own answers; raises `Unsupported` or `GateRefused` with the worst rows."""
    probes = make_probes(draft, reference, train.tensors(draft), test.tensors(draft) if test else None)
    model = converter.convert_network(reference.network)
    check_model(model, trusted_exporter=True)
    parity, outputs = prove(model, probes, "FP64" if draft.inputs[0].datatype == "FP64" else "FP32", converter.run)
    if not parity.passed:
        worst = ", ".join(
            f"{row.kind} row {row.row} ({row.output} {row.expected} became {row.given})" for row in parity.worst[:2]
        )
        raise GateRefused(
            f"ONNX would not answer as {reference.network.name} does: they differ by up to {parity.max_abs_difference:.2g} "
            f"(allowed {parity.tolerance:g}), worst in {worst}; let no answer depend on the rows beside it, and compute in float32"
        )
    return Proved(model, msgspec.structs.replace(draft, outputs=tensors_of(outputs)), parity)


def _wire_dtype(array: np.ndarray) -> np.dtype:
    """Floats travel as float32, whole numbers as they are, except that bytes of images stay bytes."""
    if array.dtype.kind == "f":
        return np.dtype(np.float32)
    return np.dtype(np.uint8) if array.dtype == np.uint8 else np.dtype(np.int64)


def _first_answer(reference: NetworkReference, draft: Contract, rows: NetworkRows) -> tuple[tuple[str, ...], list[np.ndarray]]:
    tensors = rows.tensors(draft)
    count = len(tensors["input"])
    try:
        names, outputs = reference.outputs(tensors["input"])
    except Exception as error:  # whatever a user's network raises is the reason to give
        raise InvalidInput(
            f"the model itself fails on the training rows: {first_line(error)}; it gets one array [rows, …] and returns arrays"
        ) from error
    for name, values in zip(names, outputs, strict=True):
        if values.ndim == 0 or len(values) != count:
            raise InvalidInput(
                f"{name} has shape {list(values.shape)} for {count} rows; return one value, or row of values, for each"
            )
    return names, outputs


def _meaning(outputs: Sequence[np.ndarray], names: Sequence[str], task: str, target: np.ndarray | None) -> Meaning:
    """What the outputs are, by the task where it is given, else by what they look like beside the target."""
    only = outputs[0]
    if len(outputs) != 1 or names != ("output",) or only.ndim > 2 or only.dtype.kind != "f" or task == "other":
        if task in ("classification", "regression"):
            raise InvalidInput(f"the model returns {', '.join(names)}, not one array [rows, k]; leave --task out, or return one")
        return "other"
    width = only.shape[1] if only.ndim == 2 else 1
    if width > 1:
        sums = np.abs(only.sum(axis=1) - 1).max() <= _SUMS_TO_ONE and only.min() >= 0
        if task != "regression" and (sums or task == "classification" or _counts(target) == width):
            return "probabilities" if sums else "scores"
        return "predictions"
    if task == "classification" or (task == "auto" and _counts(target) == 2 and target is not None and set(target) <= {0, 1}):
        return "probability" if only.min() >= 0 and only.max() <= 1 else "score"
    return "prediction"


def _counts(target: np.ndarray | None) -> int | None:
    """How many classes a target of codes 0, 1, … has; None for another target."""
    if target is None or target.ndim != 1 or target.dtype.kind not in "biu" or target.min() < 0:
        return None
    return int(target.max()) + 1


def _task(meaning: Meaning, task: str) -> Any:
    if meaning in ("prediction", "predictions"):
        return "regression"
    return "other" if meaning == "other" else "classification"


def _classes(meaning: Meaning, outputs: Sequence[np.ndarray]) -> tuple[int, ...]:
    """The codes 0, 1, … that a network is trained on: it knows no other names of its classes."""
    if meaning in ("score", "probability"):
        return (0, 1)
    return tuple(range(outputs[0].shape[1])) if meaning in ("scores", "probabilities") else ()


def _notes(meaning: Meaning, outputs: Sequence[np.ndarray]) -> tuple[str, ...]:
    if meaning == "scores":
        return (f"its outputs were taken as scores of {outputs[0].shape[1]} classes, made into probabilities by a softmax",)
    return ("its output was taken as the score of class 1, made into a probability by a logistic function",) * (
        meaning == "score"
    )


def network_rows(rows: Any, columns: Any) -> NetworkRows:
    """`rows` as a network gets them: arrays of more than two axes, or of whole numbers, as one tensor, else named columns."""
    if not hasattr(rows, "columns"):
        array = np.asarray(rows)
        if array.ndim > 2 or (array.ndim == 2 and array.dtype.kind in "iu"):
            return NetworkRows({}, _checked(array))
    return NetworkRows(columns(rows))


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" or not len(array):
        raise InvalidInput(f"the data is an array of {array.dtype.name} with {len(array)} rows; give rows of numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInput("the data holds missing or infinite values; replace them before registering")
    return array
