"""Convert until it is exact: float32 first, double where float32 rounds across a threshold, else refuse with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from prodml_magics.contract.datatypes import datatype_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.gate import check_model
from prodml_magics.inference.process import Child
from prodml_magics.inference.smoke import smoke_run
from prodml_magics.registry.converters import blame, convert, start_converter
from prodml_magics.registry.layout import Precision, wire_inputs
from prodml_magics.registry.parity import Parity, prove
from prodml_magics.registry.probes import Probe, make_probes, sample_rows
from prodml_magics.registry.reference import Reference

__all__ = ["Proved", "convert_exactly", "tensors_of"]

Columns = Mapping[str, np.ndarray]


class Proved(NamedTuple):
    """A file that answers as the model does, with its full contract."""

    model: bytes
    contract: Contract
    parity: Parity
    warnings: tuple[str, ...] = ()


class _Attempt(NamedTuple):
    """One conversion and how it fared; `error` in place of `parity` where it did not run."""

    precision: Precision
    probes: list[Probe]
    model: bytes = b""
    parity: Parity | None = None
    error: GateRefused | Unsupported | None = None


def convert_exactly(child: Child, draft: Contract, reference: Reference, train: Columns, test: Columns | None) -> Proved:
    """The first exact conversion, in float32 or else in double; `child` makes the first.

    `draft` is the contract without tensors. Raises `GateRefused` naming the worst rows and the step at fault.
    """
    first = _attempt(child, draft, reference, train, test, "FP32")
    if first.parity and first.parity.passed:
        return _proved(draft, first)
    if isinstance(first.error, Unsupported) or not any(column.kind == "numeric" for column in draft.columns):
        raise first.error or _refusal(draft, reference, first)
    with start_converter() as second_child:
        second = _attempt(second_child, draft, reference, train, test, "FP64")
    if second.parity and second.parity.passed:
        return _proved(draft, second)
    raise _refusal(draft, reference, second if second.parity else first)


def tensors_of(arrays: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """The outputs of a run as tensors of a contract, their first axis free."""
    return tuple(
        Tensor(name=name, datatype=datatype_of(array.dtype), shape=(-1, *array.shape[1:])) for name, array in arrays.items()
    )


def _attempt(
    child: Child, draft: Contract, reference: Reference, train: Columns, test: Columns | None, precision: Precision
) -> _Attempt:
    contract = msgspec.structs.replace(draft, inputs=wire_inputs(draft.columns, precision))
    probes = make_probes(
        contract, reference, encode_columns(contract, train), None if test is None else encode_columns(contract, test)
    )
    try:
        model = convert(child, reference.model, contract.columns, precision)
        check_model(model, trusted_exporter=True)
        return _Attempt(precision, probes, model, prove(model, probes, precision))
    except (GateRefused, Unsupported) as error:
        return _Attempt(precision, probes, error=error)


def _proved(draft: Contract, attempt: _Attempt) -> Proved:
    assert attempt.parity is not None
    inputs = wire_inputs(draft.columns, attempt.precision)
    [outputs] = smoke_run(attempt.model, [sample_rows(attempt.probes[0].tensors, 2)])
    contract = msgspec.structs.replace(draft, inputs=inputs, outputs=tensors_of(outputs))
    double = "float32 would change answers: the model takes FP64 inputs, and FP32 ones as they are"
    return Proved(attempt.model, contract, attempt.parity, (double,) if attempt.precision == "FP64" else ())


def _refusal(draft: Contract, reference: Reference, attempt: _Attempt) -> GateRefused:
    """The error that says how far the two are apart, on which rows, and because of which step."""
    if attempt.parity is None:
        reason = str(attempt.error)
        return GateRefused(f"the ONNX form of {type(reference.model).__name__} cannot be used: {reason}")
    parity = attempt.parity
    apart = [f"differ by up to {parity.max_abs_difference:.2g} (allowed {parity.tolerance:g})"]
    if parity.label_agreement not in (None, 1.0):
        apart.append(f"agree on {parity.label_agreement:.4%} of the labels")
    rows = ", ".join(f"{row.kind} row {row.row} ({row.output} {row.expected} became {row.given})" for row in parity.worst[:2])
    step = _fault(draft, reference, attempt)
    return GateRefused(
        f"ONNX would not answer as {type(reference.model).__name__} does: they {' and '.join(apart)}, worst in {rows}; {step}"
    )


def _fault(draft: Contract, reference: Reference, attempt: _Attempt) -> str:
    contract = msgspec.structs.replace(draft, inputs=wire_inputs(draft.columns, attempt.precision))
    worst = attempt.parity.worst[0].kind if attempt.parity and attempt.parity.worst else ""
    probe = next((probe for probe in attempt.probes if probe.kind == worst), attempt.probes[0])
    faults = blame(reference.model, reference.table(contract, sample_rows(probe.tensors, 500)))
    if faults:
        return _sentence(faults)
    return "every step alone is exact, so that rounding between them is at fault; remove a step, or train on rounded values"


def _sentence(faults: Sequence[Any]) -> str:
    return f"at fault: {'; '.join(map(str, faults[:2]))}"
