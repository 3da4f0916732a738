"""``QuantileTransformer`` to a uniform distribution: skl2onnx takes minutes for a few hundred quantiles.

What scikit-learn computes by ``numpy.interp``, upwards and downwards, is computed in double in the same steps: a tree finds between which
quantiles a value lies, and what belongs to them is looked up.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.emit import DOMAIN, Emitter, declare_numbers
from prodml_magics.registry.converters.trees import Tree, ensemble_attributes

__all__ = ["use_own_quantiles"]

_FLOAT, _INT64, _DOUBLE = 1, 7, 11


@cache
def use_own_quantiles() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.preprocessing import QuantileTransformer

    update_registered_converter(QuantileTransformer, "ProdmlQuantileTransformer", _shape, _convert)


def _shape(operator: Any) -> None:
    if operator.raw_operator.output_distribution != "uniform":
        raise Unsupported(
            "QuantileTransformer with output_distribution='normal' needs a function that ONNX lacks; use 'uniform', or PowerTransformer"
        )
    declare_numbers(operator, operator.raw_operator.n_features_in_)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter, model = Emitter(scope, container), operator.raw_operator
    rows = emitter.node("Cast", [emitter.joined(operator)], to=_DOUBLE)
    quantiles, levels = np.asarray(model.quantiles_, np.float64), np.asarray(model.references_, np.float64)
    up = _interpolated(emitter, rows, quantiles, levels)
    down = _interpolated(emitter, emitter.node("Neg", [rows]), -quantiles[::-1], -levels[::-1])
    both = emitter.node("Sub", [up, down], version=14)
    found = emitter.node("Mul", [both, emitter.constant(0.5)], version=14)
    # the lower bound last, as scikit-learn has it
    for compare, bound, level in (("GreaterOrEqual", quantiles[-1], levels[-1]), ("LessOrEqual", quantiles[0], 0.0)):
        reached = emitter.node(compare, [rows, emitter.constant(bound[None, :])], version=16)
        found = emitter.node("Where", [reached, emitter.constant(level), found], version=9)
    double = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [found], operator.outputs[0].full_name, to=_DOUBLE if double else _FLOAT)


def _interpolated(emitter: Emitter, rows: str, points: np.ndarray, levels: np.ndarray) -> str:
    """``numpy.interp(rows, points, levels)`` column by column: points [quantiles, columns] ascending, levels [quantiles]."""
    columns = points.shape[1]
    held = emitter.node("Max", [rows, emitter.constant(points[:1])], version=13)
    held = emitter.node("Min", [held, emitter.constant(points[-1:])], version=13)
    trees = [_search(points[:, column], column) for column in range(columns)]
    attributes = ensemble_attributes(trees, [*range(columns)], columns)
    place = emitter.node("Cast", [emitter.node("TreeEnsemble", [held], domain=DOMAIN, **attributes)], to=_INT64)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.diff(levels)[:, None] / np.diff(points, axis=0)
    slopes = np.vstack([np.where(np.isfinite(slopes), slopes, 0.0), np.zeros((1, columns))])
    near, level, slope = (
        emitter.node("GatherElements", [emitter.constant(np.ascontiguousarray(cells)), place], version=13, axis=0)
        for cells in (points, np.repeat(levels[:, None], columns, axis=1), slopes)
    )
    beyond = emitter.node("Mul", [slope, emitter.node("Sub", [held, near], version=14)], version=14)
    return emitter.node("Add", [beyond, level], version=14)


def _search(points: np.ndarray, column: int) -> Tree:
    """A balanced tree of `column` whose leaf for x holds the last place at which `points` is x or less."""
    starts = np.unique(points)
    places = np.searchsorted(points, starts, side="right") - 1
    nodes: list[tuple[bool, float, int, int, float]] = []

    def grow(first: int, last: int) -> int:
        own, middle = len(nodes), (first + last + 1) // 2
        nodes.append((first == last, starts[middle], 0, 0, float(places[first])))
        if first < last:
            left, right = grow(first, middle - 1), grow(middle, last)
            nodes[own] = (False, starts[middle], left, right, 0.0)
        return own

    grow(0, len(starts) - 1)
    leaf, threshold, left, right, value = (np.array(each) for each in zip(*nodes, strict=True))
    return Tree(leaf, np.full(len(nodes), column), threshold, left, right, np.zeros(len(nodes), bool), value, less=True)
