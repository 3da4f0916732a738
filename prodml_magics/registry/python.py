"""A Python model proved in the process that will answer for it: what ONNX cannot express, and the user trusts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Contract, write_contract
from prodml_magics.errors import InvalidInput
from prodml_magics.inference.isolated import IsolatedSession, RunRefused
from prodml_magics.registry.bundle import write_bundle
from prodml_magics.registry.callables import CallableReference
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.parity import Parity, prove
from prodml_magics.registry.probes import make_probes, sample_rows
from prodml_magics.registry.prove import Proved, tensors_of
from prodml_magics.registry.reference import Reference
from prodml_magics.registry.trusted import MODULE

__all__ = ["ProvedPython", "open_python", "prove_python"]

Columns = Mapping[str, np.ndarray]


class ProvedPython(NamedTuple):
    """A model that answers from a process of its own as it does here, with that process still running."""

    proved: Proved
    session: IsolatedSession


def open_python(model: bytes, contract: bytes, **options: Any) -> IsolatedSession:
    """A process of its own that answers for the bundle `model`, see `IsolatedSession`."""
    return IsolatedSession(MODULE, model, contract, **options)


def prove_python(
    draft: Contract, reference: Reference | CallableReference, train: Columns, test: Columns | None, reason: str = ""
) -> ProvedPython:
    """Pickle the model, load it elsewhere, and hold it to its own answers; numbers travel in double.

    `draft` is the contract without tensors. Raises `InvalidInput` when it cannot be pickled or fails on the rows given, and
    `GateRefused` when the other process cannot load it or answers differently.
    """
    contract = msgspec.structs.replace(draft, inputs=wire_inputs(draft.columns, "FP64"))
    encoded = encode_columns(contract, train), None if test is None else encode_columns(contract, test)
    probes = make_probes(contract, reference, *encoded)
    contract = msgspec.structs.replace(contract, outputs=tensors_of(probes[0].expected))
    bundle = write_bundle(reference)
    session = open_python(bundle, write_contract(contract), quiet=True)
    try:
        parity, outputs = prove(bundle, probes, "FP64", lambda _, batches: _runs(session, batches))
        if not parity.passed:
            raise InvalidInput(_unlike(reference, parity))
        contract = msgspec.structs.replace(contract, outputs=tensors_of(outputs))
        warning = _warning(reference, reason, _milliseconds(session, encoded[0]))
    except BaseException:
        session.close()
        raise
    return ProvedPython(Proved(bundle, contract, parity, (warning,)), session)


def _runs(session: IsolatedSession, batches: Sequence[Columns]) -> list[dict[str, np.ndarray]]:
    try:
        return [session.run(batch) for batch in batches]
    except RunRefused as error:
        raise InvalidInput(
            f"the model answers here but fails in a process of its own: {error}; see what it reads from here"
        ) from error


def _unlike(reference: Reference | CallableReference, parity: Parity) -> str:
    name = getattr(reference.model, "__name__", type(reference.model).__name__)
    worst = parity.worst[0]
    return (
        f"{name} answers the same rows differently in another process, {worst.kind} row {worst.row} ({worst.output} {worst.expected} "
        f"became {worst.given}); take out randomness, time, and what depends on the rows beside"
    )


def _milliseconds(session: IsolatedSession, rows: Columns) -> float:
    """Of one row, the median of five."""
    one = sample_rows(rows, 1)
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        session.run(one)
        taken.append(time.perf_counter() - started)
    return sorted(taken)[2] * 1e3


def _warning(reference: Reference | CallableReference, reason: str, milliseconds: float) -> str:
    because = f"{reason.rpartition(';')[0] or reason}; " if reason else ""
    return f"{because}served as Python from a process of its own, {milliseconds:.1f} ms for one row: ONNX would take microseconds"
