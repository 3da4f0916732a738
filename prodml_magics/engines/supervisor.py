"""``python -m prodml_magics.engines.supervisor``: keeps gateway and controller of one home alive.

It binds the sockets and hands them to its children, so that requests queue for the moment in which a child is replaced. It learns of
a death by waiting, not by polling. When it dies itself its children go on; the next supervisor takes them over by their locks.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from prodml_magics.engines.endings import end, ended
from prodml_magics.engines.gpus import gpu_of, visible_gpus
from prodml_magics.engines.priority import yield_to_others
from prodml_magics.engines.sockets import adopted, socket_for
from prodml_magics.engines.watch import Watch, room_for_models
from prodml_magics.storage.runtime import Lock, lock_holder, read_runtime, worker_role, write_runtime
from prodml_magics.wire.runtime import Listen, Runtime, Service, Worker

__all__ = ["Child", "Supervisor", "main"]

_log = logging.getLogger("supervisor")
_HEALTHY_SECONDS = 10.0
_LONGEST_PAUSE = 5.0
_STOP_SECONDS = 15.0
_CONTROLLER_NICE = 5
"""A third of the weight of a gateway: where the gateways could use every core, verdicts and the lake still keep up."""


class Child:
    """One service: its socket, its process, and the thread that waits for its end.

    `rpc` is a socket that only keeps a port: grpc binds its own, sharing it, and nobody takes it while the service is replaced.
    `control` is a second socket, on which this process alone answers where several share the port of `listening`.
    `nice` is how far it stands back where the cores do not suffice for all, `environment` what its environment says beside ours.
    """

    def __init__(
        self,
        role: str,
        line: list[str],
        listening: socket.socket,
        home: Path,
        token: str,
        *,
        rpc: socket.socket | None = None,
        control: socket.socket | None = None,
        listen: Listen | None = None,
        nice: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.role = role
        self._environment = {"PRODML_TOKEN": token, **(environment or {})}
        self._nice = nice
        listen = listen or Listen()
        self.own_url = f"http://127.0.0.1:{(control or listening).getsockname()[1]}"
        """Where this very process answers."""
        self.url = listen.url(listening.getsockname()[1])
        """Where programs reach the service."""
        self.grpc = None if rpc is None else "{}:{}".format(*rpc.getsockname()[:2])
        self._sockets = (listening, rpc, control)
        """Kept open, so that what comes while the process is replaced waits for the next one."""
        self.pid: int | None = None
        self.started_at: datetime | None = None
        self.restarts = -1
        self._command = [*line, "--descriptor", str(listening.fileno()), *(["--grpc", self.grpc] if self.grpc else [])]
        self._descriptors = [listening.fileno()]
        if not listen.plain:
            self._command += ["--certificate", listen.certificate, "--key", listen.key] if listen.certificate else []
            self._command += [] if listen.loopback else ["--public"]
        if control is not None:
            self._command += ["--role", role, "--control", str(control.fileno())]
            self._descriptors.append(control.fileno())
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._last_exit = 0
        self._pause = 0.0

    def begin(self) -> None:
        """Start the service, or take over one that lives."""
        self.restarts += 1
        self._process = None
        self.pid = lock_holder(self._home / "run" / f"{self.role}.lock")
        if self.pid is None:
            self._process = self._start()
            self.pid = self._process.pid
            if self._nice:
                yield_to_others(self.pid, self._nice)
        self.started_at = datetime.now(UTC)

    def wait(self) -> None:
        """Return when the process has ended; decide how long to pause before the next."""
        assert self.pid is not None
        began = time.monotonic()
        if self._process is not None:
            self._last_exit = self._process.wait()
        else:
            ended(self.pid)
            self._last_exit = 0  # only a parent is told
        healthy = time.monotonic() - began > _HEALTHY_SECONDS
        self._pause = 0.0 if healthy else min(_LONGEST_PAUSE, max(0.05, self._pause * 2))
        _log.warning("%s %d ended with %s", self.role, self.pid, self._last_exit)
        self.pid = None

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start: none after a long life, growing while it dies at once."""
        return self._pause

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | self._environment | {"PRODML_LAST_EXIT": str(self._last_exit)}
        with (self._home / "logs" / f"{self.role}.log").open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._descriptors,
                env=environment,
                cwd=self._home,
            )


class Supervisor:
    """The two children and the runtime file that tells the world about them."""

    def __init__(self, home: Path, children: list[Child], token: str, listen: Listen) -> None:
        self._listen = listen
        self._home = home
        self._children = children
        self._token = token
        self._stopping = threading.Event()
        self._writing = threading.Lock()
        self._wake, self._waker = os.pipe()

    def run(self) -> None:
        """Keep the children alive until `stop`."""
        threads = [threading.Thread(target=self._keep, args=(child,), daemon=True) for child in self._children]
        for thread in threads:
            thread.start()
        workers = [child for child in self._children if child.role.startswith("gateway")]
        threading.Thread(target=Watch(workers, self._stopping).run, daemon=True).start()
        os.read(self._wake, 1)
        self._stopping.set()
        for child in reversed(self._children):
            self._end(child)
        for thread in threads:
            thread.join(_STOP_SECONDS)
        self._write(None)

    def stop(self) -> None:
        """Make `run` end the children and return; safe in a signal handler."""
        os.write(self._waker, b"x")

    def _keep(self, child: Child) -> None:
        while not self._stopping.is_set():
            try:
                child.begin()
            except OSError as error:
                if not self._home.is_dir():  # somebody removed the whole home: there is nothing left to serve
                    self.stop()
                    return
                _log.error("%s cannot be started: %s", child.role, error)
                self._stopping.wait(_LONGEST_PAUSE)
                continue
            self._write(os.getpid())
            child.wait()
            if not self._stopping.is_set():
                self._write(os.getpid())
                self._stopping.wait(child.pause)

    def _end(self, child: Child) -> None:
        if child.pid is not None:
            end(child.pid, _STOP_SECONDS)

    def _write(self, supervisor: int | None) -> None:
        *gateways, controller = self._children
        gateway = self._service(gateways[0])
        if _controlled(len(gateways), self._listen):
            workers = tuple(Worker(url=each.own_url, pid=each.pid, restarts=max(each.restarts, 0)) for each in gateways)
            gateway = msgspec.structs.replace(gateway, workers=workers)
        runtime = Runtime(
            token=self._token,
            gateway=gateway,
            controller=self._service(controller),
            supervisor=supervisor,
            listen=self._listen,
        )
        with self._writing:
            try:
                write_runtime(self._home / "runtime.json", runtime)
            except OSError as error:
                _log.error("runtime.json cannot be written: %s", error)

    def _service(self, child: Child) -> Service:
        return Service(
            url=child.url, pid=child.pid, started_at=child.started_at, restarts=max(child.restarts, 0), grpc=child.grpc
        )


def _controlled(workers: int, listen: Listen) -> bool:
    """Whether each worker needs a socket of its own: where several share one, or where that is not plain HTTP on loopback."""
    return workers > 1 or not listen.plain


def _gateways(home: Path, port: int | None, old: Runtime | None, count: int, token: str, listen: Listen) -> list[Child]:
    """The workers: each with a socket of its own on the one port, among which the system spreads connections."""
    line = [sys.executable, "-m", "prodml_magics.serving", "--home", str(home), "--memory", str(room_for_models(count))]
    first = socket_for(home, "gateway", port, _port(old.gateway if old else None), listen.host)
    rpc = socket_for(home, "gateway", None, _grpc_port(old.gateway if old else None), listen.host)
    gpus = visible_gpus()
    if not _controlled(count, listen):
        return [Child("gateway", line, first, home, token, rpc=rpc, environment=gpu_of(0, gpus))]
    shared, known = first.getsockname()[1], old.gateway.workers if old else ()
    children = []
    for number in range(count):
        role = worker_role(number)
        own = int(known[number].url.rsplit(":", 1)[1]) if number < len(known) else None
        listening = first if number == 0 else adopted(shared, listen.host)
        control = socket_for(home, role, None, own)
        gpu = gpu_of(number, gpus)
        children.append(Child(role, line, listening, home, token, rpc=rpc, control=control, listen=listen, environment=gpu))
    return children


def _known_workers(old: Runtime | None) -> int:
    """How many there were the last time; 0 for the first time."""
    return 0 if old is None else len(old.gateway.workers) or 1


def _end_left_over(home: Path, count: int, old: Runtime | None, listen: Listen) -> None:
    """End workers of an earlier supervisor that are not wanted, or that were started in another form."""
    before, known = old.listen if old else listen, _known_workers(old)
    same = before == listen and _controlled(known, before) == _controlled(count, listen)
    for number in range(count if same else 0, max(known, 1)):
        pid = lock_holder(home / "run" / f"{worker_role(number)}.lock")
        if pid is not None:
            with contextlib.suppress(psutil.Error):
                end(pid, _STOP_SECONDS)


def _port(service: Service | None) -> int | None:
    return None if service is None else int(service.url.rsplit(":", 1)[1])


def _grpc_port(service: Service | None) -> int | None:
    return None if service is None or service.grpc is None else int(service.grpc.rsplit(":", 1)[1])


def main() -> None:
    """Supervise until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m prodml_magics.engines.supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--workers", type=int, help="processes that answer requests; as many as last time when not given")
    parser.add_argument("--listen", default="", help="a Listen as JSON; as last time when not given")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home: Path = arguments.home
    (home / "logs").mkdir(parents=True, exist_ok=True)
    try:
        lock = Lock(home / "run" / "supervisor.lock")
    except BlockingIOError:
        sys.exit("another supervisor runs for this home")
    old = read_runtime(home / "runtime.json")
    listen = msgspec.json.decode(arguments.listen, type=Listen) if arguments.listen else old.listen if old else Listen()
    count = arguments.workers or _known_workers(old) or len(visible_gpus()) or max(1, (os.cpu_count() or 1) // 2)
    _end_left_over(home, count, old, listen)
    # Children of an earlier supervisor know the token of the file.
    token = old.token if old else secrets.token_urlsafe(32)
    common = ["--home", str(home)]
    try:
        gateways = _gateways(home, arguments.port, old, count, token, listen)
        controller = socket_for(home, "controller", None, _port(old.controller if old else None))
    except OSError as error:
        sys.exit(f"the gateway cannot listen: {error.strerror or error}; choose another with `prodml up --port PORT`")
    children = [
        *gateways,
        # Niced from its first moment, so that not even its imports delay a gateway that starts beside it.
        Child(
            "controller",
            [sys.executable, "-m", "prodml_magics.controller", *common],
            controller,
            home,
            token,
            nice=_CONTROLLER_NICE,
        ),
    ]
    supervisor = Supervisor(home, children, token, listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    lock.release()


if __name__ == "__main__":
    main()
