"""PyTorch modules to ONNX by `torch.onnx.export`, traced with two rows: with one, some modules come out for one row only."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported, first_line
from prodml_magics.registry.converters.network import Network, declare_outputs
from prodml_magics.registry.converters.written import Written

__all__ = ["convert_network", "open_network", "run_network"]


def open_network(model: Any) -> Network:
    """A copy of `model` on the CPU that neither drops out nor learns, as a function of one tensor."""
    import torch

    try:
        module = copy.deepcopy(model).to("cpu").eval()
    except (RuntimeError, TypeError) as error:
        raise Unsupported(f"{type(model).__name__} cannot be copied: {first_line(error)}; register a module that can") from error
    floats = [each.dtype for each in (*module.parameters(), *module.buffers()) if each.is_floating_point()]
    seen = "float64" if floats[:1] == [torch.float64] else "float32"
    return Network("pytorch", type(model).__name__, module, (), seen, seen)


def run_network(function: Any, array: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and values of the tensors that the module returns for `array`."""
    import torch

    with torch.no_grad():
        found = function(torch.from_numpy(array.copy()))
    return _names(found), [each.numpy() for each in _tensors(found)]


def convert_network(network: Network) -> bytes:
    """The ONNX file of a module; raises `Unsupported` with what torch says of one that it cannot export."""
    model = _exported(network)
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output):
        del part.metadata_props[:]  # they hold lines of the user's source and its paths
        part.doc_string = ""
    head, tail = Written("front"), Written("back")
    if network.dtype != network.seen:
        head.nodes("Cast", ["input"], ["seen"], to=head.type_of(network.seen))
    outputs = [(each.name, tail.dtype_of(each.type.tensor_type.elem_type), _row(each)) for each in graph.output]
    declared = declare_outputs(tail, network, outputs)
    inputs = [("input", network.dtype, [None, *network.shape])]
    return bytes(tail.around(model, head, network.name, inputs, declared).SerializeToString())


def _exported(network: Network) -> Any:
    """torch's own model proto, its input called ``seen`` where a cast goes in front, its first axis free."""
    try:
        import torch
        import torch.onnx
    except ImportError as error:
        raise Unsupported(
            f"PyTorch models need packages that are missing ({error.name}); pip install 'prodml-magics[torch]'"
        ) from error
    example = torch.from_numpy(np.zeros((2, *network.shape), network.seen))
    name = "input" if network.dtype == network.seen else "seen"
    try:
        program = torch.onnx.export(
            network.function,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=2**20)},),
            input_names=[name],
            output_names=[f"made_{place}" for place in range(len(network.names))],
            external_data=False,
            verbose=False,
        )
    except ModuleNotFoundError as error:
        raise Unsupported(f"PyTorch models need {error.name}; pip install 'prodml-magics[torch]'") from error
    except Exception as error:  # torch has a class for each stage of its export
        raise Unsupported(
            f"torch cannot export {network.name}: {_reason(error)}; let no code look at the values of a tensor"
        ) from error
    return program.model_proto


def _reason(error: BaseException) -> str:
    """The innermost cause, which says what is at fault; torch's outer ones are pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error, 200)


def _row(output: Any) -> list[int]:
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in output.type.tensor_type.shape.dim][1:]
    return [size if size is not None else -1 for size in sizes]


def _tensors(found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        return list(found.values())
    return list(found) if isinstance(found, tuple | list) else [found]


def _names(found: Any) -> tuple[str, ...]:
    if isinstance(found, Mapping):
        return tuple(str(name) for name in found)
    return tuple(f"output_{place}" for place in range(len(found))) if isinstance(found, tuple | list) else ("output",)
