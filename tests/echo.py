"""A model that gives back what it gets, one tensor of every datatype that onnxruntime takes from numpy."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np

from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract, Tensor, write_contract
from prodml_magics.rollouts.blue_green import promoted

DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}


def values() -> dict[str, np.ndarray]:
    """Three rows of two values for every datatype, the ends of its range among them."""
    found: dict[str, np.ndarray] = {}
    for name, dtype in DTYPES.items():
        if dtype.kind in "iu":
            range_ = np.iinfo(dtype)
            cells = [range_.min, range_.max, 0, 1, 2, 3]
        elif dtype.kind == "f":
            cells = [float(np.finfo(dtype).min), float(np.finfo(dtype).max), 0.0, 0.1, -2.5, float(np.finfo(dtype).tiny)]
        else:
            cells = [True, False, True, True, False, False] if name == "BOOL" else ["", "é", "a\0b", "x" * 300, "中", '"\\']
        found[name] = np.array(cells, dtype).reshape(3, 2)
    return found


def echo_model() -> bytes:
    """The ONNX file: input ``in_FP32`` to output ``out_FP32`` and so on, each [-1, 2]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx import TensorProto, helper

        kinds = {"BYTES": "STRING", "FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE"}
        nodes, inputs, outputs = [], [], []
        for name in DTYPES:
            kind = getattr(TensorProto, kinds.get(name, name))
            nodes.append(helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]))
            inputs.append(helper.make_tensor_value_info(f"in_{name}", kind, [None, 2]))
            outputs.append(helper.make_tensor_value_info(f"out_{name}", kind, [None, 2]))
        graph = helper.make_graph(nodes, "echo", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())


def contract() -> Contract:
    """The contract of the echo: no named columns."""
    inputs = tuple(Tensor(name=f"in_{name}", datatype=name, shape=(-1, 2)) for name in DTYPES)
    outputs = tuple(Tensor(name=f"out_{name}", datatype=name, shape=(-1, 2)) for name in DTYPES)
    return Contract(task="other", columns=(), inputs=inputs, outputs=outputs)


def deploy_echo(workspace: Workspace) -> None:
    """Lay down ``echo@1`` as `register` does, and enter its deployment into the ledger."""
    workspace.make_home()
    folder: Path = workspace.folder("echo", 1)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(echo_model())
    (folder / "contract.json").write_bytes(write_contract(contract()))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    workspace.ledger.append(
        kind="register",
        model="echo",
        expected=workspace.ledger.revision("echo"),
        payload={"version": 1, "sha256": digests, "metrics": {}},
        at=workspace.clock.now(),
        actor=workspace.actor,
    )
    before = workspace.route("echo")
    switch(workspace, before, promoted(before, workspace.files("echo", 1)), kind="deploy", cause="")
