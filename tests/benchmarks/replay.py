"""How fast recorded requests are answered anew, beside onnxruntime alone on the same rows in this process.

python tests/benchmarks/replay.py [--rows 1000000] [--columns 30]

Writes a lake of that many recorded rows, answered by a logistic regression, and replays a second version of it. Best of three.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import go_live, workspace_at
from sklearn.linear_model import LogisticRegression

from prodml_magics.actions.replay import replay
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.encode import decode_columns, output_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Contract, Tensor, write_contract
from prodml_magics.inference.session import open_session
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Replay

_SEGMENT = 100_000


def converted(model: LogisticRegression, columns: int) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        types = [("input", FloatTensorType([None, columns]))]
        return bytes(to_onnx(model, initial_types=types, options={"zipmap": False}).SerializeToString())


def register(workspace: Workspace, rows: np.ndarray, truth: np.ndarray, version: int, c: float) -> Contract:
    """A version as `register` leaves it."""
    import hashlib

    contract = Contract(
        task="classification",
        columns=infer_columns({f"x{place}": rows[:, place] for place in range(rows.shape[1])}),
        inputs=(Tensor(name="input", datatype="FP32", shape=(-1, rows.shape[1])),),
        outputs=(
            Tensor(name="label", datatype="INT64", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
        classes=(0, 1),
    )
    folder = workspace.folder("wide", version)
    folder.mkdir(parents=True)
    written = {
        "model.onnx": converted(LogisticRegression(C=c, max_iter=1000).fit(rows, truth), rows.shape[1]),
        "contract.json": write_contract(contract),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    workspace.ledger.append(
        kind="register",
        model="wide",
        expected=workspace.ledger.revision("wide"),
        payload={"version": version, "sha256": {k: hashlib.sha256(v).hexdigest() for k, v in written.items()}, "metrics": {}},
        at=workspace.clock.now(),
        actor=workspace.actor,
    )
    return contract


def record(workspace: Workspace, contract: Contract, rows: np.ndarray) -> None:
    """The rows as the drainer leaves them in the lake, answered by version 1."""
    session = open_session((workspace.folder("wide", 1) / "model.onnx").read_bytes())
    began = datetime.now(UTC) - timedelta(hours=12)
    for first in range(0, len(rows), _SEGMENT):
        part = rows[first : first + _SEGMENT]
        count = len(part)
        outputs = output_columns(contract, session.run({"input": part}))
        inputs = decode_columns(contract, {"input": part})
        micro = int(began.timestamp() * 1e6) + 1_000 * (first + np.arange(count))
        struct = {name: pa.array(values.astype(np.float64)) for name, values in inputs.items()}
        said = {
            name: pa.array(values.astype(str) if name == "label" else values.astype(np.float64))
            for name, values in outputs.items()
        }
        table = pa.table(
            {
                "date": pa.array([f"{began:%Y-%m-%d}"] * count),
                "writer": pa.array(["w"] * count),
                "sequence": pa.array(first + np.arange(count)),
                "request_id": pa.array([f"r{first + index}" for index in range(count)]),
                "row": pa.array(np.zeros(count, np.int32)),
                "received_at": pa.array(micro, pa.timestamp("us", tz="UTC")),
                "key": pa.array([""] * count),
                "arm": pa.array(["live"] * count),
                "version": pa.array(np.ones(count, np.int32)),
                "latency_ms": pa.array(np.ones(count)),
                "run_ms": pa.array(np.ones(count)),
                "status": pa.array(np.full(count, 200, np.int32)),
                "rollout": pa.array(np.zeros(count, np.int64)),
                "share": pa.array(np.zeros(count)),
                "mirrors": pa.array([None] * count, pa.int64()),
                "inputs": pa.StructArray.from_arrays(list(struct.values()), names=list(struct)),
                "outputs": pa.StructArray.from_arrays(list(said.values()), names=list(said)),
            }
        )
        workspace.lake.append("wide", [LakeRows("w", table, first + count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(arguments.rows, arguments.columns)).astype(np.float32)
    few = rows[:5_000]
    truth = (few[:, 0] + rng.normal(size=len(few)) > 0).astype(int)
    with tempfile.TemporaryDirectory() as folder, workspace_at(Path(folder) / ".prodml") as workspace:
        contract = register(workspace, few, truth, 1, 1.0)
        register(workspace, few, truth, 2, 0.5)
        go_live(workspace, 1, name="wide")
        record(workspace, contract, rows)
        session = open_session((workspace.folder("wide", 2) / "model.onnx").read_bytes(), threads=os.cpu_count() or 1)
        alone, found = [], []
        for _ in range(3):
            began = time.perf_counter()
            for first in range(0, len(rows), 32_768):
                session.run({"input": rows[first : first + 32_768]})
            alone.append(time.perf_counter() - began)
            found.append(replay(workspace, Replay(model="wide@2")))
    best = min(found, key=lambda each: each.seconds)
    print(f"{arguments.rows:,} rows × {arguments.columns} columns, {os.cpu_count()} cores, logistic regression, on {best.device}")
    print(f"  onnxruntime alone, rows in memory: {min(alone):.2f} s, {arguments.rows / min(alone):,.0f} rows/s")
    print(f"  replay from the lake to a verdict: {best.seconds:.2f} s, {best.rows_per_second:,.0f} rows/s ({best.verdict})")
    print(f"    of it in onnxruntime: {best.run_seconds:.2f} s")


if __name__ == "__main__":
    main()
