"""Two versions' answers to the same rows as pairs: same label or not, how far the score moved, who was right, in which slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.monitoring.shadow import score_column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Answers", "Slicer", "Unit", "compared", "gained", "logged_answers", "run_answers", "truth_of", "unit_of"]

_NEAR = 0.025
"""In units of the score's range: numbers that differ by less are the same answer."""
_SPANS = 4.0
"""Standard deviations that make the range of a score that has none of its own."""
_COLUMNS, _LEVELS, _MOST = 15, 6, 50

Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """What a version said [rows]: the index of the class, −1 for none, and the score, NaN for none; either is null where it has none."""

    label: NDArray[np.int64] | None
    score: Floats | None


def logged_answers(contract: Contract, outputs: pl.Series) -> Answers:
    """Answers as the lake keeps them, a struct per row."""
    import polars as pl

    fields = [field.name for field in outputs.dtype.fields]  # type: ignore[attr-defined]
    label = None
    if "label" in fields and contract.classes:
        texts = _texts(contract)
        label = (
            outputs.struct.field("label").replace_strict(texts, range(len(texts)), default=-1, return_dtype=pl.Int64).to_numpy()
        )
    name = _score_name(contract, fields)
    return Answers(label, None if name is None else outputs.struct.field(name).cast(pl.Float64).fill_null(np.nan).to_numpy())


def run_answers(contract: Contract, tensors: Mapping[str, np.ndarray]) -> Answers:
    """Answers as a run of the model gives them."""
    label = _codes(contract, tensors["label"]) if "label" in tensors and contract.classes else None
    if "prediction" in tensors:
        return Answers(label, tensors["prediction"].reshape(-1).astype(np.float64))
    table = tensors.get("probabilities")
    if contract.classes and table is not None and table.ndim == 2 and table.shape[1] == len(contract.classes):
        return Answers(label, table[:, -1].astype(np.float64))
    numbers = [values for name, values in tensors.items() if name != "label" and values.dtype.kind in "fiu"]
    return Answers(label, numbers[0].reshape(len(numbers[0]), -1)[:, 0].astype(np.float64) if numbers and label is None else None)


def _score_name(contract: Contract, fields: list[str]) -> str | None:
    found = score_column(contract, fields)
    if found is not None or contract.task == "classification":
        return found
    return next((name for name in fields if name != "label"), None)


def _texts(contract: Contract) -> list[str]:
    """The classes as ``outputs.label`` of the lake has them."""
    datatype = next((tensor.datatype for tensor in contract.outputs if tensor.name == "label"), "BYTES")
    return [str(int(each)) if "INT" in datatype and not isinstance(each, str) else str(each) for each in contract.classes]


def _codes(contract: Contract, labels: np.ndarray) -> NDArray[np.int64]:
    classes = np.array(contract.classes, object if labels.dtype.kind == "O" else None)
    if labels.dtype.kind == "O" or classes.dtype.kind not in "iufb":
        index = {str(each): place for place, each in enumerate(_texts(contract))}
        return np.fromiter((index.get(str(each), -1) for each in labels.tolist()), np.int64, len(labels))
    order = np.argsort(classes)
    place = np.clip(np.searchsorted(classes, labels, sorter=order), 0, len(classes) - 1)
    found = order[place]
    return np.where(classes[found] == labels, found, -1).astype(np.int64)


class Unit(NamedTuple):
    """How far scores range: 1 for probabilities, four standard deviations of the live version's first answers for others."""

    size: float


def unit_of(contract: Contract, live: Answers) -> Unit:
    """The unit of scores, from the first answers of the live version."""
    if contract.task == "classification" or live.score is None or not len(live.score):
        return Unit(1.0)
    spread = float(np.nanstd(live.score)) if np.isfinite(live.score).any() else 0.0
    return Unit(_SPANS * spread or max(abs(float(np.nanmean(live.score))), 1e-9))


def compared(live: Answers, other: Answers, unit: Unit) -> tuple[NDArray[np.bool_], Floats]:
    """Which rows were answered otherwise, and by how much the score moved in units of its range."""
    moved = np.full(_rows(live), np.nan)
    if live.score is not None and other.score is not None:
        moved = np.clip((other.score - live.score) / unit.size, -1.0, 1.0)
    if live.label is not None and other.label is not None:
        return live.label != other.label, moved
    if live.score is None or other.score is None:
        raise InvalidInput("the versions answer with nothing that can be compared; compare versions with labels or numbers")
    # Both answering NaN is the same answer.
    one = np.isnan(live.score) != np.isnan(other.score)
    return one | (np.abs(np.nan_to_num(moved)) > _NEAR), moved


def truth_of(contract: Contract, labels: pl.Series) -> Answers:
    """Labels as they were taken, null where none has come: the class, or the number that was to be predicted."""
    import polars as pl

    if contract.classes and contract.task == "classification":
        texts = _texts(contract)
        found = labels.replace_strict(texts, range(len(texts)), default=-2, return_dtype=pl.Int64)
        return Answers(pl.select(pl.when(labels.is_null()).then(-3).otherwise(found)).to_series().to_numpy(), None)
    return Answers(None, labels.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy())


def gained(live: Answers, other: Answers, truth: Answers | None) -> Floats:
    """1 where only `other` was right (or nearer), −1 where only `live` was, else 0; NaN without a label."""
    if truth is None:
        return np.full(_rows(live), np.nan)
    if truth.label is not None and live.label is not None and other.label is not None:
        found = (other.label == truth.label).astype(np.float64) - (live.label == truth.label)
        return np.where(truth.label == -3, np.nan, found)
    if truth.score is not None and live.score is not None and other.score is not None:
        return np.asarray(np.sign(np.abs(live.score - truth.score) - np.abs(other.score - truth.score)))
    return np.full(_rows(live), np.nan)


def _rows(answers: Answers) -> int:
    return len(answers.label if answers.label is not None else answers.score if answers.score is not None else ())


class Slicer:
    """Parts of the rows: what the live version said, levels of categories, and halves of numbers at the median of the first rows."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._medians: dict[str, float] = {}

    def masks(self, inputs: Mapping[str, np.ndarray], live: Answers) -> dict[str, NDArray[np.bool_]]:
        """A mask [rows] by name, at most fifty of them."""
        found: dict[str, NDArray[np.bool_]] = {}
        if live.label is not None:
            found |= {f"answered {text}": live.label == place for place, text in enumerate(_texts(self._contract)[:_LEVELS])}
        for column in self._contract.columns[:_COLUMNS]:
            values = inputs.get(column.name)
            if values is None:
                continue
            if column.kind == "categorical":
                found |= {f"{column.name} = {level}": values == level for level in column.categories[:_LEVELS]}
            else:
                found |= self._halves(column.name, values)
        return dict(list(found.items())[:_MOST])

    def _halves(self, name: str, values: np.ndarray) -> dict[str, NDArray[np.bool_]]:
        if name not in self._medians:
            known = values[np.isfinite(values)]
            self._medians[name] = float(np.median(known)) if len(known) else 0.0
        median = self._medians[name]
        return {f"{name} ≤ {median:.4g}": values <= median, f"{name} > {median:.4g}": values > median}
