"""More than a gateway can answer: how much of it is still answered in time, and what becomes of the rest.

python tests/benchmarks/overload.py [--seconds 5]

An open loop sends at multiples of the peak that a closed loop reached, however slowly answers come. Goodput are answers within the
objective. The gateway is pinned to one core, the generator to the other; the controller rests meanwhile, since it would take the
generator's core, unless `--drain` is given. Where less was sent than offered, all of its 512 connections waited for answers, or the
generator's core could do no more. Needs wrk, h2load (of nghttp2) and two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import binary_request, lay_down, open_loop, wrk
from benchmarks.serving_models import models, rows_of
from homes import add_version, infer_body, services, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.registry.build import build
from prodml_magics.wire.requests import Deploy

TIMES = (0.5, 0.9, 1.5, 2.0, 3.0)


def curve(
    name: str,
    url: str,
    body: bytes,
    headers: dict[str, str],
    objective: float,
    connections: Sequence[int],
    seconds: float,
    gateway: psutil.Process,
    folder: Path,
) -> None:
    """Goodput and tails at multiples of the peak, the most that so many connections in a closed loop reach."""
    wrk(url, body, headers, 4, 1, folder)
    peak = max(wrk(url, body, headers, count, seconds, folder)[0] for count in connections)
    print(f"{name}: peak {peak:,.0f} requests/s, objective {objective * 1e3:.0f} ms")
    for times in TIMES:
        found = open_loop(url, body, headers, times * peak, seconds, folder)
        within = int((found.accepted <= objective).sum())
        tail = np.quantile(found.accepted, 0.99) * 1e3 if len(found.accepted) else float("nan")
        refusal = np.quantile(found.refused, 0.99) * 1e3 if len(found.refused) else float("nan")
        print(
            f"  {times:3.1f}x  sent {found.sent:7,.0f}/s  goodput {within / found.seconds:7,.0f}/s  "
            f"{within / found.seconds / peak:5.2f} of the peak  p99 of accepted {tail:6.1f} ms  refused {len(found.refused):7,} "
            f"(p99 {refusal:6.1f} ms)  failed {found.failed}  {gateway.memory_info().rss >> 20} MiB",
            flush=True,
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--drain", action="store_true", help="let the controller drain beside the generator")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    if shutil.which("wrk") is None or shutil.which("h2load") is None or (os.cpu_count() or 1) < 2:
        sys.exit("wrk, h2load and two cores are needed: apt-get install wrk nghttp2-client")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    forest = next(iter(models().values()))
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        rows = rows_of(np.dtype(np.float32))
        candidate = build(forest, train=[rows, forest.predict(rows)])
        lay_down(workspace, "forest", 1, candidate)
        wide = candidate.contract.inputs[0].datatype == "FP64"
        placed = add_version(workspace, 1)
        with services(workspace) as running:
            urls = [
                str(deploy(workspace, Deploy(model=f"{name}@1", slo_p99=objective)).url) + "/infer"
                for name, objective in (("forest", "50ms"), ("cancer", "20ms"))
            ]
            report, controller = running.gateway(), running.controller()
            assert report is not None and controller is not None
            gateway = psutil.Process(report.pid)
            gateway.cpu_affinity([0])
            psutil.Process(controller.pid).cpu_affinity([1])
            drains = psutil.Process(controller.pid)
            if not arguments.drain:
                drains.suspend()
            name, sent = "forest of 200 trees, 128 rows", rows.astype(np.float64 if wide else np.float32)
            curve(name, urls[0], *binary_request(sent), 0.05, (2, 4, 8), seconds, gateway, Path(folder))
            row = json.dumps(infer_body(placed.rows[:1])).encode(), {"Content-Type": "application/json"}
            name = "logistic regression, one row in JSON"
            curve(name, urls[1], *row, 0.02, (8, 64, 128), seconds, gateway, Path(folder))
            drains.resume()


if __name__ == "__main__":
    main()
