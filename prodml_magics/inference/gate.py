"""Whether an ONNX file may be loaded at all, decided from its bytes alone.

`onnx.checker` passes external data with wild offsets, operators of unknown domains, opset 99, endless loops and a
16 GB constant in 146 bytes; onnxruntime loads some of them. Each check here closes one such door.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from prodml_magics.errors import GateRefused, first_line
from prodml_magics.inference.operators import CONTROL_FLOW, DOMAINS, allowed_operators
from prodml_magics.inference.sizes import check_sizes
from prodml_magics.inference.trees import check_trees

__all__ = ["LARGEST_MODEL", "check_model"]

LARGEST_MODEL = 2**30
"""Bytes; protobuf itself ends at 2 GiB."""

_HIGHEST_OPSET = {"": 26, "ai.onnx.ml": 5, "com.microsoft": 1}
_HIGHEST_IR = 13


def check_model(model: bytes, *, trusted_exporter: bool = False) -> None:
    """Return when the file may be loaded; raise `GateRefused` with the reason when not.

    Checked: size, that it parses, no external data, versions, domains, operators, no subgraphs and local functions, no
    operator that makes its output as large as the input says, declared against actual bytes of every constant, trees whose
    nodes and columns are all there, and `onnx.checker`. `trusted_exporter` lets control flow and sized operators pass in a graph
    that our converter wrote.
    """
    graph = _parse(model)
    _check_versions(graph)
    if graph.functions and not trusted_exporter:
        name = graph.functions[0].name[:60]
        raise GateRefused(f"the model defines a function of its own, {name!r}; export it without functions")
    graphs = list(_graphs(graph.graph))
    for inner in graphs:
        for tensor in _constants(inner):
            _check_constant(tensor)
    _check_nodes([node for inner in graphs for node in inner.node], trusted_exporter)
    _check_form(graph)
    check_trees(graph)
    if not trusted_exporter:
        check_sizes(graph.graph)


def _parse(model: bytes) -> Any:
    import onnx

    if len(model) > LARGEST_MODEL:
        most = f"{LARGEST_MODEL / 2**30:.0f} GiB"
        raise GateRefused(f"the model has {len(model) / 2**30:.1f} GiB; at most {most} can be registered")
    try:
        parsed = onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's DecodeError; protobuf itself is onnx's dependency, not ours
        raise GateRefused("the file is not an ONNX model: it does not parse; export it again") from error
    if not parsed.graph.node or not parsed.graph.output:
        raise GateRefused("the file is not an ONNX model: it has no operators or no outputs; export it again")
    return parsed


def _check_versions(model: Any) -> None:
    if model.ir_version > _HIGHEST_IR:
        raise GateRefused(f"the model is of ONNX IR {model.ir_version}; export it for IR {_HIGHEST_IR} or older")
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if domain in _HIGHEST_OPSET and not 1 <= opset.version <= _HIGHEST_OPSET[domain]:
            known = f"1 to {_HIGHEST_OPSET[domain]}"
            raise GateRefused(f"the model uses opset {opset.version} of {domain or 'ai.onnx'}; export it for one of {known}")


def _graphs(graph: Any) -> Iterator[Any]:
    """`graph` and every graph inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _graphs(inner)


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _check_constant(tensor: Any) -> None:
    import onnx

    shown = f"constant {tensor.name[:60]!r}"
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise GateRefused(f"{shown} lies outside the file; export the model as one file (external_data=False)")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > LARGEST_MODEL:
        raise GateRefused(f"{shown} has the impossible shape {list(tensor.dims)}; export the model again")
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise GateRefused(f"{shown} has shape {list(tensor.dims)} but not the bytes for it; export the model again") from error
    if values.size != math.prod(tensor.dims):
        raise GateRefused(f"{shown} has shape {list(tensor.dims)} but {values.size} values; export the model again")


def _check_nodes(nodes: Iterable[Any], trusted: bool) -> None:
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        name = f"operator {node.op_type[:60]!r}"
        if domain not in DOMAINS:
            raise GateRefused(f"{name} is of the unknown domain {domain[:60]!r}; only standard operators can be served")
        if node.op_type not in allowed_operators(domain):
            raise GateRefused(f"{name} is not on the list of operators that can be served; export the model without it")
        inner = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if (inner or node.op_type in CONTROL_FLOW) and not trusted:
            raise GateRefused(f"{name} holds a graph of its own and may never end; export the model without control flow")


def _check_form(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        # ValueError and RuntimeError: broken text and broken attributes, which the checker meets before it judges
        line = first_line(error)
        raise GateRefused(f"the model is not valid ONNX: {line}; export it again") from error
