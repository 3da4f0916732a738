"""Ready ``.onnx`` files: taken as they are, apart from ZipMap, once the gate has passed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from prodml_magics.contract.datatypes import datatype_of
from prodml_magics.contract.schema import Tensor
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.gate import check_model
from prodml_magics.registry.converters.graph import drop_zipmap

__all__ = ["describe_tensors", "prepare_file", "task_of"]


def prepare_file(model: bytes) -> bytes:
    """The file to serve: the given bytes, or the graph without its ZipMap. Raises `GateRefused` for an unsafe file."""
    import onnx

    check_model(model)
    graph = onnx.load_model_from_string(model)
    if not any(node.op_type == "ZipMap" for node in graph.graph.node):
        return model
    drop_zipmap(graph)
    changed = graph.SerializeToString()
    check_model(changed)
    return changed


def describe_tensors(model: bytes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs and outputs of a file as the protocol writes them; a free axis is -1.

    Raises `Unsupported` for sequences, maps and types without a name in the protocol, and for an input whose first axis is
    fixed, since requests come in batches of any size.
    """
    import onnx

    graph = onnx.load_model_from_string(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_describe(node) for node in graph.input if node.name not in constants)
    for tensor in inputs:
        if not tensor.shape or tensor.shape[0] != -1:
            raise Unsupported(f"input {tensor.name!r} has the fixed shape {list(tensor.shape)}; export it with a free first axis")
    return inputs, tuple(_describe(node) for node in graph.output)


def task_of(outputs: Sequence[Tensor]) -> Literal["classification", "regression", "other"]:
    """What the names of the outputs say: ours and skl2onnx's; anything else is `other`."""
    names = {tensor.name for tensor in outputs}
    if {"label", "probabilities"} <= names:
        return "classification"
    return "regression" if names == {"prediction"} else "other"


def _describe(node: Any) -> Tensor:
    from onnx import helper

    kind = node.type.tensor_type
    if not node.type.HasField("tensor_type"):
        raise Unsupported(f"{node.name!r} is a {node.type.WhichOneof('value')}, not a tensor; export the model with tensors only")
    if not kind.HasField("shape"):
        raise GateRefused(f"tensor {node.name!r} declares no shape; export the model with shapes")
    dtype = np.dtype(object) if kind.elem_type == 8 else helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else -1 for dim in kind.shape.dim)
    return Tensor(name=node.name, datatype=datatype_of(dtype), shape=shape)
