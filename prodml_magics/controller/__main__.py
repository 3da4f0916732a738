"""``python -m prodml_magics.controller``: started by the supervisor with a bound socket."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
from pathlib import Path

import uvicorn

from prodml_magics.actions.advance import Advancing
from prodml_magics.actions.drain import Draining, Mirroring
from prodml_magics.actions.shadowing import Shadowing
from prodml_magics.actions.sketching import Sketching
from prodml_magics.actions.tend import Tending
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.controller.app import build_app
from prodml_magics.controller.loop import Loop
from prodml_magics.storage.lake import LakeRows
from prodml_magics.storage.runtime import Lock


def main() -> None:
    """Work until SIGTERM; then drain once more."""
    parser = argparse.ArgumentParser(prog="python -m prodml_magics.controller")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--descriptor", type=int, required=True, help="bound socket, inherited from the supervisor")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lock = Lock(arguments.home / "run" / "controller.lock")
    workspace = Workspace(arguments.home, actor="controller", clock=SystemClock())
    advancing = Advancing(workspace)
    shadowing = Shadowing(workspace)
    sketching = Sketching(workspace)
    tending = Tending(workspace)

    def took(model: str, rows: LakeRows) -> None:
        advancing.took(model, rows)
        sketching.took(model, rows)
        tending.took(model, rows)

    draining = Draining(workspace, took, sketching.keep)
    loop = Loop(draining, Mirroring(workspace), advancing, shadowing, tending)
    loop.start()
    app = build_app(draining, [advancing, shadowing, sketching, tending], os.environ["PRODML_TOKEN"])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", proxy_headers=False))
    # uvicorn raises the signal anew once it has stopped; what follows below must still run.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with socket.socket(fileno=arguments.descriptor) as listening:
        server.run(sockets=[listening])
    loop.stop()
    draining.drain()
    lock.release()


if __name__ == "__main__":
    main()
