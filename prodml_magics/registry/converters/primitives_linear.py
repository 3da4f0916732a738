"""JAX's products, convolutions and poolings in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import ascii_lowercase
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.traced import Traced

__all__ = ["LINEAR"]


def _product(graph: Traced, equation: Any, operands: list[str]) -> str:
    """A MatMul where it is one, else an Einsum: batched axes first, then those of the left, then those of the right."""
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    ranks = [len(atom.aval.shape) for atom in equation.invars]
    wanted = equation.outvars[0].aval.dtype
    operands = [
        value if atom.aval.dtype == wanted else graph.cast(value, wanted)
        for value, atom in zip(operands, equation.invars, strict=True)
    ]
    if (left_sum, right_sum, len(left_batch), ranks[1]) == ((ranks[0] - 1,), (0,), 0, 2) and ranks[0] > 1:
        return graph.node("MatMul", operands)
    letters = iter(ascii_lowercase)
    left, right = [""] * ranks[0], [""] * ranks[1]
    for here, there in (*zip(left_batch, right_batch, strict=True), *zip(left_sum, right_sum, strict=True)):
        left[here] = right[there] = next(letters)
    free = [[place for place in range(len(side)) if not side[place]] for side in (left, right)]
    for side, places in zip((left, right), free, strict=True):
        for place in places:
            side[place] = next(letters)
    result = [left[p] for p in left_batch] + [left[p] for p in free[0]] + [right[p] for p in free[1]]
    return graph.node("Einsum", operands, equation=f"{''.join(left)},{''.join(right)}->{''.join(result)}")


def _convolution(graph: Traced, equation: Any, operands: list[str]) -> str:
    parameters = equation.params
    if set(parameters["lhs_dilation"]) - {1} or parameters["batch_group_count"] != 1:
        raise Unsupported("the JAX primitive 'conv_general_dilated' that widens its input has no ONNX form here; resize first")
    padding = np.array(parameters["padding"], np.int64)
    if padding.size and padding.min() < 0:
        raise Unsupported("the JAX primitive 'conv_general_dilated' with negative padding has no ONNX form here; slice first")
    numbers = parameters["dimension_numbers"]
    found = graph.node(
        "Conv",
        [_permuted(graph, operands[0], numbers.lhs_spec), _permuted(graph, operands[1], numbers.rhs_spec)],
        strides=list(parameters["window_strides"]),
        pads=padding.T.ravel().tolist(),
        dilations=list(parameters["rhs_dilation"]),
        group=parameters["feature_group_count"],
    )
    return _permuted(graph, found, np.argsort(numbers.out_spec).tolist())


def _permuted(graph: Traced, value: str, order: Any) -> str:
    """`value` with its axes in `order`: rows, features, then space."""
    order = [int(place) for place in order]
    return value if order == sorted(order) else graph.node("Transpose", [value], perm=order)


def _pooled(operator: str) -> Callable[[Traced, Any, list[str]], str]:
    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        window, strides = equation.params["window_dimensions"], equation.params["window_strides"]
        padding = equation.params["padding"]
        space = [
            place for place in range(len(window)) if (window[place], strides[place], tuple(padding[place])) != (1, 1, (0, 0))
        ]
        dilated = set(equation.params.get("base_dilation") or [1]) | set(equation.params.get("window_dilation") or [1])
        if dilated != {1} or not space or len(window) - len(space) != 2:
            name = equation.primitive.name
            raise Unsupported(f"the JAX primitive {name!r} of this window has no ONNX form here; pool the axes of an image")
        order = [place for place in range(len(window)) if place not in space] + space
        found = _window(
            graph,
            operator,
            _permuted(graph, operands[0], order),
            kernel_shape=[window[place] for place in space],
            strides=[strides[place] for place in space],
            pads=np.array([padding[place] for place in space], np.int64).T.ravel().tolist(),
        )
        return _permuted(graph, found, np.argsort(order).tolist())

    return write


def _window(graph: Traced, operator: str, value: str, **shape: Any) -> str:
    if operator == "Max":
        return graph.node("MaxPool", [value], **shape)
    mean = graph.node("AveragePool", [value], count_include_pad=1, **shape)
    return graph.node("Mul", [mean, graph.constant(np.array(np.prod(shape["kernel_shape"]), np.float32))])


LINEAR: Mapping[str, Callable[[Traced, Any, list[str]], str]] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "reduce_window_max": _pooled("Max"),
    "reduce_window_sum": _pooled("Sum"),
}
