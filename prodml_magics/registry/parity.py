"""The gate through which every conversion goes: the same answers as scikit-learn's, or none.

Tolerances: probabilities may differ by 1e-5; predictions and scores by 1e-5 of the larger of their size and their spread.
Labels must agree in every row, except where scikit-learn's own two best probabilities lie within 1e-6 of each other:
there a float decides, and the row is counted in `ties`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from prodml_magics.errors import GateRefused
from prodml_magics.registry.layout import Precision
from prodml_magics.registry.probes import Probe

__all__ = [
    "PARITY_FORMAT",
    "TOLERANCE",
    "Batches",
    "Parity",
    "Run",
    "WorstRow",
    "measure",
    "prove",
    "read_parity",
    "write_parity",
]

PARITY_FORMAT = 1
TOLERANCE = 1e-5
TIE = 1e-6
_WORST_KEPT = 5
_SLICES_KEPT = 3
Batches = Sequence[Mapping[str, np.ndarray]]
Run = Callable[[bytes, Batches], list[dict[str, np.ndarray]]]
"""Loads a file and runs batches, as `inference.smoke.smoke_run` does."""

_BATCHES = (1, 2, 3)


class WorstRow(msgspec.Struct, frozen=True):
    """A row on which the two differ most; `row` counts within the rows of its kind."""

    kind: str
    row: int
    output: str
    expected: str
    given: str
    difference: float


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ONNX file and the model agree (``parity.json``)."""

    rows: int
    kinds: dict[str, int]
    """Rows of each kind: test, train, missing, unseen, empty (text), threshold, and batch for the first rows sent in small
    batches; file for a ready ``.onnx`` file, compared with itself."""
    max_abs_difference: float
    """Largest difference: of probabilities as such, of predictions and scores relative to the larger of size and spread."""
    label_agreement: float | None
    """Share of rows with the same label, ties not counted as different; None without labels."""
    ties: int
    tolerance: float
    batches: tuple[int, ...]
    """Numbers of rows that were sent at once."""
    precision: Precision
    worst: tuple[WorstRow, ...]
    differences: dict[str, float] = {}
    """Largest difference on the rows of each kind, infinite where a label differs; those at split points are ``threshold``."""
    slices: dict[str, float] = {}
    """The same on training and test rows by quarters of numeric columns: the three parts with the largest differences."""
    format: int = PARITY_FORMAT

    @property
    def passed(self) -> bool:
        return self.max_abs_difference <= self.tolerance and self.label_agreement in (None, 1.0)


def write_parity(parity: Parity) -> bytes:
    """The bytes of ``parity.json``."""
    return msgspec.json.format(msgspec.json.encode(parity), indent=1)


def read_parity(data: bytes) -> Parity:
    """Read ``parity.json``; raises ``msgspec.ValidationError`` on another shape."""
    return msgspec.json.decode(data, type=Parity)


def prove(model: bytes, probes: Sequence[Probe], precision: Precision, run: Run) -> tuple[Parity, dict[str, np.ndarray]]:
    """Run the file on every probe, and on the first 1, 2 and 3 rows alone, and compare; also the answers to the first probe.

    The result may be one that did not pass. Raises `GateRefused` when `run` does: the file does not load or run.
    """
    small = [Probe("batch", _head(probes[0].tensors, rows), _head(probes[0].expected, rows)) for rows in _BATCHES]
    everything = [*probes, *small]
    try:
        given = run(model, [probe.tensors for probe in everything])
    except GateRefused as error:
        raise GateRefused(f"{error} (on {_failing_kind(model, probes, run)} rows)") from error
    sizes = tuple(sorted({len(next(iter(probe.tensors.values()))) for probe in everything}))
    return measure(everything, given, precision, sizes), given[0]


def measure(
    probes: Sequence[Probe], given: Sequence[dict[str, np.ndarray]], precision: Precision, batches: tuple[int, ...]
) -> Parity:
    """Compare the outputs `given` for each probe with the expected ones; raises `GateRefused` for another shape."""
    worst: list[WorstRow] = []
    same = total = ties = 0
    for probe, outputs in zip(probes, given, strict=True):
        for name, expected in probe.expected.items():
            if outputs[name].shape != expected.shape:
                shapes = f"{list(outputs[name].shape)} where scikit-learn gives {list(expected.shape)}"
                raise GateRefused(f"output {name!r} has shape {shapes}; the conversion is wrong")
            if name == "label":
                different, tied = _labels(probe, outputs)
                same, total, ties = same + len(expected) - int(different.sum()), total + len(expected), ties + tied
                worst += _rows(probe, name, outputs[name], different.astype(float))
            else:
                worst += _rows(probe, name, outputs[name], _differences(name, expected, outputs[name]))
    differences = _by_kind(worst)
    numbers = [row.difference for row in worst if row.output != "label"]
    worst.sort(key=lambda row: -row.difference)
    kinds = {
        kind: sum(len(next(iter(p.tensors.values()))) for p in probes if p.kind == kind)
        for kind in dict.fromkeys(p.kind for p in probes)
    }
    return Parity(
        rows=sum(kinds.values()),
        kinds=kinds,
        max_abs_difference=max(numbers, default=0.0),
        label_agreement=same / total if total else None,
        ties=ties,
        tolerance=TOLERANCE,
        batches=batches,
        precision=precision,
        worst=tuple(row for row in worst if row.difference > 0)[:_WORST_KEPT],
        differences=differences,
        slices=_slices(probes, given),
    )


def _by_kind(worst: Sequence[WorstRow]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in worst:
        apart = np.inf if row.output == "label" and row.difference else row.difference
        found[row.kind] = max(found.get(row.kind, 0.0), apart)
    return found


def _slices(probes: Sequence[Probe], given: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Parts of the real rows, named ``input[column] from … to …``, with the largest difference of any output."""
    found: dict[str, float] = {}
    for probe, outputs in zip(probes, given, strict=True):
        if probe.kind not in ("train", "test"):
            continue
        apart = [_differences(name, values, outputs[name]) for name, values in probe.expected.items() if name != "label"]
        if not apart:
            continue
        largest = np.max(apart, axis=0)
        for name, table in probe.tensors.items():
            if table.ndim == 2 and table.dtype.kind == "f":
                for part, share in _quarters(name, table, largest):
                    found[part] = max(found.get(part, 0.0), share)
    return dict(sorted(found.items(), key=lambda item: -item[1])[:_SLICES_KEPT])


def _quarters(name: str, table: np.ndarray, largest: np.ndarray) -> Iterator[tuple[str, float]]:
    """Each quarter of each column that holds rows, and the largest difference there."""
    for column in range(table.shape[1]):
        values = table[:, column]
        present = values[~np.isnan(values)]
        if not len(present):
            continue
        edges = np.quantile(present, [0, 0.25, 0.5, 0.75, 1])
        for low, high in pairwise(edges):
            inside = (values >= low) & (values <= high)
            if inside.any():
                yield f"{name}[{column}] from {low:.4g} to {high:.4g}", float(largest[inside].max())


def _head(tensors: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    return {name: values[:rows] for name, values in tensors.items()}


def _labels(probe: Probe, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """Which labels differ [rows], and how many of those that do are ties of the reference."""
    different = np.array(
        [str(a) != str(b) for a, b in zip(probe.expected["label"].tolist(), outputs["label"].tolist(), strict=True)]
    )
    probabilities = probe.expected.get("probabilities")
    if probabilities is None or probabilities.shape[1] < 2 or not different.any():
        return different, 0
    ordered = np.sort(probabilities, axis=1)
    tied = different & (ordered[:, -1] - ordered[:, -2] <= TIE)
    return different & ~tied, int(tied.sum())


def _differences(name: str, expected: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The largest difference in each row; infinite where only one of the two is missing."""
    wanted, found = expected.astype(np.float64), given.astype(np.float64)
    scale = np.ones(wanted.shape) if name == "probabilities" else np.maximum(np.abs(wanted), wanted.std(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.where(wanted == found, 0.0, np.abs(wanted - found) / np.where(scale == 0, 1.0, scale))
    difference[np.isnan(wanted) & np.isnan(found)] = 0.0
    difference[np.isnan(difference)] = np.inf
    return difference.reshape(len(wanted), -1).max(axis=1)


def _rows(probe: Probe, name: str, given: np.ndarray, differences: np.ndarray) -> list[WorstRow]:
    """The rows of one output with the largest differences."""
    chosen = np.argsort(-differences, kind="stable")[:_WORST_KEPT]
    return [
        WorstRow(
            probe.kind,
            probe.start + int(row),
            name,
            _shown(probe.expected[name][row]),
            _shown(given[row]),
            float(differences[row]),
        )
        for row in chosen
    ]


def _shown(value: object) -> str:
    values = np.asarray(value)
    if values.dtype.kind == "f":
        return np.array2string(values, precision=8, threshold=6)
    return str(value)[:60]


def _failing_kind(model: bytes, probes: Sequence[Probe], run: Run) -> str:
    for probe in probes:
        try:
            run(model, [probe.tensors])
        except GateRefused:
            return probe.kind
    return "few"
