"""Convert until it is exact: float32 first, double where float32 rounds across a threshold, else refuse with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.datatypes import datatype_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.gate import check_model
from prodml_magics.registry.coding import Coded, with_codes
from prodml_magics.registry.converters.network import Network
from prodml_magics.registry.layout import Precision, wire_inputs
from prodml_magics.registry.parity import Batches, Parity, Run, prove
from prodml_magics.registry.precision import precisions
from prodml_magics.registry.probes import Probe, make_probes, sample_rows
from prodml_magics.registry.reference import Reference
from prodml_magics.stats.percent import percent

__all__ = ["Converter", "Proved", "convert_exactly", "tensors_of"]

Columns = Mapping[str, np.ndarray]
Tensors = dict[str, np.ndarray]


class Proved(NamedTuple):
    """A file that answers as the model does, with its full contract."""

    model: bytes
    contract: Contract
    parity: Parity
    warnings: tuple[str, ...] = ()
    encoded: tuple[Tensors, Tensors | None] | None = None
    """The training and the test rows as wire tensors of the contract, where they are at hand."""


class Converter(Protocol):
    """Makes ONNX files, tries them out, and says which step of a model it cannot make right."""

    def start(self) -> None: ...

    def convert(self, model: Any, columns: Sequence[Column], precision: Precision) -> bytes: ...

    def convert_network(self, network: Network) -> bytes: ...

    def blame(self, model: Any, rows: Any) -> list[str]: ...

    def run(self, model: bytes, batches: Batches) -> list[dict[str, np.ndarray]]: ...


class _Attempt(NamedTuple):
    """One conversion and how it fared; `error` in place of `parity` where it did not run."""

    contract: Contract
    precision: Precision
    probes: list[Probe]
    model: bytes = b""
    parity: Parity | None = None
    error: GateRefused | Unsupported | None = None
    encoded: tuple[Tensors, Tensors | None] | None = None


def convert_exactly(converter: Converter, draft: Contract, reference: Reference, train: Columns, test: Columns | None) -> Proved:
    """The first exact conversion among the precisions of `precision.precisions`, with text as numbers of levels where that can be.

    `draft` is the contract without tensors. Raises `GateRefused` naming the worst rows and the step at fault, and
    `Unsupported` for what ONNX cannot express in any precision.
    """
    tried: list[_Attempt] = []
    found = with_codes(reference, *_first_row(draft, train)) if draft.categorical else None
    for coded in _ways(found, draft):
        for precision in precisions(reference.model) if coded or draft.numeric else ("FP32",):
            attempt = _attempt(converter, draft, reference, train, test, precision, coded)
            if attempt.parity and attempt.parity.passed:
                return _proved(attempt)
            tried.append(attempt)
            if isinstance(attempt.error, Unsupported) and precision == "FP32":
                break  # what float32 cannot express, double cannot either
    if all(isinstance(attempt.error, Unsupported) for attempt in tried):
        error = (tried[0] if found else tried[-1]).error  # text that stays text is the poorer way
        raise Unsupported(str(error)) from error
    compared = [attempt for attempt in tried if attempt.parity]
    raise _refusal(converter, reference, (compared or tried)[-1])


def _ways(found: Coded | None, draft: Contract) -> tuple[Coded | None, ...]:
    """With text as numbers where that can be, and as text; a graph of text cannot tell empty from missing."""
    both = next((column.name for column in draft.categorical if column.null), None)
    if both is None:
        return (None,) if found is None else (found, None)
    if found is None:
        raise Unsupported(
            f"column {both!r} holds empty text and missing values, which ONNX tells apart for OneHotEncoder, OrdinalEncoder and "
            "TargetEncoder alone; let one of them read it, or replace one by the other and fit again"
        )
    return (found,)


def tensors_of(arrays: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """The outputs of a run as tensors of a contract, their first axis free."""
    return tuple(
        Tensor(name=name, datatype=datatype_of(array.dtype), shape=(-1, *array.shape[1:])) for name, array in arrays.items()
    )


def _attempt(
    converter: Converter,
    draft: Contract,
    reference: Reference,
    train: Columns,
    test: Columns | None,
    precision: Precision,
    coded: Coded | None = None,
) -> _Attempt:
    codes = coded.codes if coded else ()
    contract = msgspec.structs.replace(draft, inputs=wire_inputs(draft.columns, precision), codes=codes)
    encoded = encode_columns(contract, train), None if test is None else encode_columns(contract, test)
    probes = make_probes(contract, reference, *encoded)
    try:
        model = converter.convert(coded.model if coded else reference.model, contract.columns, precision)
        check_model(model, trusted_exporter=True)
        parity, outputs = prove(model, probes, precision, _as_served(contract, converter.run))
    except (GateRefused, Unsupported) as error:
        return _Attempt(contract, precision, probes, error=error)
    complete = msgspec.structs.replace(contract, outputs=tensors_of(outputs))
    return _Attempt(complete, precision, probes, model, parity, encoded=encoded if parity.passed else None)


def _first_row(draft: Contract, train: Columns) -> tuple[Contract, dict[str, np.ndarray]]:
    """A contract that training rows can be encoded by, and the wire tensors of the first."""
    contract = msgspec.structs.replace(draft, inputs=wire_inputs(draft.columns, "FP64"))
    return contract, encode_columns(contract, {name: values[:1] for name, values in train.items()})


def _as_served(contract: Contract, run: Run) -> Run:
    """`run` for wire tensors, turned into those of the graph as the gateway does."""
    feeds = feeds_of(contract)
    return run if feeds is None else lambda model, batches: run(model, [feeds(batch) for batch in batches])


def _proved(attempt: _Attempt) -> Proved:
    assert attempt.parity is not None
    double = "float32 would change answers: the model takes FP64 inputs, and FP32 ones as they are"
    warnings = (double,) if attempt.precision == "FP64" else ()
    return Proved(attempt.model, attempt.contract, attempt.parity, warnings, attempt.encoded)


def _refusal(converter: Converter, reference: Reference, attempt: _Attempt) -> GateRefused:
    """The error that says how far the two are apart, on which rows, and because of which step."""
    name = type(reference.model).__name__
    if attempt.parity is None:
        return GateRefused(f"the ONNX form of {name} cannot be used: {attempt.error}")
    parity = attempt.parity
    apart = [f"differ by up to {parity.max_abs_difference:.2g} (allowed {parity.tolerance:g})"]
    if parity.label_agreement not in (None, 1.0):
        apart.append(f"agree on {percent(parity.label_agreement, 3)} of the labels")
    rows = ", ".join(f"{row.kind} row {row.row} ({row.output} {row.expected} became {row.given})" for row in parity.worst[:2])
    fault = _fault(converter, reference, attempt)
    return GateRefused(f"ONNX would not answer as {name} does: they {' and '.join(apart)}, worst in {rows}; {fault}")


def _fault(converter: Converter, reference: Reference, attempt: _Attempt) -> str:
    worst = attempt.parity.worst[0].kind if attempt.parity and attempt.parity.worst else ""
    probe = next((probe for probe in attempt.probes if probe.kind == worst), attempt.probes[0])
    faults = converter.blame(reference.model, reference.table(attempt.contract, sample_rows(probe.tensors, 500)))
    if faults:
        return f"at fault: {'; '.join(faults[:2])}"
    return "every step alone is exact, so that rounding between them is at fault; remove a step, or train on rounded values"
