"""Rows exactly at the split points of a model's trees, and one float to either side.

A conversion that rounds a threshold, or a value on its way to one, sends some of these to the other side.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.ensembles import Ensemble, known_categories
from prodml_magics.registry.converters.libraries import library_reader
from prodml_magics.registry.converters.trees import Tree
from prodml_magics.registry.roles import is_fitted, nested

__all__ = ["threshold_rows"]

_MOST, _MOST_WAYS = 600, 4
_ELEMENTWISE = frozenset({"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"})
"""Steps in front of a tree through which a threshold can be traced back to one input value."""
_TRACED = _ELEMENTWISE | {
    "ColumnTransformer",
    "FeatureUnion",
    "MissingIndicator",
    "OneHotEncoder",
    "OrdinalEncoder",
    "Pipeline",
    "SelectFromModel",
    "SelectKBest",
    "SelectPercentile",
    "SimpleImputer",
    "TargetEncoder",
    "VarianceThreshold",
}
"""Steps through which it is traced by asking them: what they make of a number is a straight line, or has nothing to do with it."""
Tensors = Mapping[str, np.ndarray]
Table = Callable[[Contract, Tensors], Any]
"""Wire tensors as the rows that the model takes."""


def threshold_rows(
    model: Any, contract: Contract, base: Tensors, table: Table | None = None
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Up to 600 split points, each planted in a training row of `base`; nothing where a split mixes several columns.

    Where columns are picked, encoded or imputed on their way to the trees, `table` is needed. Summed features (PCA, linear
    combinations) are left out on purpose: there scikit-learn itself answers differently with another BLAS.
    """
    ways = list(islice(_ways(model, []), _MOST_WAYS))
    numbers = next((tensor.name for tensor in contract.inputs if tensor.datatype in ("FP32", "FP64")), "")
    if not numbers or (len(contract.inputs) > 1) != bool(contract.categorical):
        return
    for front, parts in ways:
        planted = _planted(front, parts, contract, base, table, _MOST // len(ways))
        if planted is None:
            continue
        tensors, rows, columns = planted
        for towards in (None, np.inf, -np.inf):
            moved = tensors[numbers].copy()
            if towards is not None:
                moved[rows, columns] = np.nextafter(moved[rows, columns], moved.dtype.type(towards))
            finite = np.isfinite(moved[rows, columns])
            yield "threshold", {name: (moved if name == numbers else held)[finite] for name, held in tensors.items()}


def _ways(model: Any, front: list[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Steps in front, and the estimators behind them, of `model` and of each fitted pipeline within a wrapper at its end."""
    steps = [step for _, step in getattr(model, "steps", [("model", model)]) if step not in (None, "passthrough")]
    front, last = [*front, *steps[:-1]], steps[-1]
    encoders = [part._preprocessor for part in nested(last) if getattr(part, "_preprocessor", None) is not None]
    hidden = {id(inner) for encoder in encoders for inner in nested(encoder)}
    outermost = []
    for part in nested(last):
        if id(part) not in hidden and hasattr(part, "steps") and is_fitted(part):
            outermost.append(part)
            hidden |= {id(inner) for inner in nested(part)}
    yield front, [part for part in nested(last) if id(part) not in hidden]
    for pipeline in outermost:
        yield from _ways(pipeline, front)


def _planted(
    front: list[Any], parts: list[Any], contract: Contract, base: Tensors, table: Table | None, most: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray] | None:
    """Rows with a split point each, and where it is, row and column among the numbers; None where there is none."""
    plain = not contract.categorical and all(type(step).__name__ in _ELEMENTWISE for step in front)
    if not plain and (table is None or not all(_is_traced(part) for step in front for part in nested(step))):
        return None
    name = next(tensor.name for tensor in contract.inputs if tensor.datatype != "BYTES")
    way = None if not front or plain or table is None else _Way(front, contract, base, table)
    owners = _places(contract) if way is None else way.owners
    features, thresholds = _split_points(parts, owners, most)
    if not len(features):
        return None
    rows, columns = np.arange(len(features)), owners[features]
    tensors = {key: held[rows % len(held)].copy() for key, held in base.items()}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if way is not None:
            values = way.traced(tensors, columns, features, thresholds)
        else:
            values = _traced(front, tensors[name], features, thresholds) if front else thresholds
        tensors[name][rows, columns] = values.astype(tensors[name].dtype)
    return tensors, rows, columns


def _is_traced(part: Any) -> bool:
    return type(part).__name__ in _TRACED or (type(part).__name__ == "FunctionTransformer" and part.func is None)


def _places(contract: Contract) -> np.ndarray:
    """For each column its place among the numbers; -1 for text."""
    numeric = np.array([column.kind == "numeric" for column in contract.columns])
    return np.where(numeric, np.cumsum(numeric) - 1, -1)


class _Way:
    """Steps in front of trees, asked for what they make of rows."""

    def __init__(self, front: list[Any], contract: Contract, base: Tensors, table: Table) -> None:
        self._front, self._contract, self._table = front, contract, table
        self._name = next(tensor.name for tensor in contract.inputs if tensor.datatype != "BYTES")
        numbers = base[self._name].astype(np.float64)
        present = np.where(np.isnan(numbers), np.nanmedian(numbers, axis=0) if len(numbers) else 0.0, numbers)
        self._ends = present.min(axis=0), present.max(axis=0)
        self.owners = self._owners(base)
        """For each feature the column of numbers, of those in the contract, that alone moves it; -1 where there is none."""

    def _owners(self, base: Tensors) -> np.ndarray:
        count = base[self._name].shape[1]
        tensors = {name: np.repeat(held[:1], 2 * count, axis=0) for name, held in base.items()}
        for column in range(count):
            tensors[self._name][[column, count + column], column] = [ends[column] for ends in self._ends]
        found = self._features(tensors)
        moves = (found[:count] != found[count:]) & ~(np.isnan(found[:count]) & np.isnan(found[count:]))
        return np.where(moves.sum(axis=0) == 1, moves.argmax(axis=0), -1)

    def traced(self, tensors: Tensors, columns: np.ndarray, features: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """The numbers in `columns` that become `thresholds` in `features`: on the line through both ends of the column, mended once."""
        rows, low, high = np.arange(len(columns)), self._ends[0][columns], self._ends[1][columns]
        at_low, at_high = (self._moved(tensors, rows, columns, values)[rows, features] for values in (low, high))
        slope = (at_high - at_low) / (high - low)
        values = low + (thresholds - at_low) / slope
        reached = self._moved(tensors, rows, columns, np.where(np.isfinite(values), values, low))[rows, features]
        return np.asarray(values + (thresholds - reached) / slope)

    def _moved(self, tensors: Tensors, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
        moved = tensors[self._name].astype(np.float64)
        moved[rows, columns] = values
        return self._features({**tensors, self._name: moved})

    def _features(self, tensors: Tensors) -> np.ndarray:
        """What the trees get, float64 [rows, features]."""
        rows = self._table(self._contract, tensors)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # steps fitted on names warn of rows without them
            for step in self._front:
                rows = step.transform(rows)
        dense = rows.toarray() if hasattr(rows, "toarray") else rows.to_numpy() if hasattr(rows, "to_numpy") else rows
        return np.asarray(dense, np.float64)


def _split_points(parts: list[Any], owners: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Feature and finite threshold of the splits of all trees in `parts` on features that have an owner, at most so many of them,
    drawn with a fixed seed.
    """
    found = np.array([point for part in parts for point in _of_part(part)]).reshape(-1, 2)
    found = np.unique(found[np.isfinite(found[:, 1]) & (found[:, 0] < len(owners))], axis=0)
    found = found[owners[found[:, 0].astype(np.int64)] >= 0]
    if len(found) > most:
        found = found[np.sort(np.random.default_rng(0).choice(len(found), most, replace=False))]
    return found[:, 0].astype(np.int64), found[:, 1]


def _of_part(part: Any) -> list[tuple[float, float]]:
    reader = library_reader(part)
    if reader is not None:
        return _of_library(part, reader)
    tree = getattr(part, "tree_", None)
    if tree is not None:
        inner = tree.children_left >= 0
        return list(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))
    predictors = [predictor for stage in getattr(part, "_predictors", ()) for predictor in stage]
    if not predictors:
        return []
    known = known_categories(part)
    columns = [*known, *(place for place in range(part.n_features_in_) if place not in known)]  # those of categories come first
    nodes = [
        predictor.nodes[(predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)] for predictor in predictors
    ]
    return [
        (columns[feature], threshold)
        for split in nodes
        for feature, threshold in zip(split["feature_idx"].tolist(), split["num_threshold"].tolist(), strict=True)
    ]


def _of_library(part: Any, reader: Callable[[Any], Ensemble]) -> list[tuple[float, float]]:
    """Nothing of an estimator that was cloned and never fitted, nor of one whose trees are not converted."""
    fitted = getattr(part, "__sklearn_is_fitted__", None) or part.is_fitted  # the latter is CatBoost's
    if not fitted():
        return []
    try:
        return [point for tree in reader(part).trees for point in _of_tree(tree)]
    except Unsupported:
        return []


def _of_tree(tree: Tree) -> list[tuple[float, float]]:
    inner = [node for node in np.flatnonzero(~tree.leaf).tolist() if node not in tree.members]
    return list(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))


def _traced(steps: list[Any], table: np.ndarray, features: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The input values that the elementwise `steps` turn into `thresholds`."""
    values = table.astype(np.float64)
    rows = np.arange(len(features))
    with warnings.catch_warnings():
        # steps fitted on names warn of a table without them; the columns are in the order of the fit
        warnings.simplefilter("ignore")
        for step in steps:
            values = np.array(step.transform(values))
        values[rows, features] = thresholds
        for step in reversed(steps):
            values = np.asarray(step.inverse_transform(values))
    return values[rows, features]
