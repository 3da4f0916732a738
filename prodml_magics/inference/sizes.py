"""Operators that could make gigabytes out of a few input values must have constant, small sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.errors import GateRefused
from prodml_magics.inference.operators import SIZED

__all__ = ["check_sizes"]

_MOST_ELEMENTS = 10**8


def check_sizes(graph: Any) -> None:
    """Raise `GateRefused` for an operator of `SIZED` whose size comes from the data, or is above 10⁸ elements."""
    known = _constants(graph)
    for node in graph.node:
        places = SIZED.get(node.op_type, ())
        names = [node.input[place] for place in places if place < len(node.input) and node.input[place]]
        if any(name not in known for name in names):
            raise GateRefused(
                f"operator {node.op_type!r} takes the size of its output from the data; export it with constant sizes"
            )
        elements = _elements(node.op_type, [_numbers(node.op_type, known[name]) for name in names])
        if elements > _MOST_ELEMENTS:
            raise GateRefused(f"operator {node.op_type!r} makes {elements:.3g} values of any input; at most 1e8 can be served")


def _constants(graph: Any) -> Mapping[str, np.ndarray]:
    import onnx

    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            known[node.output[0]] = _constant(attribute)
    return known


def _constant(attribute: Any) -> np.ndarray:
    """The value of a Constant node, in whichever of its attributes it lies."""
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    return onnx.numpy_helper.to_array(value) if attribute.name == "value" else np.asarray(value)


def _numbers(operator: str, constant: np.ndarray) -> list[float]:
    if constant.dtype.kind not in "biuf":
        raise GateRefused(f"operator {operator!r} has a size that is no number; export the model again")
    return [float(value) for value in constant.ravel().tolist()]


def _elements(operator: str, sizes: list[list[float]]) -> float:
    """Elements of the output for one element of the input; an upper bound."""
    flat = [size for operand in sizes for size in operand]
    if operator == "Range":
        return abs((flat[1] - flat[0]) / flat[2]) if len(flat) == 3 and flat[2] else math.inf
    return math.prod(max(abs(size), 1.0) for size in flat)
