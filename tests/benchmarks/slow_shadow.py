"""What a slow shadow costs the live version: latencies of live requests without one, beside one, and beside another program.

python tests/benchmarks/slow_shadow.py [--rates 300 2000] [--seconds 2] [--rounds 15]

An open loop of one-row requests at rates far below what the gateway could answer; the shadow needs milliseconds for what the live
version does in microseconds, so that most of what is mirrored is dropped. The gateway may use both cores; at the lower rate gateway and
generator need a tenth of one, so that one is free. The other program runs the shadow's model for as large a share of time, and has
nothing to do with the gateway: what it costs is the machine's. Short turns in an order drawn anew each round, since a machine that others
use changes from second to second; quantiles are of all turns together, with a 90 % interval from drawing rounds anew. The controller
rests. Needs h2load (of nghttp2) and two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import binary_request, open_loop
from homes import add_version, answers, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.workspace import Workspace
from prodml_magics.serving.limits import Limits
from prodml_magics.wire.requests import Deploy, Shadow

_WORK = 20
"""Iterations of a product of matrices that the shadow does for every run."""
_TURNS = ("no shadow", "slow shadow", "another program")
_PROGRAM = """
import sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
rows = {node.name: numpy.zeros((1, 30), numpy.float32) for node in session.get_inputs()}
while True:
    began = time.perf_counter()
    session.run(None, rows)
    print(flush=True)
    time.sleep((time.perf_counter() - began) * (1 / float(sys.argv[2]) - 1))
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[300, 2000])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if shutil.which("h2load") is None or (os.cpu_count() or 1) < 2:
        sys.exit("h2load and two cores are needed: apt-get install nghttp2-client")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        add_version(workspace, 2, work=_WORK)
        with services(workspace) as running:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url)
            wait_for(lambda: answers(url))
            for rate in arguments.rates:
                _compare(workspace, running, url + "/infer", placed.rows[:1], rate, arguments, Path(folder))


def _compare(
    workspace: Workspace, running: Services, url: str, rows: np.ndarray, rate: float, arguments: argparse.Namespace, folder: Path
) -> None:
    """Print the latencies at one rate."""
    controller = running.controller()
    assert controller is not None
    drains = psutil.Process(controller.pid)
    body, headers = binary_request(rows.astype(np.float32))
    connections = max(2, round(rate / 150))
    took: dict[str, list[np.ndarray]] = {name: [] for name in _TURNS}
    open_loop(url, body, headers, rate, 1, folder, connections=connections)
    for _ in range(arguments.rounds):
        for name in random.sample(_TURNS, len(_TURNS)):
            with _beside(name, workspace, running):
                drains.suspend()
                measured = open_loop(url, body, headers, rate, arguments.seconds, folder, connections=connections)
                drains.resume()
            took[name].append(measured.accepted * 1e3)
    for name, turns in took.items():
        median, tail, rare = np.quantile(np.concatenate(turns), (0.5, 0.99, 0.999))
        line = f"{name:16} {rate:,.0f} requests/s  median {median:.3f} ms  p99 {tail:.3f} ms  p99.9 {rare:.3f} ms"
        print(line if name == _TURNS[0] else f"{line}  p99 {_ratio(took[_TURNS[0]], turns)}", flush=True)
    runs = workspace.lake.rows("cancer", arms=["shadow"], columns=["run_ms"])["run_ms"].to_numpy()
    print(f"a run of the shadow took {np.median(runs):.1f} ms, {len(runs):,} rows were mirrored so far", flush=True)


def _ratio(alone: list[np.ndarray], beside: list[np.ndarray], draws: int = 2000) -> str:
    """How many times the p99 alone that beside is, with its interval."""
    rng = np.random.default_rng(0)

    def p99(turns: list[np.ndarray], chosen: np.ndarray) -> float:
        return float(np.quantile(np.concatenate([turns[index] for index in chosen]), 0.99))

    every = np.arange(len(alone))
    found = p99(beside, every) / p99(alone, every)
    drawn = [rng.integers(0, len(alone), len(alone)) for _ in range(draws)]
    low, high = np.quantile([p99(beside, chosen) / p99(alone, chosen) for chosen in drawn], (0.05, 0.95))
    return f"{found:.2f}x ({low:.2f} to {high:.2f})"


@contextmanager
def _beside(name: str, workspace: Workspace, running: Services) -> Iterator[None]:
    """What the machine does meanwhile."""
    if name == "slow shadow":
        shadow(workspace, Shadow(model="cancer@2"))
        yield
        running.drain()
        shadow(workspace, Shadow(model="cancer", stop=True))
    elif name == "another program":
        model = workspace.folder("cancer", 2) / "model.onnx"
        line = [sys.executable, "-c", _PROGRAM, str(model), str(Limits().shadow_share)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True) as program:
            assert program.stdout is not None
            program.stdout.readline()
            yield
            program.kill()
    else:
        yield


if __name__ == "__main__":
    main()
