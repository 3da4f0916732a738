"""Checks sessions on a GPU against the CPU's answers, then times them: buffers and captured graphs beside plain runs, and the gateway.

python tests/benchmarks/gpu_serving.py [--device gpu|tensorrt|cpu] [--seconds 2]

A perceptron (512-512), a convolutional network (3 x 32 x 32) and a forest of 200 trees, which no GPU provider has an operator for and
which has to be refused by name. With `cpu` the script checks itself where no GPU is. The gateway's part needs wrk.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import binary_request, lay_down, wrk
from homes import services, workspace_at
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from prodml_magics.actions.deploy import deploy
from prodml_magics.errors import Unavailable
from prodml_magics.inference.cuda import gpu_memory
from prodml_magics.inference.providers import CPU, Gpu, missing_for_gpu
from prodml_magics.inference.session import Session, _load, open_session
from prodml_magics.registry.build import build
from prodml_magics.wire.requests import Deploy

Where = Literal["cpu", "gpu", "tensorrt"]
BATCHES = (1, 32, 256, 1024)


def network(nodes: list[Any], weights: dict[str, np.ndarray], row: tuple[int, ...], out: int) -> bytes:
    """An ONNX file from ``input`` [n, *row] to ``output`` [n, out]."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *row])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", out])],
        initializer=[numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def perceptron() -> tuple[bytes, tuple[int, ...]]:
    """30 → 512 → 512 → 2."""
    rng, sizes = np.random.default_rng(0), (30, 512, 512, 2)
    nodes, weights, last = [], {}, "input"
    for index, (wide, next_) in enumerate(pairwise(sizes)):
        weights[f"w{index}"] = (rng.standard_normal((wide, next_)) / wide**0.5).astype(np.float32)
        weights[f"b{index}"] = rng.standard_normal(next_).astype(np.float32)
        name = "output" if index == 2 else f"h{index}"
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [name if index == 2 else f"z{index}"]))
        if index < 2:
            nodes.append(helper.make_node("Relu", [f"z{index}"], [name]))
        last = name
    return network(nodes, weights, (30,), 2), (30,)


def convolutions() -> tuple[bytes, tuple[int, ...]]:
    """Four convolutions over images of 32 x 32, then the mean over the image."""
    rng, sizes = np.random.default_rng(1), (3, 32, 64, 64, 10)
    nodes, weights, last = [], {}, "input"
    for index, (wide, next_) in enumerate(pairwise(sizes)):
        weights[f"w{index}"] = (rng.standard_normal((next_, wide, 3, 3)) / (9 * wide) ** 0.5).astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"z{index}"], kernel_shape=[3, 3], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"z{index}"], [f"h{index}"]))
        last = f"h{index}"
    nodes += [helper.make_node("GlobalAveragePool", [last], ["mean"]), helper.make_node("Flatten", ["mean"], ["output"])]
    return network(nodes, weights, (3, 32, 32), 10), (3, 32, 32)


def opened(model: bytes, device: Where, gpu: Gpu) -> Session:
    """On the GPU; or, to check this script without one, over the same buffers on the CPU."""
    if device != "cpu":
        return open_session(model, device=device, gpu=gpu)
    return Session(_load(model, 1, [CPU]), "cpu", gpu.rows)


def rate(work: Callable[[], Any], seconds: float) -> float:
    """Times a second."""
    work()
    count, began = 0, time.perf_counter()
    while (lasted := time.perf_counter() - began) < seconds:
        work()
        count += 1
    return count / lasted


def check(name: str, session: Session, model: bytes, row: tuple[int, ...]) -> None:
    """Every number of rows, in an order that fills, reuses and leaves buffers, against the CPU."""
    reference, rng = open_session(model, device="cpu"), np.random.default_rng(2)
    worst = 0.0
    for rows in (1, 2, 3, 1, 5, 17, 64, 4, 256, 255, 1024, 1025, 1, 700):
        sent = {"input": rng.standard_normal((rows, *row)).astype(np.float32)}
        ours, theirs = session.run(sent)["output"], reference.run(sent)["output"]
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    verdict = "as the CPU" if worst < 1e-4 else "NOT as the CPU"
    print(f"{name:24} {verdict}: largest difference {worst:.1e} of the largest answer")


def in_process(name: str, model: bytes, row: tuple[int, ...], device: Where, seconds: float) -> None:
    """Rows a second with buffers that stay beside runs that bring their own memory, and the memory of the GPU before and after."""
    before = gpu_memory()
    session = opened(model, device, Gpu())
    check(name, session, model, row)
    plain = open_session(model, device=device, gpu=Gpu(most_rows=0))
    for rows in BATCHES:
        sent = {"input": np.random.default_rng(3).standard_normal((rows, *row)).astype(np.float32)}
        bound, bare = (rate(lambda run=run, sent=sent: run(sent), seconds) for run in (session.run, plain.run))
        print(f"{name:24} {rows:5} rows: {bound * rows:12,.0f} rows/s, plain runs {bare * rows:12,.0f}  {bound / bare:.2f}x")
    used = gpu_memory()
    session.close()
    del session, plain
    after = gpu_memory()
    if before and used and after:
        taken, kept = ((each[0] - before[0]) >> 20 for each in (used, after))
        print(f"{name:24} {taken} MiB of the GPU while open, {kept} MiB after")


def trees(device: Where) -> None:
    """What has no operator there is refused by name, and `auto` takes the CPU."""
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((500, 30)).astype(np.float32)
    model = build(
        RandomForestClassifier(200, max_depth=6, random_state=0).fit(rows, rows[:, 0] > 0), train=[rows, rows[:, 0] > 0]
    )
    try:
        print(f"forest of 200 trees: runs on {open_session(model.model, device=device).device}")
    except Unavailable as error:
        print(f"forest of 200 trees: {error}")
    print(f"forest of 200 trees with auto: runs on the {open_session(model.model).device}")


def through_the_gateway(device: Where, seconds: float) -> None:
    """Rows a second over HTTP beside the same session in this process, at the best number of rows."""
    if shutil.which("wrk") is None:
        print("the gateway was not measured: wrk is not installed")
        return
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((2000, 30)).astype(np.float32)
    fitted = MLPClassifier((512, 512), max_iter=3, tol=1.0, n_iter_no_change=1, random_state=0).fit(rows, rows[:, 0] > 0)
    candidate = build(fitted, train=[rows, rows[:, 0] > 0])
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        lay_down(workspace, "perceptron", 1, candidate)
        with services(workspace):
            url = str(deploy(workspace, Deploy(model="perceptron@1", device=device)).url)
            session = opened(candidate.model, device, Gpu())
            for count in BATCHES:
                sent = rows[:count].astype(np.float64 if candidate.contract.inputs[0].datatype == "FP64" else np.float32)
                body, headers = binary_request(sent)
                alone = rate(lambda sent=sent: session.run({"input": sent}), seconds) * count
                served = wrk(f"{url}/infer", body, headers, 32 if count < 256 else 4, max(seconds, 1), Path(folder))[0] * count
                print(
                    f"gateway, perceptron      {count:5} rows: {served:12,.0f} rows/s, in process {alone:12,.0f}  {served / alone:.2f}x"
                )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("gpu", "tensorrt", "cpu"), default="gpu")
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    device: Where = arguments.device
    missing = None if device == "cpu" else missing_for_gpu(device)
    if missing:
        sys.exit(f"not run: {missing}")
    name = "the CPU" if device == "cpu" else subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.strip()
    print(f"{name}; {platform.machine()}, Python {platform.python_version()}, onnxruntime-gpu {version('onnxruntime-gpu')}")
    for title, (model, row) in {"perceptron 512-512": perceptron(), "convolutional network": convolutions()}.items():
        in_process(title, model, row, device, arguments.seconds)
    trees(device)
    through_the_gateway(device, arguments.seconds)


if __name__ == "__main__":
    main()
