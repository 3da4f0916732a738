"""Tables of encoders folded into the linear model behind them: of each column one number is looked up, and no column of its own is
made for every level.

A row of 20 numbers and 5 columns of text with 343 levels takes 5.8 µs in place of 7.0, and 1,024 of them 33 µs in place of 312.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prodml_magics.registry.tabulated import Tabulated

__all__ = ["fold_tables", "side_by_side"]

_MOST_CELLS = 65_536
"""A table of so many cells is made as long for every column as for the one with most levels."""

_FLOAT, _DOUBLE = 1, 11
"""Numbers of ONNX's element types."""
_KEEP_WIDTH = frozenset({"Cast", "Identity", "Imputer", "Normalizer", "Scaler"})
"""Operators whose output is as wide as their first input, of which onnx knows that not of all."""


class _Weights(NamedTuple):
    """What a linear operator multiplies its inputs with, float64 [inputs, outputs]."""

    node: Any
    values: np.ndarray
    halved: bool
    """Of two classes the first has the weights of the second, negated: only those of the second are kept."""


class _Path(NamedTuple):
    """How the outputs of a table come to a linear operator: through a Concat, as its inputs from `start` on."""

    weights: _Weights
    concat: Any | None
    name: str
    start: int


def fold_tables(model: Any, tables: Sequence[Tabulated]) -> None:
    """Fold those of `tables`, each of which knows what its look-up is called, whose outputs go into one linear operator of `model`
    and nowhere else, in place.
    """
    found = [table for table in tables if table.written]
    if not found:
        return
    widths = _widths(model, found)
    for table in found:
        path = _path(model, table, widths)
        if path is not None:
            _fold(model, table, path, widths)
    _drop_unread(model.graph)


def _widths(model: Any, tables: Sequence[Tabulated]) -> dict[str, int]:
    """The second axis of values of the graph, where it is known."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    axes = {value.name: value.type.tensor_type.shape.dim for value in (*inferred.value_info, *inferred.input)}
    widths = {name: dims[1].dim_value for name, dims in axes.items() if len(dims) == 2 and dims[1].dim_value}
    widths |= {table.written[1]: sum(table.widths) for table in tables if table.written}
    for node in model.graph.node:
        if node.op_type in _KEEP_WIDTH and node.input[0] in widths:
            widths.setdefault(node.output[0], widths[node.input[0]])
    return widths


def _path(model: Any, table: Tabulated, widths: Mapping[str, int]) -> _Path | None:
    """The way from `table` to a linear operator; None where there is none, or it takes more numbers than the table has outputs."""
    assert table.written
    node, name = _reader(model, table.written[1], wide=table.wide)
    concat, own = None, name
    if node is not None and node.op_type == "Concat":
        concat = node
        node, name = _reader(model, concat.output[0], wide=table.wide)
    weights = _weights(model, node, name) if node is not None else None
    if weights is None or len(table.tables) * weights.values.shape[1] > sum(table.widths):
        return None
    start = _start(concat, own, len(weights.values), widths) if concat is not None else 0
    return None if start is None else _Path(weights, concat, own, start)


def _reader(model: Any, name: str, *, wide: bool) -> tuple[Any, str]:
    """The one node that reads a value, and under which name; nodes that only hand it on are passed over."""
    while True:
        readers = [node for node in model.graph.node if name in node.input]
        if len(readers) != 1 or any(output.name == name for output in model.graph.output):
            return None, name
        node = readers[0]
        same = node.op_type == "Cast" and node.attribute[0].i == (_DOUBLE if wide else _FLOAT)
        if not same and node.op_type != "Identity":
            return node, name
        name = node.output[0]


def _start(concat: Any, name: str, total: int, widths: Mapping[str, int]) -> int | None:
    """Where `name` begins among the `total` columns that `concat` makes; the width of one of its inputs need not be known."""
    names = list(concat.input)
    known = [widths.get(each) for each in names]
    left = total - sum(width or 0 for width in known)
    if known.count(None) > 1 or (left != 0) != (None in known) or left < 0 or names.count(name) > 1:
        return None
    return sum(left if width is None else width for width in known[: names.index(name)])


def _weights(model: Any, node: Any, name: str) -> _Weights | None:
    from onnx import numpy_helper

    attributes = {each.name: each for each in node.attribute}
    if node.op_type in ("LinearClassifier", "LinearRegressor"):
        values = np.array(attributes["coefficients"].floats, np.float64)
        outputs = len(attributes["intercepts"].floats) if "intercepts" in attributes else 0
        if not outputs or len(values) % outputs:
            return None
        return _halved(node, values.reshape(outputs, -1).T)
    if node.op_type == "MatMul" and node.input[0] == name:
        held = next((each for each in model.graph.initializer if each.name == node.input[1]), None)
        array = None if held is None else numpy_helper.to_array(held)
        return None if array is None or array.ndim != 2 else _halved(node, array.astype(np.float64))
    return None


def _halved(node: Any, values: np.ndarray) -> _Weights:
    halved = values.shape[1] == 2 and np.array_equal(values[:, 0], -values[:, 1])
    return _Weights(node, values[:, 1:] if halved else values, halved)


def _fold(model: Any, table: Tabulated, path: _Path, widths: dict[str, int]) -> None:
    """Look up what the linear operator adds for each level, one number of each column and output, in place of the table's outputs."""
    assert table.written
    graph, (codes, name) = model.graph, table.written
    stop, outputs = path.start + sum(table.widths), path.weights.values.shape[1]
    added = _added(table, path.weights.values[path.start : stop])
    found, reader = f"{name}:added", path.concat or path.weights.node
    for at, each in enumerate(reader.input):
        reader.input[at] = found if each == path.name else each
    _rewrite(model, path.weights, path.start, stop, np.tile(np.eye(outputs), (len(added), 1)))
    place = next(place for place, node in enumerate(graph.node) if name in node.output)
    look_up = _look_up(model, added, codes, found, np.float64 if table.wide else np.float32)
    nodes = [*graph.node[:place], *look_up, *graph.node[place:]]
    del graph.node[:]
    graph.node.extend(nodes)
    widths[found] = len(added) * outputs


def _added(table: Tabulated, weights: np.ndarray) -> list[np.ndarray]:
    """For each column what each of its levels adds to the outputs [levels, outputs]."""
    by_part = np.empty_like(weights)
    by_part[np.asarray(table.order)] = weights
    added, start = [], 0
    for each, width in zip(table.tables, table.widths, strict=True):
        own = by_part[start : start + width]
        if each.ndim == 1:  # where its one 1 is
            added.append(np.where(each[:, None] >= 0, own[np.maximum(each, 0)] if width else 0.0, 0.0))
        else:
            added.append(each @ own)
        start += width
    return added


def _look_up(model: Any, added: Sequence[np.ndarray], codes: str, found: str, dtype: Any) -> list[Any]:
    """Nodes that make [rows, columns × outputs] of the numbers `codes` [rows, columns]."""
    from onnx import helper

    outputs = added[0].shape[1]
    cells = side_by_side([each[:, 0].astype(dtype) for each in added]) if outputs == 1 else None
    if cells is not None:
        return [helper.make_node("GatherElements", [_constant(model, f"{found}:cells", cells), codes], [found], axis=0)]
    starts = np.cumsum([0, *(len(each) for each in added[:-1])])
    rows = _constant(model, f"{found}:rows", np.concatenate(added).astype(dtype))
    flat = _constant(model, f"{found}:flat", np.array([-1, len(added) * outputs]))
    return [
        helper.make_node("Add", [codes, _constant(model, f"{found}:starts", starts[None, :])], [f"{found}:numbers"]),
        helper.make_node("Gather", [rows, f"{found}:numbers"], [f"{found}:each"], axis=0),
        helper.make_node("Reshape", [f"{found}:each", flat], [found]),
    ]


def side_by_side(tables: Sequence[np.ndarray]) -> np.ndarray | None:
    """Tables [levels] as the columns of one, filled up with zeros; None where it would be large."""
    longest = max(len(each) for each in tables)
    if longest * len(tables) > _MOST_CELLS:
        return None
    cells = np.zeros((longest, len(tables)), tables[0].dtype)
    for place, each in enumerate(tables):
        cells[: len(each), place] = each
    return cells


def _rewrite(model: Any, weights: _Weights, start: int, stop: int, ones: np.ndarray) -> None:
    from onnx import helper, numpy_helper

    values = np.concatenate([weights.values[:start], ones, weights.values[stop:]])
    values = np.concatenate([-values, values], axis=1) if weights.halved else values
    if weights.node.op_type == "MatMul":
        held = next(each for each in model.graph.initializer if each.name == weights.node.input[1])
        dtype = numpy_helper.to_array(held).dtype
        weights.node.input[1] = _constant(model, f"{held.name}:folded:{start}", values.astype(dtype))
        return
    kept = [each for each in weights.node.attribute if each.name != "coefficients"]
    del weights.node.attribute[:]
    weights.node.attribute.extend([*kept, helper.make_attribute("coefficients", values.T.ravel().tolist())])


def _constant(model: Any, name: str, values: np.ndarray) -> str:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _drop_unread(graph: Any) -> None:
    """Leave out nodes whose outputs nothing reads, and constants."""
    read = {output.name for output in graph.output}
    kept = []
    for node in reversed(list(graph.node)):
        if any(name in read for name in node.output):
            kept.append(node)
            read.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    held = [each for each in graph.initializer if each.name in read]
    del graph.initializer[:]
    graph.initializer.extend(held)
