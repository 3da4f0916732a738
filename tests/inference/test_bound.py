"""Runs over buffers that stay, as a GPU gets them; here over onnxruntime's own buffers on the CPU."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from prodml_magics.inference.bound import Bound
from prodml_magics.inference.runs import RunEnded, Runs
from prodml_magics.inference.session import Session, _graph_options, _run_options

RUNS = Runs(_run_options)


def opened(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any] | None = None) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=constants or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def info(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


@pytest.fixture(scope="module")
def model() -> Any:
    """``y`` is twice ``x``; ``z`` is the sum of a row of ``x`` and its whole number ``k``."""
    return opened(
        [
            helper.make_node("Add", ["x", "x"], ["y"]),
            helper.make_node("MatMul", ["x", "ones"], ["total"]),
            helper.make_node("Cast", ["k"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["total", "number"], ["z"]),
        ],
        [info("x", "n", 3), info("k", "n", 1, kind=TensorProto.INT64)],
        [info("y", "n", 3), info("z", "n", 1)],
        [onnx.numpy_helper.from_array(np.ones((3, 1), np.float32), "ones")],
    )


def rows_of(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.integers(-100, 100, (n, 3)).astype(np.float32), "k": rng.integers(-9, 9, (n, 1))}


def check(found: list[np.ndarray], sent: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(found[0], 2 * sent["x"])
    np.testing.assert_array_equal(found[1], sent["x"].sum(1, keepdims=True) + sent["k"])


def test_every_number_of_rows_gets_its_own_answers_and_keeps_them(model: Any) -> None:
    bound = Bound(model, "cpu", (1, 4, 16), _graph_options)
    sent = [rows_of(n, n) for n in (*range(1, 19), 3, 1, 16)]
    found = [bound.run(each, RUNS.call) for each in sent]
    for outputs, each in zip(found, sent, strict=True):  # after all runs: what was answered is no view of a buffer
        check(outputs, each)


def test_a_graph_has_a_number_of_its_own_for_each_set_of_buffers(model: Any) -> None:
    numbers: list[int] = []

    def options(number: int) -> Any:
        numbers.append(number)
        return _graph_options(number)

    bound = Bound(model, "cpu", (1, 4, 16), options)
    for n in (1, 3, 4, 2, 1, 9, 17, 16):
        check(bound.run(rows_of(n), RUNS.call), rows_of(n))
    assert numbers == [-1, 1, 2, 3], "one set for 1, for 2 to 4, and for 5 to 16 rows; more are run as they come, without a graph"


def test_rows_are_not_mixed_up_between_threads(model: Any) -> None:
    bound = Bound(model, "cpu", (1, 4, 16), _graph_options)

    def ask(seed: int) -> None:
        sent = rows_of(1 + seed % 18, seed)
        check(bound.run(sent, RUNS.call), sent)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))


def test_other_shapes_have_other_buffers_and_only_some_are_kept() -> None:
    free = opened([helper.make_node("Neg", ["x"], ["y"])], [info("x", "n", "width")], [info("y", "n", "width")])
    bound = Bound(free, "cpu", (1, 4), _graph_options)
    for width in [*range(1, 40), 2, 39]:
        sent = np.arange(3 * width, dtype=np.float32).reshape(3, width)
        np.testing.assert_array_equal(bound.run({"x": sent}, RUNS.call)[0], -sent)
    assert len(bound._sets) == 16


def test_what_has_no_row_for_each_row_is_run_as_it_is() -> None:
    mean = opened(
        [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)],
        [info("x", "n", 2)],
        [info("y", 2)],
        [onnx.numpy_helper.from_array(np.array([0]), "axes")],
    )
    bound = Bound(mean, "cpu", (1, 4, 16), _graph_options)
    sent = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(bound.run({"x": sent}, RUNS.call)[0], [2, 3])


def test_a_run_that_does_not_end_is_ended_and_its_buffers_go_on() -> None:
    """A loop that goes on for as long as a number of the first row is above zero."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [info("i", kind=TensorProto.INT64), info("c", kind=TensorProto.BOOL), info("v", "n", 1)],
        [info("c2", kind=TensorProto.BOOL), info("v2", "n", 1)],
    )
    loop = opened(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Greater", ["most", "zero"], ["go"]),
            helper.make_node("Loop", ["", "go", "x"], ["y"], body=body),
        ],
        [info("x", "n", 1)],
        [info("y", "n", 1)],
        [onnx.numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )
    session = Session(loop, "cpu", (1, 4))
    rests = {"x": np.full((3, 1), -1, np.float32)}
    for _ in range(2):
        np.testing.assert_array_equal(session.run(rests)["y"], rests["x"])
        found: list[BaseException] = []
        thread = threading.Thread(target=_expect_end, args=(session, found))
        thread.start()
        while not session.end_runs(lambda which, _started, thread=thread: which == thread.ident):
            pass
        thread.join(10)
        assert isinstance(found[0], RunEnded)
    np.testing.assert_array_equal(session.run(rests)["y"], rests["x"])


def _expect_end(session: Session, found: list[BaseException]) -> None:
    try:
        session.run({"x": np.ones((3, 1), np.float32)})
    except RunEnded as error:
        found.append(error)
