"""Versions of a model that reads text, each of which refuses levels that it never saw, as encoders with ``handle_unknown="error"`` do."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.samples import write_samples
from prodml_magics.contract.schema import CodeTable, Column, Contract, Tensor, write_contract
from prodml_magics.inference.session import open_session

__all__ = ["add_shop", "shop_body"]


def shop_body(city: str, request_id: str = "") -> dict[str, Any]:
    """An inference request with one row."""
    return {"inputs": [{"name": "categorical", "shape": [1, 1], "datatype": "BYTES", "data": [city]}], "id": request_id}


def add_shop(workspace: Workspace, version: int, cities: tuple[str, ...]) -> None:
    """Lay down ``shop`` as `register` leaves it: files in the home and an entry in the ledger. No MLflow involved."""
    workspace.make_home()
    contract = Contract(
        task="classification",
        columns=(Column(name="city", kind="categorical", dtype="string", categories=cities),),
        inputs=(Tensor(name="categorical", datatype="BYTES", shape=(-1, 1)),),
        outputs=(
            Tensor(name="label", datatype="INT64", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
        classes=(0, 1),
        codes=(CodeTable(column="city", categories=cities),),
    )
    model, numbers = _model(), np.arange(len(cities))[:, None]
    samples = write_samples({"categorical": np.array(cities, object)[:, None]}, open_session(model).run({"categorical": numbers}))
    folder = workspace.folder("shop", version)
    folder.mkdir(parents=True)
    written = {"model.onnx": model, "contract.json": write_contract(contract), "samples.json": samples}
    for name, content in written.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    workspace.ledger.append(
        kind="register",
        model="shop",
        expected=workspace.ledger.revision("shop"),
        payload={"version": version, "sha256": digests, "metrics": {}},
        at=workspace.clock.now(),
        actor=workspace.actor,
    )


def _model() -> bytes:
    """The probability grows with the number of the city."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["categorical"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["number", "middle"], ["score"]),
            helper.make_node("Sigmoid", ["score"], ["right"]),
            helper.make_node("Sub", ["one", "right"], ["left"]),
            helper.make_node("Concat", ["left", "right"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "shop",
        [value("categorical", TensorProto.INT64, [None, 1])],
        [value("label", TensorProto.INT64, [None]), value("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.float32(number), name) for name, number in (("middle", 1.5), ("one", 1.0))],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(proto.SerializeToString())
