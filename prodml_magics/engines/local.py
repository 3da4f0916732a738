"""Start and stop the services of a home on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from prodml_magics.engines.endings import end
from prodml_magics.errors import Unavailable
from prodml_magics.storage.runtime import lock_holder
from prodml_magics.wire.runtime import Listen

__all__ = ["command", "is_running", "start", "stop", "wait_until_ready"]

_STOP_SECONDS = 20.0


def command(home: Path, port: int | None, workers: int | None = None, listen: Listen | None = None) -> list[str]:
    """The command line of the supervisor; what may be secret goes by its environment, since everybody can list processes."""
    line = [sys.executable, "-m", "prodml_magics.engines.supervisor", "--home", str(home)]
    line += [] if port is None else ["--port", str(port)]
    line += [] if workers is None else ["--workers", str(workers)]
    return line if listen is None else [*line, "--listen", msgspec.json.encode(listen).decode()]


def start(
    home: Path, port: int | None, environment: dict[str, str], workers: int | None = None, listen: Listen | None = None
) -> bool:
    """Start the supervisor unless one runs; returns whether it was started. It outlives this process and its terminal."""
    if lock_holder(home / "run" / "supervisor.lock") is not None:
        return False
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "supervisor.log").open("ab") as log:
        # The shell ends at once and leaves the supervisor to init: no zombie stays with a notebook that lives for days.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "prodml", *command(home, port, workers, listen)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | environment,
            cwd=home,
        )
    return True


def stop(home: Path) -> bool:
    """Stop supervisor, gateway and controller of this home; returns whether anything was running.

    Processes are known by the locks that they hold, never by a number in a file alone.
    """
    supervisor = lock_holder(home / "run" / "supervisor.lock")
    if supervisor is not None:
        _end(supervisor)
    locks = [*sorted((home / "run").glob("gateway*.lock")), home / "run" / "controller.lock"]
    stopped = [pid for lock in locks if (pid := lock_holder(lock)) is not None]
    for pid in stopped:
        _end(pid)
    return supervisor is not None or bool(stopped)


def _end(pid: int) -> None:
    try:
        end(pid, _STOP_SECONDS)
    except psutil.AccessDenied as error:
        raise Unavailable(f"process {pid} belongs to another user; ask them to run `prodml down`") from error


def is_running(home: Path) -> bool:
    """Whether a supervisor runs for this home."""
    return lock_holder(home / "run" / "supervisor.lock") is not None


def wait_until_ready(home: Path, ready: Callable[[], bool], *, timeout: float) -> None:
    """Wait until `ready()` is true; `Unavailable` with the last line of the log when the supervisor has given up."""
    deadline = time.monotonic() + timeout
    grace = time.monotonic() + 3.0
    while not ready():
        gave_up = time.monotonic() > grace and not is_running(home)
        if gave_up or time.monotonic() > deadline:
            raise Unavailable(f"the services did not start ({_last_line(home)}); see {home / 'logs'}")
        time.sleep(0.03)


def _last_line(home: Path) -> str:
    lines: list[str] = []
    for name in ("supervisor", "gateway", "controller"):
        path = home / "logs" / f"{name}.log"
        if path.exists():
            lines += path.read_text(errors="replace").splitlines()[-1:]
    return lines[0][:300] if lines else "no log was written"
