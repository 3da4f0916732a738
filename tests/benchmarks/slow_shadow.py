"""What a slow shadow costs the live version: latencies of live requests without one and beside one, turn and turn about.

python tests/benchmarks/slow_shadow.py [--rates 300 2000] [--seconds 5] [--rounds 5]

An open loop of one-row requests at rates far below what the gateway could answer; the shadow needs milliseconds for what the live
version does in microseconds, so that most of what is mirrored is dropped. The gateway may use both cores; at the lower rate the
generator leaves one nearly free, at the higher one generator, gateway and shadow share the two. The controller rests. Needs h2load (of
nghttp2) and two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
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
from prodml_magics.wire.requests import Deploy, Shadow

_WORK = 20
"""Iterations of a product of matrices that the shadow does for every run."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[300, 2000])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
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
    """Print the latencies at one rate without and beside the shadow."""
    controller = running.controller()
    assert controller is not None
    drains = psutil.Process(controller.pid)
    body, headers = binary_request(rows.astype(np.float32))
    tails: dict[str, list[list[float]]] = {"no shadow": [], "slow shadow": []}
    open_loop(url, body, headers, rate, 1, folder)
    for _ in range(arguments.rounds):
        for name, found in tails.items():
            if name == "slow shadow":
                shadow(workspace, Shadow(model="cancer@2"))
            drains.suspend()
            took = open_loop(url, body, headers, rate, arguments.seconds, folder).accepted
            drains.resume()
            found.append([float(np.quantile(took, share)) * 1e3 for share in (0.5, 0.99)])
            if name == "slow shadow":
                running.drain()
                runs = workspace.lake.rows("cancer", arms=["shadow"], columns=["run_ms"])["run_ms"].to_numpy()
                shadow(workspace, Shadow(model="cancer", stop=True))
    for name, found in tails.items():
        median, tail = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:12} {rate:,.0f} requests/s  median {median:.3f} ms  p99 {tail:.3f} ms")
    ratio = statistics.median(two[1] / one[1] for one, two in zip(*tails.values(), strict=True))
    print(
        f"p99 beside it {ratio:.2f}x; a run of the shadow took {np.median(runs):.1f} ms, {len(runs):,} rows were mirrored so far"
    )


if __name__ == "__main__":
    main()
