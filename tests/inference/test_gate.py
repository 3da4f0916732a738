from __future__ import annotations

import pickle
import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from prodml_magics.errors import GateRefused
from prodml_magics.inference.gate import check_model

RELU = helper.make_node("Relu", ["x"], ["y"])
ADD = helper.make_node("Add", ["x", "w"], ["y"])


def external(location: str) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_ordinary_files_pass(build, doubler):
    check_model(doubler)
    check_model(build(RELU))
    shape = onnx.numpy_helper.from_array(np.array([3, 1]), "size")
    check_model(build(helper.make_node("Tile", ["x", "size"], ["y"]), constants=(shape,)))
    made = helper.make_node("Constant", [], ["size"], value_ints=[4, 2])
    check_model(build(made, helper.make_node("Expand", ["x", "size"], ["y"])))


@pytest.mark.parametrize("location", ["w.bin", "../x", "sub/../../x", "/etc/passwd", "/dev/zero", ""])
def test_data_outside_the_file_is_refused(build, location):
    with pytest.raises(GateRefused, match="constant 'w' lies outside the file"):
        check_model(build(ADD, constants=(external(location),)), trusted_exporter=True)


def test_external_data_in_a_node_is_refused(build):
    with pytest.raises(GateRefused, match="outside the file"):
        check_model(build(helper.make_node("Constant", [], ["w"], value=external("w.bin")), ADD))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Evil", ["x"], ["y"], domain="my.ops"), "operator 'Evil' is of the unknown domain 'my.ops'"),
        (helper.make_node("PyOp", ["x"], ["y"], domain="com.microsoft"), "operator 'PyOp' is not on the list"),
        (helper.make_node("NoSuch", ["x"], ["y"]), "operator 'NoSuch' is not on the list"),
        (helper.make_node("RandomNormalLike", ["x"], ["y"]), "'RandomNormalLike' is not on the list"),
    ],
)
def test_operators_off_the_list_are_refused(build, node, message):
    for trusted in (False, True):
        with pytest.raises(GateRefused, match=message):
            check_model(build(node), trusted_exporter=trusted)


def test_control_flow_is_for_our_converter_alone(endless):
    with pytest.raises(GateRefused, match="'Loop' holds a graph of its own"):
        check_model(endless)
    check_model(endless, trusted_exporter=True)


def test_an_operator_inside_a_subgraph_is_checked_too(build):
    evil = helper.make_graph(
        [helper.make_node("Evil", ["x"], ["z"], domain="my.ops")], "b", [], [helper.make_empty_tensor_value_info("z")]
    )
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    with pytest.raises(GateRefused, match="'Evil'"):
        check_model(
            build(helper.make_node("If", ["yes"], ["y"], then_branch=evil, else_branch=evil), constants=(yes,)),
            trusted_exporter=True,
        )


def test_functions_of_the_file_are_refused(build):
    function = helper.make_function(
        "my.ops", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    with pytest.raises(GateRefused, match="function of its own, 'F'"):
        check_model(build(helper.make_node("F", ["x"], ["y"], domain="my.ops"), functions=[function]))


def test_a_huge_output_is_refused(gigantic):
    with pytest.raises(GateRefused, match=r"'ConstantOfShape' makes 4e\+09 values"):
        check_model(gigantic)


def test_a_range_over_everything_is_refused(build):
    ends = [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in [("a", 0), ("b", 1e12), ("c", 1)]]
    with pytest.raises(GateRefused, match="'Range' makes 1e"):
        check_model(build(helper.make_node("Range", ["a", "b", "c"], ["y"]), constants=tuple(ends), shape=("many",)))


def test_a_size_from_the_data_is_refused(build):
    ends = [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in [("a", 0), ("c", 1)]]
    largest = helper.make_node("ReduceMax", ["x"], ["b"], keepdims=0)
    with pytest.raises(GateRefused, match="'Range' takes the size of its output from the data"):
        check_model(build(largest, helper.make_node("Range", ["a", "b", "c"], ["y"]), constants=tuple(ends), shape=("many",)))


@pytest.mark.parametrize(("versions", "message"), [({"opset": 99}, "opset 99"), ({"opset": 0}, "opset 0"), ({"ir": 99}, "IR 99")])
def test_versions_that_onnxruntime_cannot_read_are_refused(build, versions, message):
    with pytest.raises(GateRefused, match=message):
        check_model(build(RELU, **versions))


@pytest.mark.parametrize(
    ("dims", "data"), [([2], b"\0" * 4), ([1000], b"\0" * 8), ([-1, 2], b""), ([2**40, 2**40], b"\0" * 8), ([2], b"\0" * 12)]
)
def test_constants_must_have_the_bytes_that_they_claim(build, dims, data):
    constant = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
    with pytest.raises(GateRefused, match="constant 'w' has"):
        check_model(build(ADD, constants=(constant,)))


def test_what_is_no_model_is_refused(doubler):
    noise = random.Random(7)
    for junk in (
        b"",
        pickle.dumps({"a": 1}),
        noise.randbytes(500),
        b"\x08",
        doubler[: len(doubler) // 2],
        b"\x3a\xff\xff\xff\xff\x0f",
    ):
        with pytest.raises(GateRefused):
            check_model(junk)


def test_a_flipped_bit_is_refused_or_harmless(doubler):
    """Whatever bit flips, the gate answers yes or refuses in its own words; it never crashes."""
    noise, refused = random.Random(3), 0
    for _ in range(200):
        broken = bytearray(doubler)
        broken[noise.randrange(len(broken))] ^= 1 << noise.randrange(8)
        try:
            check_model(bytes(broken))
        except GateRefused:
            refused += 1
    assert 50 < refused <= 200


def test_a_cycle_is_refused(build):
    with pytest.raises(GateRefused, match="not valid ONNX"):
        check_model(build(helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"]), RELU))


def test_a_checker_that_says_nothing_is_still_a_refusal(monkeypatch, doubler):
    def silent(*_, **__):
        raise onnx.checker.ValidationError

    monkeypatch.setattr(onnx.checker, "check_model", silent)
    with pytest.raises(GateRefused, match="not valid ONNX: ValidationError; export it again"):
        check_model(doubler)
