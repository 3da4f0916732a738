"""Deploys, rollbacks and shadows under load: what failed, what was lost, and whether memory grows.

python tests/benchmarks/soak.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import Load, add_version, services, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.rollback import rollback
from prodml_magics.actions.services import Services
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.workspace import Workspace
from prodml_magics.wire.requests import Deploy, Rollback, Shadow


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        add_version(workspace, 2, c=0.01)
        add_version(workspace, 3, c=0.001)
        with services(workspace) as running:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url)
            with Load(url, placed.rows, clients=6) as load:
                memory = _cycles(workspace, running, seconds)
            _tell(workspace, running, load, memory)


def _cycles(workspace: Workspace, running: Services, seconds: float) -> list[list[float]]:
    """Change the route four times per cycle until the time is over; resident MiB of gateway and controller after each cycle."""
    report, drained = running.gateway(), running.controller()
    assert report is not None and drained is not None
    processes = [psutil.Process(pid) for pid in (report.pid, drained.pid)]
    memory: list[list[float]] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        deploy(workspace, Deploy(model="cancer@2"))
        time.sleep(0.3)
        shadow(workspace, Shadow(model="cancer@3"))
        time.sleep(0.6)
        rollback(workspace, Rollback(model="cancer"))
        time.sleep(0.3)
        shadow(workspace, Shadow(model="cancer", stop=True))
        memory.append([process.memory_info().rss / 2**20 for process in processes])
    return memory


def _tell(workspace: Workspace, running: Services, load: Load, memory: list[list[float]]) -> None:
    running.drain()
    rows = workspace.lake.rows("cancer", statuses=None)
    live = rows.filter(rows["arm"] == "live")
    ids = live["request_id"]
    print(f"{4 * len(memory)} changes of the route; {len(load.acknowledged)} requests answered")
    print(f"refused {len(load.refused)}, connections broken {load.broken}")
    print(
        f"answered but not in the lake {len(set(load.acknowledged) - set(ids))}, in the lake twice {live.height - ids.n_unique()}"
    )
    print(f"rows mirrored {rows.height - live.height}")
    gateway, controller = zip(*memory, strict=True)
    print(f"resident memory of the gateway {gateway[min(2, len(memory) - 1)]:.0f} MiB early, {gateway[-1]:.0f} MiB at the end")
    print(f"resident memory of the controller at the most {max(controller):.0f} MiB")


if __name__ == "__main__":
    main()
