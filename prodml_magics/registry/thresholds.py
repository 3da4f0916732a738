"""Rows exactly at the split points of a model's trees, and one float to either side.

A conversion that rounds a threshold, or a value on its way to one, sends some of these to the other side.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.ensembles import Ensemble
from prodml_magics.registry.converters.libraries import library_reader
from prodml_magics.registry.converters.trees import Tree
from prodml_magics.registry.roles import nested

__all__ = ["threshold_rows"]

_MOST = 600
_ELEMENTWISE = frozenset({"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"})
"""Steps in front of a tree through which a threshold can be traced back to one input value."""


def threshold_rows(model: Any, contract: Contract, base: Mapping[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Up to 600 split points, each planted in a training row of `base`; nothing where a split mixes several columns.

    Summed features (PCA, linear combinations) are left out on purpose: there scikit-learn itself answers differently with
    another BLAS.
    """
    steps = [step for _, step in getattr(model, "steps", [("model", model)]) if step not in (None, "passthrough")]
    if len(contract.inputs) != 1 or contract.categorical or any(type(step).__name__ not in _ELEMENTWISE for step in steps[:-1]):
        return
    features, thresholds = _split_points(steps[-1], len(contract.columns))
    if not len(features):
        return
    name = contract.inputs[0].name
    table = base[name][np.arange(len(features)) % len(base[name])].copy()
    rows = np.arange(len(features))
    with np.errstate(over="ignore"):
        table[rows, features] = _traced(steps[:-1], table, features, thresholds).astype(table.dtype)
    for towards in (None, np.inf, -np.inf):
        moved = table.copy()
        if towards is not None:
            moved[rows, features] = np.nextafter(moved[rows, features], table.dtype.type(towards))
        yield "threshold", {name: moved[np.isfinite(moved[rows, features])]}


def _split_points(model: Any, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Feature and finite threshold of the splits of all trees in `model`, at most 600 of them, drawn with a fixed seed."""
    found = np.array([point for part in nested(model) for point in _of_part(part)]).reshape(-1, 2)
    found = np.unique(found[np.isfinite(found[:, 1]) & (found[:, 0] < columns)], axis=0)
    if len(found) > _MOST:
        found = found[np.sort(np.random.default_rng(0).choice(len(found), _MOST, replace=False))]
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
    nodes = [
        predictor.nodes[(predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)] for predictor in predictors
    ]
    return [
        point for split in nodes for point in zip(split["feature_idx"].tolist(), split["num_threshold"].tolist(), strict=True)
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
