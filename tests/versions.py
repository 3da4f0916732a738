"""Real ONNX models on disk, as a deploy leaves them."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.samples import write_samples
from prodml_magics.contract.schema import Contract, Tensor, write_contract
from prodml_magics.inference.session import open_session
from prodml_magics.wire.routes import VersionFiles


@dataclass
class Placed:
    """A version whose files lie in a home."""

    home: Path
    model: Any
    contract: Contract
    files: VersionFiles
    rows: np.ndarray


def place(
    home: Path,
    name: str,
    version: int,
    *,
    c: float = 1.0,
    fails: float | None = None,
    work: int = 0,
    hangs: float | None = None,
    mistaken: float | None = None,
) -> Placed:
    """Train, convert and lay down a logistic regression on the breast cancer data.

    It fails on rows whose first column is above `fails`, never ends on those where it is above `hangs`, gives the other label where
    it is above `mistaken`, and multiplies large matrices `work` times in each run.
    """
    made = _made(c, fails, work, hangs, mistaken)
    folder = home / "models" / name / str(version)
    folder.mkdir(parents=True)
    for file, content in made.written.items():
        (folder / file).write_bytes(content)
    digest = {file: hashlib.sha256(content).hexdigest() for file, content in made.written.items()}
    files = VersionFiles(
        version, str(folder.relative_to(home)), digest["model.onnx"], digest["contract.json"], digest["samples.json"]
    )
    return Placed(home, made.model, made.contract, files, made.rows.copy())


@dataclass
class _Made:
    """A converted model, its contract, and the bytes of its files by name."""

    model: Any
    contract: Contract
    rows: np.ndarray
    written: dict[str, bytes]


def training_rows() -> np.ndarray:
    """What every version here was trained on."""
    return load_breast_cancer().data.astype(np.float32)


@lru_cache
def _made(
    c: float = 1.0, fails: float | None = None, work: int = 0, hangs: float | None = None, mistaken: float | None = None
) -> _Made:
    """What `place` lays down; what was made once in this process is used again."""
    data, rows = load_breast_cancer(), training_rows()
    model = LogisticRegression(C=c, max_iter=20_000).fit(rows, data.target)
    converted = _mistaken(_endless(_burdened(_convert(model, rows.shape[1]), fails, work), hangs), mistaken)
    columns = infer_columns({str(column): rows[:, index] for index, column in enumerate(data.feature_names)})
    contract = Contract(
        task="classification",
        columns=columns,
        inputs=(Tensor(name="input", datatype="FP32", shape=(-1, rows.shape[1])),),
        outputs=(
            Tensor(name="label", datatype="INT64", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
        classes=(0, 1),
    )
    outputs = open_session(converted).run({"input": rows[:5]})
    samples = write_samples({"input": rows[:5]}, outputs)
    written = {"model.onnx": converted, "contract.json": write_contract(contract), "samples.json": samples}
    return _Made(model, contract, rows, written)


def _convert(model: Any, features: int) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx and onnx warn of their own deprecated helpers
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        types = [("input", FloatTensorType([None, features]))]
        converted = to_onnx(model, initial_types=types, options={"zipmap": False})
    return bytes(converted.SerializeToString())


def _mistaken(converted: bytes, above: float | None) -> bytes:
    """The same graph, whose label is the other one on some rows."""
    if above is None:
        return converted
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load_model_from_string(converted)
    graph = proto.graph
    constants = {"column_0": np.array([0], np.int64), "above_this": np.float32(above), "flat": np.array([-1], np.int64)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for node in graph.node:
        node.output[:] = ["right_label" if name == "label" else name for name in node.output]
    graph.node.extend(
        [
            helper.make_node("Gather", ["input", "column_0"], ["looked_at"], axis=1),
            helper.make_node("Greater", ["looked_at", "above_this"], ["is_above"]),
            helper.make_node("Cast", ["is_above"], ["turned_2d"], to=onnx.TensorProto.INT64),
            helper.make_node("Reshape", ["turned_2d", "flat"], ["turned"]),
            helper.make_node("Sub", ["right_label", "turned"], ["less"]),
            helper.make_node("Abs", ["less"], ["label"]),
        ]
    )
    return bytes(proto.SerializeToString())


def _burdened(converted: bytes, fails: float | None, work: int) -> bytes:
    """The same graph, whose probabilities wait for a look-up that fails on some rows, and for some matrix products."""
    if fails is None and not work:
        return converted
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load_model_from_string(converted)
    graph = proto.graph
    limit = np.float32(np.finfo(np.float32).max if fails is None else fails)
    constants = {
        "first": np.array([0], np.int64),
        "limit": limit,
        "far": np.array(10, np.int64),
        "table": np.zeros(1, np.float32),
        "nothing": np.float32(0),
        "matrix": np.full((384, 384), 1e-3, np.float32),
        "all": np.array([0, 1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for node in graph.node:
        node.output[:] = ["plain" if name == "probabilities" else name for name in node.output]
    nodes = [
        helper.make_node("Gather", ["input", "first"], ["column"], axis=1),
        helper.make_node("Greater", ["column", "limit"], ["above"]),
        helper.make_node("Cast", ["above"], ["one"], to=onnx.TensorProto.INT64),
        helper.make_node("Mul", ["one", "far"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["zeros"], axis=0),
        helper.make_node("ReduceSum", ["zeros", "all"], ["zero"], keepdims=0),
        helper.make_node("Add", ["matrix", "zero"], ["product_0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"product_{step}", "matrix"], [f"product_{step + 1}"]) for step in range(work)]
    nodes += [
        helper.make_node("ReduceMean", [f"product_{work}"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["mute"]),
        helper.make_node("Add", ["plain", "mute"], ["probabilities"]),
    ]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _endless(converted: bytes, hangs: float | None) -> bytes:
    """The same graph, whose labels wait for a loop that never ends where the first column of any row is above `hangs`."""
    if hangs is None:
        return converted
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    proto = onnx.load_model_from_string(converted)
    graph = proto.graph
    constants = {"hang_first": np.array([0], np.int64), "hang_limit": np.float32(hangs), "hang_start": np.array(0, np.int64)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for node in graph.node:
        node.output[:] = ["early" if name == "label" else name for name in node.output]
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.INT64, [])],
        [value("on", TensorProto.BOOL, []), value("w", TensorProto.INT64, [])],
    )
    graph.node.extend(
        [
            helper.make_node("Gather", ["input", "hang_first"], ["hang_column"], axis=1),
            helper.make_node("ReduceMax", ["hang_column"], ["hang_most"], keepdims=0),
            helper.make_node("Greater", ["hang_most", "hang_limit"], ["hang"]),
            helper.make_node("Loop", ["", "hang", "hang_start"], ["hang_end"], body=body),
            helper.make_node("Add", ["early", "hang_end"], ["label"]),
        ]
    )
    return bytes(proto.SerializeToString())
