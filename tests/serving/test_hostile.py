"""Files that were made to do harm: each is refused by name before it runs, when it is registered and when a gateway loads it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from versions import Placed, place

from prodml_magics.errors import GateRefused
from prodml_magics.inference.gate import check_model
from prodml_magics.registry.ready import prove_file
from prodml_magics.serving.version import load_version

COLUMNS = 30
RELU = helper.make_node("Relu", ["input"], ["y"])


def built(*nodes: Any, constants: tuple[Any, ...] = (), opset: int = 18, ir: int = 9, **more: Any) -> bytes:
    """A file with the input that the placed version has; nothing is checked on the way."""
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", COLUMNS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "width"])
    graph = helper.make_graph(list(nodes), "g", [x], [y], initializer=list(constants))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("my.ops", 1), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, **more)
    model.ir_version = ir
    return model.SerializeToString()


def external(**entries: str) -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[COLUMNS], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return built(helper.make_node("Add", ["input", "w"], ["y"]), constants=(tensor,))


def constant(dims: list[int], data: bytes) -> bytes:
    held = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
    return built(helper.make_node("Add", ["input", "w"], ["y"]), constants=(held,))


def tree(**changes: Any) -> bytes:
    plain = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    return built(helper.make_node("TreeEnsembleRegressor", ["input"], ["y"], domain="ai.onnx.ml", **{**plain, **changes}))


def endless() -> bytes:
    inner = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])]
    info = helper.make_tensor_value_info
    inputs = [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, ["n", COLUMNS])]
    outputs = [info("c2", TensorProto.BOOL, []), info("v2", TensorProto.FLOAT, ["n", COLUMNS])]
    body = helper.make_graph(inner, "body", inputs, outputs)
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    return built(helper.make_node("Loop", ["", "yes", "input"], ["y"], body=body), constants=(yes,))


def gigantic() -> bytes:
    size = onnx.numpy_helper.from_array(np.array([4_000_000_000, 1]), "size")
    return built(helper.make_node("ConstantOfShape", ["size"], ["y"]), constants=(size,))


def function() -> bytes:
    inner = [helper.make_node("Relu", ["a"], ["b"])]
    made = helper.make_function("my.ops", "F", ["a"], ["b"], inner, [helper.make_opsetid("", 18)])
    return built(helper.make_node("F", ["input"], ["y"], domain="my.ops"), functions=[made])


def nested(depth: int) -> bytes:
    """Fields within fields, deeper than parsers go."""
    data = b""
    for _ in range(depth):
        size, head = len(data), b""
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        data = b"\x3a" + head + bytes([size]) + data
    return data


def cycle() -> bytes:
    return built(helper.make_node("Add", ["input", "b"], ["a"]), helper.make_node("Add", ["a", "input"], ["b"]), RELU)


OUTSIDE, NO_MODEL, COLUMN, CHILD = "lies outside the file", "is not an ONNX model", "asks for column", "goes on to"
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "external data in the folder": (lambda: external(location="w.bin"), OUTSIDE),
    "external data above it": (lambda: external(location="../x"), OUTSIDE),
    "external data by a way round": (lambda: external(location="sub/../../x"), OUTSIDE),
    "external data by an absolute path": (lambda: external(location="/etc/passwd"), OUTSIDE),
    "external data of a device": (lambda: external(location="/dev/zero"), OUTSIDE),
    "external data without a place": (external, OUTSIDE),
    "external data in an empty place": (lambda: external(location=""), OUTSIDE),
    "external data from before the beginning": (lambda: external(location="w.bin", offset="-1"), OUTSIDE),
    "external data beyond the end": (lambda: external(location="w.bin", length="99999999"), OUTSIDE),
    "operator of a foreign domain": (
        lambda: built(helper.make_node("Evil", ["input"], ["y"], domain="my.ops")),
        "unknown domain 'my.ops'",
    ),
    "operator of onnxruntime off the list": (
        lambda: built(helper.make_node("PyOp", ["input"], ["y"], domain="com.microsoft")),
        "'PyOp' is not on the list",
    ),
    "local function": (function, "function of its own"),
    "opset 99": (lambda: built(RELU, opset=99), "opset 99"),
    "IR 99": (lambda: built(RELU, ir=99), "IR 99"),
    "cycle": (cycle, "not valid ONNX"),
    "empty file": (lambda: b"", NO_MODEL),
    "noise": (lambda: np.random.default_rng(7).bytes(500), NO_MODEL),
    "half a file": (lambda: built(RELU)[:60], NO_MODEL),
    "pickle": (lambda: pickle.dumps({"a": 1}), NO_MODEL),
    "deep nesting": (lambda: nested(5_000), NO_MODEL),
    "constant with too few bytes": (lambda: constant([COLUMNS], b"\0" * 8), "not the bytes for it"),
    "constant of an impossible shape": (lambda: constant([2**40, 2**40], b"\0" * 8), "impossible shape"),
    "tree that asks for a column beyond the last": (lambda: tree(nodes_featureids=[99, 0, 0]), COLUMN),
    "tree that asks for a column before the first": (lambda: tree(nodes_featureids=[-5, 0, 0]), COLUMN),
    "tree that goes on to no node": (lambda: tree(nodes_truenodeids=[77, 0, 0]), CHILD),
    "tree that goes on to itself": (lambda: tree(nodes_truenodeids=[0, 0, 0]), CHILD),
    "tree with a list cut short": (lambda: tree(nodes_truenodeids=[1]), "does not name its 3 nodes"),
}
"""By name: how it is made, and why it is refused, wherever it comes from."""

OWN_EXPORTER_ONLY: dict[str, tuple[Callable[[], bytes], str]] = {
    "endless loop": (endless, "holds a graph of its own"),
    "sixteen gigabytes": (gigantic, "makes 4e"),
}
"""What our own converter may write is refused in a ready file; elsewhere it ends at its limits, in a process of its own."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_not_registered(name: str) -> None:
    make, why = HOSTILE[name]
    with pytest.raises(GateRefused, match=why):
        check_model(make())
    with pytest.raises(GateRefused, match=rf"\A[^\n]*{why}[^\n]*\Z"):
        prove_file(make(), None, None)


@pytest.mark.parametrize("name", OWN_EXPORTER_ONLY)
def test_what_may_never_end_or_fill_the_memory_is_not_registered(name: str) -> None:
    make, why = OWN_EXPORTER_ONLY[name]
    with pytest.raises(GateRefused, match=why):
        prove_file(make(), None, None)


def hostile_files(placed: Placed, data: bytes) -> Any:
    """A version of somebody else's whose file is `data`, as the ledger of a home would name it."""
    other = place(placed.home, "cancer", 2)
    (placed.home / other.files.folder / "model.onnx").write_bytes(data)
    return msgspec.structs.replace(other.files, model_sha256=hashlib.sha256(data).hexdigest(), isolate=True)


@pytest.mark.parametrize(
    "name", ["external data of a device", "operator of a foreign domain", "deep nesting", "tree that goes on to no node"]
)
def test_a_gateway_does_not_load_a_hostile_file(placed: Placed, name: str) -> None:
    make, why = HOSTILE[name]
    with pytest.raises(GateRefused, match=rf"\Athe model cannot be loaded: [^\n]*{why}"):
        load_version("cancer", hostile_files(placed, make()), placed.home)


def test_a_gateway_does_not_load_what_fills_the_memory(placed: Placed) -> None:
    with pytest.raises(GateRefused, match=r"fails on its registered samples \([^\n]*while running ConstantOfShape"):
        load_version("cancer", hostile_files(placed, gigantic()), placed.home)
