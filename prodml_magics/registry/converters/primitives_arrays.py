"""JAX's primitives that move values about, or reduce an axis, in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.traced import Traced

__all__ = ["ARRAYS"]

_BESIDE = "the function cuts, counts or numbers the rows of its input, so that an answer would depend on the rows beside it"


def _ints(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int64)


def _broadcast(graph: Traced, equation: Any, operands: list[str]) -> str:
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    own = equation.invars[0].aval.shape
    ranked: list[Any] = [1] * len(shape)
    for size, place in zip(own, places, strict=True):
        ranked[place] = size
    value = operands[0] if tuple(ranked) == tuple(own) else graph.reshape(operands[0], ranked)
    return value if tuple(ranked) == tuple(shape) else graph.broadcast(value, shape)


def _reshaped(graph: Traced, equation: Any, operands: list[str]) -> str:
    if equation.params.get("dimensions") is not None:
        raise Unsupported("the JAX primitive 'reshape' in another order has no ONNX form here; transpose first")
    return graph.reshape(operands[0], equation.outvars[0].aval.shape)


def _to_shape(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.reshape(operands[0], equation.outvars[0].aval.shape)


def _transposed(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Transpose", operands, perm=list(equation.params["permutation"]))


def _concatenated(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Concat", operands, axis=equation.params["dimension"])


def _stacked(graph: Traced, equation: Any, operands: list[str]) -> str:
    axis, own = equation.params["axis"], equation.invars[0].aval.shape
    thin = [graph.reshape(operand, (*own[:axis], 1, *own[axis:])) for operand in operands]
    return graph.node("Concat", thin, axis=axis)


def _tiled(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Tile", [operands[0], graph.shape(equation.params["reps"])])


def _split(graph: Traced, equation: Any, operands: list[str]) -> list[str]:
    sizes = equation.params["sizes"]
    wanted = [operands[0], graph.constant(_ints(sizes))]
    return graph.split("Split", wanted, len(sizes), axis=equation.params["axis"])


def _sliced(graph: Traced, equation: Any, operands: list[str]) -> str:
    sizes, strides = equation.invars[0].aval.shape, equation.params["strides"] or [1] * len(equation.invars[0].aval.shape)
    cuts = [
        (axis, start, limit, stride)
        for axis, (start, limit, stride) in enumerate(
            zip(equation.params["start_indices"], equation.params["limit_indices"], strides, strict=True)
        )
        if (start, limit, stride) != (0, sizes[axis], 1)
    ]
    if not cuts:
        return operands[0]
    if not graph.fixed([number for _, *numbers in cuts for number in numbers]):
        raise Unsupported(_BESIDE)
    axes, starts, limits, steps = (graph.constant(_ints(numbers)) for numbers in zip(*cuts, strict=True))
    return graph.node("Slice", [operands[0], starts, limits, axes, steps])


def _reversed(graph: Traced, equation: Any, operands: list[str]) -> str:
    axes = list(equation.params["dimensions"])
    ends = [-1] * len(axes), [np.iinfo(np.int64).min] * len(axes), axes, [-1] * len(axes)
    return graph.node("Slice", [operands[0], *(graph.constant(_ints(numbers)) for numbers in ends)])


def _padded(graph: Traced, equation: Any, operands: list[str]) -> str:
    low, high, between = zip(*equation.params["padding_config"], strict=True)
    if min((*low, *high)) < 0 or any(between):
        raise Unsupported("the JAX primitive 'pad' with negative or inner padding has no ONNX form here; use jnp.pad or a slice")
    return graph.node("Pad", [operands[0], graph.constant(_ints([*low, *high])), operands[1]])


def _counted(graph: Traced, equation: Any, operands: list[str]) -> str:
    shape, dimension = equation.params["shape"], equation.params["dimension"]
    if not isinstance(shape[dimension], int):
        raise Unsupported(_BESIDE)
    counts = np.arange(shape[dimension], dtype=equation.params["dtype"])
    ranked = counts.reshape([-1 if axis == dimension else 1 for axis in range(len(shape))])
    value = graph.constant(ranked)
    return value if ranked.shape == tuple(shape) else graph.broadcast(value, shape)


def _reduced(operator: str) -> Callable[[Traced, Any, list[str]], str]:
    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        axes = equation.params["axes"]
        if not axes:
            return operands[0]
        return graph.node(operator, [operands[0], graph.constant(_ints(axes))], keepdims=0)

    return write


def _reduced_truth(operator: str) -> Callable[[Traced, Any, list[str]], str]:
    inner = _reduced(operator)

    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        found = inner(graph, equation, [graph.cast(operands[0], np.int32)])
        return graph.cast(found, np.bool_)

    return write


def _place(operator: str) -> Callable[[Traced, Any, list[str]], str]:
    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        (axis,) = equation.params["axes"]
        return graph.cast(graph.node(operator, operands, axis=axis, keepdims=0), equation.params["index_dtype"])

    return write


def _number_of_rows(graph: Traced, equation: Any, operands: list[str]) -> str:
    raise Unsupported(_BESIDE)


def _running_sum(graph: Traced, equation: Any, operands: list[str]) -> str:
    axis = graph.constant(np.array(equation.params["axis"], np.int64))
    return graph.node("CumSum", [operands[0], axis], reverse=int(equation.params["reverse"]))


def _gathered(graph: Traced, equation: Any, operands: list[str]) -> str:
    """One slice, or whole slices along one axis by an array of places: what indexing and `jnp.take` make."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    own, indices, made = (atom.aval.shape for atom in (*equation.invars, *equation.outvars))
    axes = tuple(numbers.start_index_map)
    if not all(isinstance(own[axis], int) for axis in axes):
        raise Unsupported(_BESIDE)
    if len(indices) == 1 and not numbers.operand_batching_dims:
        return _one_slice(graph, equation, operands)
    whole = len(axes) == 1 and sizes == (*own[: axes[0]], 1, *own[axes[0] + 1 :]) and numbers.collapsed_slice_dims == axes
    behind = range(axes[0], axes[0] + len(indices) - 1)
    kept = tuple(place for place in range(len(made)) if place not in behind)
    if not whole or numbers.operand_batching_dims or tuple(numbers.offset_dims) != kept:
        raise Unsupported("the JAX primitive 'gather' of this form has no ONNX form here; index one axis with one array")
    return _taken(graph, equation, operands, axes[0], own[axes[0]])


def _one_slice(graph: Traced, equation: Any, operands: list[str]) -> str:
    """A slice that begins where the one vector of indices says, kept within the array."""
    value, own, dtype = operands[0], equation.invars[0].aval.shape, equation.invars[1].aval.dtype
    if "FILL" in str(equation.params["mode"]):
        raise Unsupported("the JAX primitive 'gather' that fills what is out of reach has no ONNX form here; clip the index")
    for place, axis in enumerate(equation.params["dimension_numbers"].start_index_map):
        size = equation.params["slice_sizes"][axis]
        start = graph.node("Gather", [operands[1], graph.constant(_ints([place]))], axis=0)
        latest = graph.constant(np.array(own[axis] - size, dtype))
        start = graph.node("Min", [graph.node("Max", [start, graph.constant(np.array(0, dtype))]), latest])
        value = graph.node("Gather", [value, graph.node("Add", [start, graph.constant(np.arange(size, dtype=dtype))])], axis=axis)
    return graph.reshape(value, equation.outvars[0].aval.shape)


def _taken(graph: Traced, equation: Any, operands: list[str], axis: int, size: int) -> str:
    dtype = equation.invars[1].aval.dtype
    places = graph.reshape(operands[1], equation.invars[1].aval.shape[:-1])
    low, high = graph.constant(np.array(0, dtype)), graph.constant(np.array(size - 1, dtype))
    inside = graph.node("Min", [graph.node("Max", [places, low]), high])
    found = graph.node("Gather", [operands[0], inside], axis=axis)
    if "FILL" not in str(equation.params["mode"]):
        return found
    fill = equation.params.get("fill_value")
    out = equation.outvars[0].aval
    if fill is None:
        fill = np.nan if out.dtype.kind == "f" else np.iinfo(out.dtype).min if out.dtype.kind == "i" else 0
    same = graph.node("Equal", [places, inside])
    ranked = [1] * len(out.shape)
    ranked[axis : axis + len(equation.invars[1].aval.shape) - 1] = equation.invars[1].aval.shape[:-1]
    return graph.node("Where", [graph.reshape(same, ranked), found, graph.constant(np.array(fill, out.dtype))])


ARRAYS: Mapping[str, Callable[[Traced, Any, list[str]], str | list[str]]] = {
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenated,
    "cumsum": _running_sum,
    "dim_as_value": _number_of_rows,
    "expand_dims": _to_shape,
    "gather": _gathered,
    "iota": _counted,
    "pad": _padded,
    "reduce_and": _reduced_truth("ReduceMin"),
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_or": _reduced_truth("ReduceMax"),
    "reduce_prod": _reduced("ReduceProd"),
    "reduce_sum": _reduced("ReduceSum"),
    "reshape": _reshaped,
    "rev": _reversed,
    "slice": _sliced,
    "split": _split,
    "squeeze": _to_shape,
    "stack": _stacked,
    "tile": _tiled,
    "transpose": _transposed,
}
