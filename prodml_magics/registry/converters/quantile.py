"""``QuantileTransformer``: skl2onnx takes minutes for a few hundred quantiles.

What scikit-learn computes by ``numpy.interp``, upwards and downwards, is computed in double in the same steps: a tree finds between which
quantiles a value lies, and what belongs to them is looked up. To a normal distribution its quantile function follows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import DOMAIN, Emitter, declare_numbers
from prodml_magics.registry.converters.normal import normal_quantiles
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
    if model.output_distribution == "normal":
        found = _to_normal(emitter, _bounded(emitter, found, _beyond(emitter, rows, quantiles)))
    else:
        reached = [
            (emitter.node(compare, [rows, emitter.constant(bound[None, :])], version=16), level)
            for compare, bound, level in (("GreaterOrEqual", quantiles[-1], levels[-1]), ("LessOrEqual", quantiles[0], 0.0))
        ]
        found = _bounded(emitter, found, reached)
    double = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [found], operator.outputs[0].full_name, to=_DOUBLE if double else _FLOAT)


_NEAR = 1e-7
"""How near to the first or last quantile a value counts as beyond it, where the distribution has no ends."""


def _beyond(emitter: Emitter, rows: str, quantiles: np.ndarray) -> list[tuple[str, float]]:
    """Which rows [rows, columns] are at either end, and their level there."""
    above = emitter.node("Add", [rows, emitter.constant(_NEAR)], version=14)
    below = emitter.node("Sub", [rows, emitter.constant(_NEAR)], version=14)
    upper = emitter.node("Greater", [above, emitter.constant(quantiles[-1][None, :])], version=13)
    return [(upper, 1.0), (emitter.node("Less", [below, emitter.constant(quantiles[0][None, :])], version=13), 0.0)]


def _bounded(emitter: Emitter, found: str, ends: list[tuple[str, float]]) -> str:
    for reached, level in ends:
        found = emitter.node("Where", [reached, emitter.constant(level), found], version=9)
    return found


def _to_normal(emitter: Emitter, levels: str) -> str:
    """Quantiles of the normal distribution, cut off where scikit-learn cuts them; levels beyond are moved to where they are finite."""
    from scipy.special import ndtri

    low = _NEAR - np.spacing(1)
    held = _clipped(emitter, levels, low / 2, 1 - low / 2)
    return _clipped(emitter, normal_quantiles(emitter, held), ndtri(low), ndtri(1 - low))


def _clipped(emitter: Emitter, values: str, low: float, high: float) -> str:
    """Comparisons leave NaN as it is."""
    ends = (
        (emitter.node(name, [values, emitter.constant(end)], version=13), end) for name, end in (("Greater", high), ("Less", low))
    )
    return _bounded(emitter, values, [(reached, float(end)) for reached, end in ends])


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
