"""An ONNX graph as it is written, node by node, by converters that begin with nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported

__all__ = ["OPSET", "Written"]

OPSET, _IR = 18, 9
_TYPES: dict[np.dtype, int] = {
    np.dtype(np.float32): 1,
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.int32): 6,
    np.dtype(np.int64): 7,
    np.dtype(np.bool_): 9,
    np.dtype(np.float64): 11,
    np.dtype(np.uint32): 12,
}


class Written:
    """Nodes and constants so far; each method that adds a node returns the name of its result."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = f"{prefix}:" if prefix else ""
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0

    def node(self, operator: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        return self.nodes(operator, inputs, [output or self._name(operator.lower())], **attributes)[0]

    def split(self, operator: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """A node with `count` results."""
        return self.nodes(operator, inputs, [self._name(operator.lower()) for _ in range(count)], **attributes)

    def nodes(self, operator: str, inputs: Sequence[str], outputs: list[str], **attributes: Any) -> list[str]:
        from onnx import helper

        self._nodes.append(helper.make_node(operator, inputs, outputs, name=self._name("node"), **attributes))
        return outputs

    def constant(self, value: Any) -> str:
        """An initialiser with the dtype of the array `value`."""
        from onnx import numpy_helper

        array = np.asarray(value)
        self.type_of(array.dtype)
        name = self._name("constant")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def cast(self, value: str, dtype: Any) -> str:
        return self.node("Cast", [value], to=self.type_of(dtype))

    @staticmethod
    def type_of(dtype: Any) -> int:
        """ONNX's number of a numpy dtype; raises `Unsupported` where onnxruntime's CPU kernels lack it."""
        found = _TYPES.get(np.dtype(dtype))
        if found is None:
            raise Unsupported(f"the model computes in {np.dtype(dtype).name}, which is not converted; compute in float32")
        return found

    @staticmethod
    def dtype_of(kind: int) -> np.dtype:
        """The numpy dtype of ONNX's number."""
        return next(dtype for dtype, number in _TYPES.items() if number == kind)

    def around(self, model: Any, front: Written, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """`model` with the nodes of `front` before its own and ours behind them, and other inputs and outputs."""
        graph = model.graph
        nodes = [*front._nodes, *graph.node, *self._nodes]
        del graph.node[:], graph.input[:], graph.output[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*front._constants, *self._constants])
        graph.input.extend(self._infos(inputs))
        graph.output.extend(self._infos(outputs))
        graph.name = name
        return model

    def _infos(self, side: Sequence[Any]) -> list[Any]:
        from onnx import helper

        return [helper.make_tensor_value_info(each, self.type_of(dtype), shape) for each, dtype, shape in side]

    def model(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The finished model; `inputs` and `outputs` are (name, dtype, shape), a free axis None."""
        from onnx import helper

        graph = helper.make_graph(self._nodes, name, self._infos(inputs), self._infos(outputs), self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{self._prefix}{stem}:{self._count}"
