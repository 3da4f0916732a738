from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

Build = Callable[..., bytes]


@pytest.fixture
def build() -> Build:
    """Make a file of the given nodes from ``x`` [-1, 2] to ``y`` [-1, 2]; nothing is checked on the way."""

    def make(
        *nodes: onnx.NodeProto,
        constants: tuple[onnx.TensorProto, ...] = (),
        opset: int = 18,
        ir: int = 9,
        shape: tuple[str, ...] = ("rows", "width"),
        **more: object,
    ) -> bytes:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph(list(nodes), "g", [x], [y], initializer=list(constants))
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("my.ops", 1), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets, **more)
        model.ir_version = ir
        return model.SerializeToString()

    return make


@pytest.fixture
def doubler(build) -> bytes:
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    return build(helper.make_node("Mul", ["x", "two"], ["y"]), constants=(two,))


@pytest.fixture
def endless(build) -> bytes:
    """A Loop whose condition stays true: valid ONNX that never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", 2]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, ["n", 2]),
        ],
    )
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    return build(helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body), constants=(yes,))


@pytest.fixture
def gigantic(build) -> bytes:
    """A few hundred bytes that make 16 GB when they run."""
    size = onnx.numpy_helper.from_array(np.array([4_000_000_000]), "size")
    return build(helper.make_node("ConstantOfShape", ["size"], ["y"]), constants=(size,), shape=("many",))
