"""What a model of LightGBM computes: double sums of leaves, its three ways with missing values, the link of its objective.

Read off the model in its text form, whose numbers keep all their bits; the rules of a split are those of ``Tree::Predict`` in
LightGBM's ``include/LightGBM/tree.h``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.ensembles import Ensemble, Link, text_levels
from prodml_magics.registry.converters.trees import Tree

__all__ = ["ensemble_of"]

_LINKS: dict[str, Link] = {
    "binary": "logistic",
    "multiclass": "softmax",
    "multiclassova": "logistic",
    "cross_entropy": "logistic",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}
_CLASSIFIES = frozenset({"binary", "multiclass", "multiclassova"})
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NONE, _ZERO = 0, 1
"""Types of missing value that a split knows, from its third bit on; the remaining one is NaN."""
_ZERO_BAND = float(np.float32(1e-35))


def ensemble_of(model: Any) -> Ensemble:
    """The ensemble of a fitted ``LGBMClassifier`` or ``LGBMRegressor``; raises `Unsupported` by name for what has none."""
    header, trees = _parsed(model.booster_.model_to_string())
    link, slope = _link(model, header, trees)
    per_round = int(header["num_tree_per_iteration"])
    rounds = len(trees) // per_round
    return Ensemble(
        [_tree(tree) for tree in trees],
        [*range(per_round)] * rounds,
        per_round,
        link,
        divisor=float(rounds) if "average_output" in header else 1.0,
        float_input=False,
        by_probability=True,
        slope=slope,
        zero_missing=_features(trees, lambda kinds: kinds >> 2 == _ZERO),
        levels=text_levels(type(model).__name__, model.booster_.pandas_categorical or ()),
        whole=_features(trees, lambda kinds: kinds & _CATEGORICAL == 1),
    )


def _parsed(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The settings on top, and the fields of each tree."""
    top, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    return _fields(top), [_fields(tree) for tree in trees]


def _fields(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}


def _link(model: Any, header: dict[str, str], trees: list[dict[str, str]]) -> tuple[Link, float]:
    """The link, and the slope of a logistic one."""
    name = type(model).__name__
    objective, *settings = header.get("objective", "of your own").split()
    if objective not in _LINKS or (objective in _CLASSIFIES) != hasattr(model, "classes_") or "sqrt" in settings:
        said = " ".join([objective, *settings])
        raise Unsupported(f"{name} with objective {said!r} is not converted; use one of {', '.join(sorted(_LINKS))}")
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise Unsupported(
            f"{name} with linear_tree has models in its leaves, which ONNX's trees lack; fit it without linear_tree"
        )
    slopes = [float(setting.partition(":")[2]) for setting in settings if setting.startswith("sigmoid:")]
    return _LINKS[objective], slopes[0] if slopes else 1.0


def _tree(fields: dict[str, str]) -> Tree:
    """The nodes in LightGBM's order, its leaves behind them: a child -1 is leaf 0, -2 leaf 1 and so on."""
    values = _numbers(fields, "leaf_value", np.float64)
    kinds, given = _numbers(fields, "decision_type", np.int64), _numbers(fields, "threshold", np.float64)
    threshold = _around_zero(given)
    inner, leaves = len(values) - 1, np.zeros(len(values), np.int64)
    left, right = (_children(_numbers(fields, side, np.int64), inner) for side in ("left_child", "right_child"))
    default_left = (kinds & _DEFAULT_LEFT > 0) & (kinds & _CATEGORICAL == 0)
    as_zero = (kinds >> 2 == _NONE) & (kinds & _CATEGORICAL == 0)
    return Tree(
        leaf=np.arange(inner + len(values)) >= inner,
        feature=np.concatenate([_numbers(fields, "split_feature", np.int64), leaves]),
        threshold=np.concatenate([threshold, leaves]),
        left=np.concatenate([left, leaves]),
        right=np.concatenate([right, leaves]),
        missing_left=np.concatenate([np.where(as_zero, threshold >= 0, default_left), leaves]).astype(bool),
        value=np.concatenate([np.zeros(inner), values]),
        members=dict(_members(fields, kinds, given)),
    )


def _around_zero(threshold: np.ndarray) -> np.ndarray:
    """Thresholds within 1e-35 of zero moved to the edge: LightGBM reads every value in between as zero."""
    edge = np.where(threshold >= 0, _ZERO_BAND, np.nextafter(-_ZERO_BAND, -np.inf))
    return np.where(np.abs(threshold) <= _ZERO_BAND, edge, threshold)


def _children(children: np.ndarray, inner: int) -> np.ndarray:
    return np.where(children >= 0, children, inner - 1 - children)


def _members(fields: dict[str, str], kinds: np.ndarray, threshold: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """For each split on categories those that go left, kept as sets of 32 bits a word."""
    bounds, words = _numbers(fields, "cat_boundaries", np.int64), _numbers(fields, "cat_threshold", np.uint32)
    for node in np.flatnonzero(kinds & _CATEGORICAL).tolist():
        place = int(threshold[node])
        own = words[bounds[place] : bounds[place + 1]]
        yield node, np.flatnonzero(np.unpackbits(own.view(np.uint8), bitorder="little")).tolist()


def _numbers(fields: dict[str, str], name: str, dtype: Any) -> np.ndarray:
    return np.array(fields.get(name, "").split(), dtype)


def _features(trees: list[dict[str, str]], chosen: Any) -> tuple[int, ...]:
    """The columns of the splits whose decision types `chosen` picks; a column has one way with missing values throughout."""
    found: set[int] = set()
    for fields in trees:
        kinds = _numbers(fields, "decision_type", np.int64)
        found |= set(_numbers(fields, "split_feature", np.int64)[chosen(kinds)].tolist())
    return tuple(sorted(found))
