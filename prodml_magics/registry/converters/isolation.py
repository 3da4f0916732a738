"""``IsolationForest`` as one sum of trees: skl2onnx writes out every tree's path in float32, at a hundred times the cost.

The leaves hold what scikit-learn adds up for each tree (Liu, Ting & Zhou 2008, Isolation forest, equation 2): the length of the path and
the mean path below it. The label is decided by that sum, at the largest that scikit-learn's own arithmetic calls an outlier, so that
no digit of a power can turn it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter
from prodml_magics.registry.converters.ensembles import Ensemble
from prodml_magics.registry.converters.trees import Tree, of_tree

__all__ = ["use_own_isolation"]

_FLOAT, _DOUBLE = 1, 11


@cache
def use_own_isolation() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.ensemble import IsolationForest

    options = {"score_samples": [True, False]}  # what skl2onnx asks of the parser
    update_registered_converter(IsolationForest, "ProdmlIsolationForest", _shape, _convert, options=options)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType

    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = (DoubleTensorType if double else FloatTensorType)([None, 1])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from sklearn.ensemble._iforest import _average_path_length

    emitter, model = Emitter(scope, container), operator.raw_operator
    trees = [_tree(model, place) for place in range(len(model.estimators_))]
    depths = emitter.sums(operator, Ensemble(trees, [0] * len(trees), 1))
    whole = len(trees) * float(_average_path_length([model._max_samples])[0])
    flat = emitter.node("Reshape", [depths, emitter.constant(np.array([-1]))], version=14)
    outlier = emitter.node("LessOrEqual", [flat, emitter.constant(_deepest_outlier(whole, float(model.offset_)))], version=16)
    labels = [emitter.constant(np.array([label])) for label in (-1, 1)]
    emitter.put("Where", [outlier, *labels], operator.outputs[0].full_name, version=9)
    score = _power(emitter, depths, whole)
    shifted = emitter.node("Sub", [emitter.node("Neg", [score]), emitter.constant(float(model.offset_))], version=14)
    double = type(operator.outputs[1].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [shifted], operator.outputs[1].full_name, to=_DOUBLE if double else _FLOAT)


def _tree(model: Any, place: int) -> Tree:
    """One tree over all columns, its leaves holding the path to them and the mean path below them."""
    held = model.estimators_[place].tree_
    tree, columns = of_tree(held), np.asarray(model.estimators_features_[place])
    feature = np.where(tree.leaf, 0, columns[tree.feature]) if model._max_features < model.n_features_in_ else tree.feature
    value = model._decision_path_lengths[place] + model._average_path_length_per_tree[place] - 1.0
    return tree._replace(feature=feature, value=np.asarray(value, np.float64))


def _power(emitter: Emitter, depths: str, whole: float) -> str:
    """2 to the power of -depths / whole; 1/2 in a forest of single rows, whose paths have no length."""
    if whole == 0:
        nothing = emitter.node("Mul", [depths, emitter.constant(0.0)], version=14)
        return emitter.node("Add", [nothing, emitter.constant(0.5)], version=14)
    exponent = emitter.node("Neg", [emitter.node("Div", [depths, emitter.constant(whole)], version=14)])
    return emitter.node("Pow", [emitter.constant(2.0), exponent], version=15)


def _deepest_outlier(whole: float, offset: float) -> float:
    """The largest sum of depths whose decision function, as NumPy computes it, is below 0; -inf where none is."""

    def is_outlier(depth: float) -> bool:
        scores = 2 ** (-np.array([depth / whole if whole else 1.0]))
        return bool((-scores - offset)[0] < 0)

    low, high = np.float64(0), np.float64(1e9)
    if not is_outlier(float(low)):
        return -np.inf
    if is_outlier(float(high)):
        return np.inf
    while np.nextafter(low, high) < high:
        middle = low + (high - low) / 2
        low, high = (middle, high) if is_outlier(float(middle)) else (low, middle)
    return float(low)
