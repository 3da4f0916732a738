"""The rows on which a conversion must prove itself: real ones, and ones made to be difficult."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.registry.thresholds import threshold_rows

__all__ = ["UNSEEN", "Asked", "Probe", "make_probes", "sample_rows"]

_TEST_ROWS, _TRAIN_ROWS, _ROWS_PER_COLUMN, _BATCH_ROWS = 20_000, 2_000, 20, 4_096
UNSEEN = "a level that no training row had"


class Asked(Protocol):
    """A model that answers wire tensors in this process, see `reference.Reference`."""

    @property
    def model(self) -> Any: ...

    def answer(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


class Probe(NamedTuple):
    """Wire tensors of one kind of rows, and scikit-learn's answers to them."""

    kind: str
    tensors: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    start: int = 0
    """Number of the first row among the rows of its kind."""


def make_probes(
    contract: Contract, reference: Asked, train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray] | None
) -> list[Probe]:
    """Probes of the kinds test, train, missing, unseen, empty and threshold; `train` and `test` are encoded wire tensors.

    Made-up rows that scikit-learn itself refuses are left out: ONNX is never asked what the model cannot answer. Raises
    `InvalidInput` when scikit-learn refuses the real ones.
    """
    base = sample_rows(train, _TRAIN_ROWS)
    probes: list[Probe] = []
    if test is not None:
        probes += _real("test", contract, reference, sample_rows(test, _TEST_ROWS))
    probes += _real("train", contract, reference, base)
    few = sample_rows(train, _ROWS_PER_COLUMN)
    for kind, tensors in (
        *_planted(contract, few),
        *threshold_rows(reference.model, contract, base, getattr(reference, "table", None)),
    ):
        probes += _made(kind, contract, reference, tensors)
    return probes


def sample_rows(tensors: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    """At most `most` rows, drawn with a fixed seed, in their order."""
    count = len(next(iter(tensors.values())))
    if count <= most:
        return dict(tensors)
    chosen = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    return {name: values[chosen] for name, values in tensors.items()}


def _real(kind: str, contract: Contract, reference: Asked, tensors: dict[str, np.ndarray]) -> list[Probe]:
    """Batches of at most 4,096 rows, since nearest neighbours keep every distance in memory."""
    try:
        expected = reference.answer(contract, tensors)
    except Exception as error:  # whatever a user's model raises is the reason to give
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise InvalidInput(f"the model itself fails on the {kind} rows: {line}; check the rows and the model") from error
    rows = len(next(iter(tensors.values())))
    return [Probe(kind, _cut(tensors, start), _cut(expected, start), start) for start in range(0, rows, _BATCH_ROWS)]


def _cut(tensors: Mapping[str, np.ndarray], start: int) -> dict[str, np.ndarray]:
    return {name: values[start : start + _BATCH_ROWS] for name, values in tensors.items()}


def _made(kind: str, contract: Contract, reference: Asked, tensors: dict[str, np.ndarray]) -> list[Probe]:
    try:
        return [Probe(kind, tensors, reference.answer(contract, tensors))]
    except Exception:  # the model refuses such rows, in whatever words: then there is no answer to compare with
        return []


def _planted(contract: Contract, few: Mapping[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Rows of which every second lacks one value where it may, or holds an unseen level or empty text where it is text, for each column."""
    for tensor in contract.inputs:
        text = tensor.datatype == "BYTES"
        for place, column in enumerate(tensor_columns(contract, tensor)):
            if column.nullable:
                yield "missing", _replaced(few, tensor.name, place, column.null if text else np.nan)
            if text:
                yield "unseen", _replaced(few, tensor.name, place, UNSEEN)
                if column.null or not column.nullable:
                    yield "empty", _replaced(few, tensor.name, place, "")


def _replaced(tensors: Mapping[str, np.ndarray], name: str, place: int, value: Any) -> dict[str, np.ndarray]:
    table = tensors[name].copy()
    table[::2, place] = value
    return {**tensors, name: table}
