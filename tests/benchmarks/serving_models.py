"""Rows per second of larger models through the gateway beside onnxruntime alone, two workers beside one, memory and time to ready.

python tests/benchmarks/serving_models.py [--seconds 3] [--rounds 3]

128 rows a request as a binary tensor, to a forest of 200 trees and to a perceptron of 256-256; both sides on the same pinned core,
turn and turn about, wrk on the other. Needs wrk and two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import binary_request, lay_down, wrk
from homes import add_version, answers, go_live, services, wait_for, workspace_at
from versions import training_rows

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.up import down, up
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.wire.requests import Deploy, Down, Up

ROWS = 128


def models() -> dict[str, Any]:
    """A forest and a perceptron of 30 columns."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2000, 30)).astype(np.float32)
    target = (rows[:, 0] + rows[:, 1] ** 2 + generator.normal(size=2000) > 1).astype(int)
    return {
        "forest of 200 trees, depth 6": RandomForestClassifier(200, max_depth=6, random_state=0, n_jobs=2).fit(rows, target),
        "perceptron 256-256": MLPClassifier((256, 256), tol=0.05, n_iter_no_change=2, random_state=0).fit(rows, target),
    }


def rows_of(dtype: np.dtype) -> np.ndarray:
    """128 rows."""
    return np.random.default_rng(1).normal(size=(ROWS, 30)).astype(dtype)


def alone(model: bytes, rows: np.ndarray, seconds: float) -> float:
    """Runs per second of onnxruntime in this process, pinned to core 0."""
    process = psutil.Process()
    before = process.cpu_affinity()
    process.cpu_affinity([0])
    session = open_session(model, device="cpu")
    count, began = 0, time.perf_counter()
    while (lasted := time.perf_counter() - began) < seconds:
        session.run({"input": rows})
        count += 1
    process.cpu_affinity(before)
    return count / lasted


def through_the_gateway(seconds: float, rounds: int) -> None:
    """Ratios to onnxruntime alone."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        files = {}
        for number, (name, model) in enumerate(models().items()):
            rows = rows_of(np.dtype(np.float32))
            candidate = build(model, train=[rows, model.predict(rows)])
            dtype = np.dtype(np.float64 if candidate.contract.inputs[0].datatype == "FP64" else np.float32)
            files[name] = (f"m{number}", lay_down(workspace, f"m{number}", 1, candidate), rows_of(dtype))
        with services(workspace) as running:
            urls = {name: str(deploy(workspace, Deploy(model=f"{each[0]}@1")).url) for name, each in files.items()}
            _pin(running)
            for name, (_, model, rows) in files.items():
                body, headers = binary_request(rows)
                url = urls[name] + "/infer"
                wrk(url, body, headers, 16, 1, Path(folder))
                pairs = [(alone(model, rows, seconds), wrk(url, body, headers, 16, seconds, Path(folder))) for _ in range(rounds)]
                ratio = statistics.median(served / bare for bare, (served, _) in pairs)
                bare = statistics.median(each for each, _ in pairs)
                served = statistics.median(each for _, (each, _) in pairs)
                tail = statistics.median(each for _, (_, each) in pairs)
                print(
                    f"{name:30} {rows.dtype.name}: onnxruntime alone {1e3 / bare:6.3f} ms, {bare * ROWS:9,.0f} rows/s; gateway "
                    f"{served * ROWS:9,.0f} rows/s  {ratio:.2f}x  p99 {tail:.1f} ms"
                )


def two_workers(seconds: float, rounds: int) -> None:
    """Requests per second of two workers beside one, nothing pinned: the generator takes its share of the two cores."""
    name, model = next(iter(models().items()))
    small: dict[int, list[float]] = {1: [], 2: []}
    large: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        rows = rows_of(np.dtype(np.float32))
        candidate = build(model, train=[rows, model.predict(rows)])
        dtype = np.float64 if candidate.contract.inputs[0].datatype == "FP64" else np.float32
        lay_down(workspace, "forest", 1, candidate)
        placed = add_version(workspace, 1)
        for model_name in ("forest", "cancer"):
            go_live(workspace, 1, name=model_name)
        try:
            for _ in range(rounds):
                for workers in (1, 2):
                    up(workspace, Up(workers=workers))
                    url = Services(workspace).url()
                    wait_for(lambda url=url: answers(f"{url}/v2/models/cancer"))
                    for name_, found, sent in (
                        ("forest", large, rows.astype(dtype)),
                        ("cancer", small, placed.rows[:1].astype(np.float32)),
                    ):
                        body, headers = binary_request(sent)
                        target = f"{url}/v2/models/{name_}/infer"
                        wrk(target, body, headers, 32, 1, Path(folder), core=None)
                        found[workers].append(wrk(target, body, headers, 32, seconds, Path(folder), core=None)[0])
                    down(workspace, Down())
        finally:
            down(workspace, Down())
    for what, rates in ((f"{name}, {ROWS} rows", large), ("logistic regression, one row", small)):
        ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
        print(
            f"{what:42} one worker {statistics.median(rates[1]):7.0f} requests/s, two {statistics.median(rates[2]):7.0f}  {ratio:.2f}x"
        )


def memory_and_start() -> None:
    """Resident memory with twenty small models, and seconds until all of them are ready."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        for number in range(20):
            add_version(workspace, 1, name=f"m{number}", c=0.01 * (number + 1), profile=False)
            go_live(workspace, 1, name=f"m{number}")
        taken = []
        for _ in range(3):
            began = time.monotonic()
            try:
                up(workspace, Up(workers=1))
                url = Services(workspace).url()
                wait_for(lambda url=url: all(answers(f"{url}/v2/models/m{number}") for number in range(20)))
                taken.append(time.monotonic() - began)
                report = Services(workspace).gateway()
                assert report is not None
                wrk_body, headers = binary_request(training_rows()[:1].astype(np.float32))
                for number in range(20):
                    wrk(f"{url}/v2/models/m{number}/infer", wrk_body, headers, 4, 1, Path(folder))
                resident = psutil.Process(report.pid).memory_info().rss / 2**20
            finally:
                down(workspace, Down())
        print(
            f"20 small models: ready after {min(taken):.1f} s (best of {len(taken)}), {resident:.0f} MiB resident after traffic"
        )


def _pin(running: Services) -> None:
    report, controller = running.gateway(), running.controller()
    assert report is not None and controller is not None
    psutil.Process(report.pid).cpu_affinity([0])
    psutil.Process(controller.pid).cpu_affinity([1])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("wrk and two cores are needed: apt-get install wrk")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    print(", ".join(f"{name} {version(name)}" for name in ("onnxruntime-gpu", "uvloop", "numpy")))
    through_the_gateway(arguments.seconds, arguments.rounds)
    two_workers(arguments.seconds, arguments.rounds)
    memory_and_start()


if __name__ == "__main__":
    main()
