"""Surgery on a converted graph: our input layout in front, our output names behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prodml_magics.contract.cells import NULL_CATEGORY
from prodml_magics.contract.schema import Column
from prodml_magics.registry.layout import Precision, wire_inputs

__all__ = ["drop_zipmap", "join_columns", "name_null", "name_outputs"]

_ELEMENT = {"FP32": 1, "FP64": 11, "BYTES": 8, "INT64": 7}
"""Numbers of onnx.TensorProto's datatypes."""


def join_columns(model: Any, columns: Sequence[Column], precision: Precision, *, coded: bool = False) -> None:
    """Replace one input per column by the tensors of the wire, each cut by a Split whose outputs are the old inputs.

    Where `coded`, categories are int64. Columns that the graph only puts together again are taken at once.
    """
    from onnx import helper

    graph = model.graph
    matrix = [node.name for node in graph.input] == ["input"]  # or a single column of that name
    if matrix and coded and graph.input[0].type.tensor_type.elem_type != _ELEMENT["INT64"]:
        _join_matrix(model, columns, precision)
        return
    if matrix and (len(columns) != 1 or columns[0].kind == "numeric"):
        return
    names = {node.name: f"column:{node.name}" for node in graph.input}  # no tensor or output can have such a name
    _rename_inputs(graph, names)
    given = list(names.values())  # in the order of the columns: skl2onnx makes names of its own of those with blanks
    del graph.input[:]
    for tensor in wire_inputs(columns, precision):
        kind = "categorical" if tensor.datatype == "BYTES" else "numeric"
        own = [name for name, column in zip(given, columns, strict=True) if column.kind == kind]
        element = _ELEMENT["INT64" if coded and kind == "categorical" else tensor.datatype]
        graph.input.append(helper.make_tensor_value_info(tensor.name, element, [None, len(own)]))
        _add_split(model, tensor.name, own)
        _take_at_once(graph, tensor.name)


def _join_matrix(model: Any, columns: Sequence[Column], precision: Precision) -> None:
    """Make the one matrix ``input`` of numbers and of the numbers of levels."""
    from onnx import helper, numpy_helper

    graph, tensors = model.graph, wire_inputs(columns, precision)
    kinds = [column.kind for column in columns]
    order = np.argsort([place for kind in ("numeric", "categorical") for place, each in enumerate(kinds) if each == kind])
    del graph.input[:]
    for tensor in tensors:
        element = _ELEMENT["INT64" if tensor.datatype == "BYTES" else precision]
        graph.input.append(helper.make_tensor_value_info(tensor.name, element, [None, tensor.shape[1]]))
    names = [tensor.name for tensor in tensors]
    graph.initializer.append(numpy_helper.from_array(order.astype(np.int64), "input:order"))
    front = [
        helper.make_node("Cast", ["categorical"], ["categorical:numbers"], to=_ELEMENT[precision]),
        helper.make_node("Concat", [*names[:-1], "categorical:numbers"], ["input:joined"], axis=1),
        helper.make_node("Gather", ["input:joined", "input:order"], ["input"], axis=1),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _add_split(model: Any, source: str, names: list[str]) -> None:
    """Put the node first. Columns that the model never looks at become outputs that nothing reads."""
    from onnx import helper, numpy_helper

    graph = model.graph
    if len(names) == 1:
        graph.node.insert(0, helper.make_node("Identity", [source], names, name=f"{source}:split"))
        return
    sizes = np.ones(len(names), np.int64)
    if next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")) < 13:
        graph.node.insert(0, helper.make_node("Split", [source], names, name=f"{source}:split", axis=1, split=sizes.tolist()))
        return
    graph.initializer.append(numpy_helper.from_array(sizes, f"{source}:sizes"))
    graph.node.insert(0, helper.make_node("Split", [source, f"{source}:sizes"], names, name=f"{source}:split", axis=1))


def _take_at_once(graph: Any, source: str) -> None:
    """Replace every Concat of columns of `source` by one node that picks them, and the Split when nothing reads it any more."""
    from onnx import helper, numpy_helper

    split = next(node for node in graph.node if node.name == f"{source}:split")
    places = {name: place for place, name in enumerate(split.output)}
    kept = []
    for node in graph.node:
        if node.op_type == "Concat" and len(node.input) > 1 and all(name in places for name in node.input):
            picked = np.array([places[name] for name in node.input], np.int64)
            if np.array_equal(picked, np.arange(len(places))):
                node = helper.make_node("Identity", [source], node.output, name=node.name)
            else:
                graph.initializer.append(numpy_helper.from_array(picked, f"{node.output[0]}:places"))
                node = helper.make_node("Gather", [source, f"{node.output[0]}:places"], node.output, name=node.name, axis=1)
        kept.append(node)
    read = {name for node in kept for name in node.input} | {output.name for output in graph.output}
    del graph.node[:]
    graph.node.extend(node for node in kept if node.name != split.name or read & places.keys())
    if not read & places.keys():
        held = [each for each in graph.initializer if each.name != f"{source}:sizes"]
        del graph.initializer[:]
        graph.initializer.extend(held)


def _rename_inputs(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)


def name_null(model: Any) -> None:
    """Write the missing category as the contract does: skl2onnx made 'nan' or 'None' of it."""
    for node in model.graph.node:
        for attribute in node.attribute:
            for place, text in enumerate(attribute.strings):
                if text in (b"nan", b"None"):
                    attribute.strings[place] = NULL_CATEGORY.encode()


def name_outputs(model: Any, names: Sequence[str]) -> None:
    """Give the outputs our names in order, vectors the shape [-1]; an output named "" is dropped."""
    from onnx import helper, numpy_helper

    graph = model.graph
    outputs, axes = list(graph.output), _axes(model)
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    del graph.output[:]
    for output, name in zip(outputs, names, strict=False):
        if not name:
            continue
        wide = name == "probabilities" or (name == "prediction" and _width(output) != 1)
        kind = output.type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, _width(output)] if wide else [None]))
        if output.name != name and name in taken:
            _rename(graph, name, f"{name}:inner")
        if axes.get(output.name) == (2 if wide else 1):  # a Reshape costs as much as a small model
            _rename(graph, output.name, name)
            continue
        source = f"{name}:made" if output.name == name else output.name
        if output.name == name:
            _rename(graph, name, source)
        shape = np.array([0, -1] if wide else [-1], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, f"{name}:shape"))
        graph.node.append(helper.make_node("Reshape", [source, f"{name}:shape"], [name], name=f"{name}:reshape"))
    del graph.value_info[:]


def _axes(model: Any) -> dict[str, int]:
    """How many axes the outputs have, where that follows from the operators and not only from what was declared."""
    from onnx import ModelProto, shape_inference

    undeclared = ModelProto()
    undeclared.CopyFrom(model)
    for value in undeclared.graph.output:
        value.type.tensor_type.ClearField("shape")
    del undeclared.graph.value_info[:]
    try:
        found = shape_inference.infer_shapes(undeclared).graph.output
    except shape_inference.InferenceError:
        return {}
    return {each.name: len(each.type.tensor_type.shape.dim) for each in found if each.type.tensor_type.HasField("shape")}


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _width(output: Any) -> int | None:
    """The declared second dimension, 1 for a vector, None where it is open."""
    dims = output.type.tensor_type.shape.dim
    if len(dims) < 2:
        return 1
    return dims[1].dim_value or None


def drop_zipmap(model: Any) -> None:
    """Expose the tensor behind a ZipMap node in its place, in place."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        outputs = [output for output in graph.output if output.name == node.output[0]]
        graph.node.remove(node)
        for output in outputs:
            _expose(graph, output, node.input[0])


def _expose(graph: Any, output: Any, source: str) -> None:
    from onnx import TensorProto, helper

    place = list(graph.output).index(output)
    replacement = helper.make_tensor_value_info(source, TensorProto.FLOAT, [None, None])
    rest = [*graph.output[:place], replacement, *graph.output[place + 1 :]]
    del graph.output[:]
    graph.output.extend(rest)
