"""What is lost when things go wrong: processes killed and stopped, disks full, ledgers locked, clocks that jump, clients that misbehave.

python tests/benchmarks/faults.py [--only kills,stops,ledger,clock,disk,clients] [--kills 50] [--seed 1]

Python clients send one-row requests to two workers throughout. ``lost`` are rows that were answered 200 and are not in the lake in the
end, ``twice`` those that are in it more than once: the goal is none. ``broken`` are connections that ended under a request, which a
client then repeats; ``refused`` are answers other than 200. With the policy ``serve`` rows are lost on purpose while the log cannot be
written, and counted. Disks are filled, and broken, on file systems that are mounted for it, so that this part needs root; clocks jump
by libfaketime where it is installed. Parts that cannot run here say so.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from homes import Load, add_version, infer_body, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.status import status
from prodml_magics.actions.up import down, up
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines.endings import ended
from prodml_magics.wire.requests import Deploy, Down, Status, Up

_STRANGER = "not of the load"
"""What requests of misbehaving clients are called: nobody remembers which of them were acknowledged."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class Site:
    """A home with two workers, one model, and clients that never stop asking."""

    def __init__(self, workspace: Workspace, rows: object, url: str) -> None:
        self.workspace = workspace
        self.services = Services(workspace)
        self.rows = rows
        self.url = url
        self.load = Load(url, rows, clients=6)  # type: ignore[arg-type]

    def gateways(self) -> list[int]:
        """The workers that live now."""
        runtime = self.services.runtime()
        return [worker.pid for worker in runtime.gateway.workers if worker.pid] if runtime else []

    def controller(self) -> list[int]:
        """The controller, where it lives now."""
        runtime = self.services.runtime()
        return [runtime.controller.pid] if runtime and runtime.controller.pid else []

    def supervisor(self) -> list[int]:
        """The supervisor."""
        runtime = self.services.runtime()
        return [runtime.supervisor] if runtime and runtime.supervisor else []

    def answered(self, more: int, seconds: float = 60) -> float:
        """Wait until so many more requests are answered; returns how long that took."""
        seen = len(self.load.acknowledged)
        return wait_for(lambda: len(self.load.acknowledged) >= seen + more, seconds)

    def tell(self, what: str, note: str = "") -> None:
        """Count what became of every request, once the load has ended and all is drained."""
        wait_for(lambda: self.services.gateway() is not None and self.services.drain() is not None, 60)
        drained = self.services.drain()
        assert drained is not None
        rows = self.workspace.lake.rows("cancer", statuses=None, arms=["live"], columns=["request_id", "status"])
        ids = rows.filter((rows["status"] == 200) & (rows["request_id"] != _STRANGER))["request_id"]
        lost = len(set(self.load.acknowledged) - set(ids))
        print(
            f"{what:34} answered {len(self.load.acknowledged):7}  lost {lost}  twice {len(ids) - ids.n_unique()}  "
            f"broken {self.load.broken:4}  refused {len(self.load.refused):5}  {note}"
            + (f"  waiting: {drained.problems}" if drained.problems else ""),
            flush=True,
        )


@contextmanager
def site(environment: dict[str, str] | None = None, mounted: Sequence[str] = (), **flags: object) -> Iterator[Site]:
    """A site of its own for one fault; `mounted` is what `mount` is told of the disk on which its request log lies."""
    before = dict(os.environ)
    os.environ.update(environment or {})
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        spool = workspace.home / "spool"
        spool.mkdir()
        if mounted:
            subprocess.run(["mount", *mounted, str(spool)], check=True)
        try:
            up(workspace, Up(workers=2))
            url = str(deploy(workspace, Deploy(model="cancer@1", **flags)).url)  # type: ignore[arg-type]
            yield Site(workspace, placed.rows, url)
        finally:
            down(workspace, Down())
            workspace.close()
            os.environ.clear()
            os.environ.update(before)
            if mounted:
                while spool.is_mount():  # one may have been mounted over another
                    subprocess.run(["umount", str(spool)], check=True)


def kills(count: int, seed: int) -> None:
    """``kill -9`` of a worker, of all workers, or of the controller, at moments that are drawn."""
    draw = random.Random(seed)
    for what in ("worker", "gateway", "controller"):
        longest = 0.0
        with site() as here:
            with here.load:
                here.answered(200)
                for _ in range(count):
                    time.sleep(draw.uniform(0.02, 0.5))
                    found = here.controller() if what == "controller" else here.gateways()
                    for pid in draw.sample(found, min(len(found), 1)) if what == "worker" else found:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    longest = max(longest, here.answered(20))
            here.tell(f"kill -9 of the {what}, {count} times", f"longest pause {longest:.1f} s")


def stops(seed: int) -> None:
    """SIGSTOP for ten seconds."""
    draw = random.Random(seed)
    for what in ("worker", "gateway", "controller", "supervisor"):
        with site() as here:
            with here.load:
                here.answered(200)
                found = {"controller": here.controller, "supervisor": here.supervisor}.get(what, here.gateways)()
                chosen = draw.sample(found, 1) if what == "worker" else found
                for pid in chosen:
                    os.kill(pid, signal.SIGSTOP)
                seen = len(here.load.acknowledged)
                time.sleep(10)
                meanwhile = len(here.load.acknowledged) - seen
                for pid in chosen:
                    os.kill(pid, signal.SIGCONT)
                here.answered(200)
                lives = not any(ended(pid, 0.0) for pid in chosen)
            here.tell(f"SIGSTOP of the {what} for 10 s", f"{meanwhile} answered meanwhile, {'lives on' if lives else 'REPLACED'}")


def ledger() -> None:
    """The ledger locked for five seconds by somebody else, while requests come and somebody deploys."""
    with site() as here:
        add_version(here.workspace, 2, c=0.01)
        with here.load:
            here.answered(200)
            other = sqlite3.connect(here.workspace.home / "ledger.db", isolation_level=None, check_same_thread=False)
            other.execute("BEGIN EXCLUSIVE")
            release = threading.Timer(5, lambda: other.execute("ROLLBACK"))
            release.start()
            seen, started = len(here.load.acknowledged), time.monotonic()
            change = deploy(here.workspace, Deploy(model="cancer@2"))
            took, meanwhile = time.monotonic() - started, len(here.load.acknowledged) - seen
            release.join()
            other.close()
            here.answered(200)
        here.tell(
            "ledger locked for 5 s", f"{meanwhile} answered meanwhile; a deploy took {took:.1f} s: version {change.version} live"
        )


def clock() -> None:
    """The wall clock jumps an hour ahead, back, and back again, under the services; monotonic time goes on."""
    if not FAKETIME.exists():
        print("clock jumps: not run, since libfaketime is not installed")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".clock") as file:

        def jump(offset: str) -> None:
            # Rewritten in place: the services look at it whenever they look at the clock.
            Path(file.name).write_text(offset + "\n")

        jump("+0")
        environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": file.name,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        with site(environment, keep="1d", slo_p99="2s") as here:
            add_version(here.workspace, 2, c=0.01)
            with here.load:
                here.answered(500)
                notes = []
                for offset in ("+3600", "-3600", "+0"):
                    jump(offset)
                    here.answered(500)
                    deploy(here.workspace, Deploy(model=f"cancer@{1 + len(notes) % 2}"))
                    here.answered(200)
                    notes.append(offset)
            rows = here.workspace.lake
            here.tell(f"clock jumps {', '.join(notes)} s")
            stamps = rows.rows("cancer", statuses=None)["received_at"]
            spread = (stamps.max() - stamps.min()).total_seconds()  # type: ignore[operator, union-attr]
            ahead = (stamps.max() - datetime.now(UTC)).total_seconds()  # type: ignore[operator]
            print(f"{'':34} rows are stamped over {spread / 3600:.2f} h, the latest {ahead / 3600:.2f} h ahead of the true time")


def disk() -> None:
    """The disk of the request log full, then read-only, then well again, under both policies."""
    if os.geteuid() != 0:
        print("full and read-only disks: not run, since they need root")
        return
    for policy in ("refuse", "serve"):
        with site(mounted=_MEMORY, on_log_failure=policy) as here:
            spool = here.workspace.home / "spool"
            with here.load:
                here.answered(200)
                pids = set(here.gateways())
                _fill(spool)
                _settled(here)
                full = _during(here, 3)
                (spool / "filler").unlink()
                here.answered(200)
                same = set(here.gateways()) == pids
            here.tell(
                f"disk full ({policy})", f"{full} meanwhile; {_unlogged(here)}; {'no worker ended' if same else 'WORKERS ENDED'}"
            )
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "image"
            with image.open("wb") as file:
                file.truncate(256 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
            with site(mounted=["-o", "loop,errors=remount-ro", str(image)], on_log_failure=policy, fsync="always") as here:
                spool = here.workspace.home / "spool"
                with here.load:
                    here.answered(200)
                    pids = set(here.gateways())
                    _break(spool)
                    read_only = _during(here, 3)
                    here.services.drain()
                    subprocess.run(["mount", *_MEMORY, str(spool)], check=True)  # over the one that died
                    here.answered(200)
                    same = set(here.gateways()) == pids
                here.tell(
                    f"disk dies, then another ({policy})",
                    f"{read_only} meanwhile; {_unlogged(here)}; {'no worker ended' if same else 'WORKERS ENDED'}",
                )


_MEMORY = ("-t", "tmpfs", "-o", "size=24m", "tmpfs")


def _break(folder: Path) -> None:
    """Have the kernel find an error on the file system of `folder`, after which nobody can write to it."""
    found = subprocess.run(["findmnt", "-no", "SOURCE", str(folder)], capture_output=True, text=True, check=True)
    Path(f"/sys/fs/ext4/{Path(found.stdout.strip()).name}/trigger_fs_error").write_text("an error")


def _unlogged(here: Site) -> str:
    traffic = status(here.workspace, Status()).record.models[0].traffic
    return f"counted as not logged {traffic.unlogged if traffic else 0}"


def _fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def _settled(here: Site) -> None:
    """Wait until segments have used up the pages that they had begun."""
    model = here.url.rsplit("/", 1)[1]
    wait_for(
        lambda: (found := here.services.gateway()) is not None and any(m.name == model and m.problem for m in found.models), 30
    )


def _during(here: Site, seconds: float) -> str:
    answered, refused = len(here.load.acknowledged), len(here.load.refused)
    time.sleep(seconds)
    return f"{len(here.load.acknowledged) - answered} answered and {len(here.load.refused) - refused} refused"


def clients() -> None:
    """Thousands of connections, heads and bodies that trickle, clients that close half or read nothing, beside ordinary ones."""
    with site() as here:
        where = urlsplit(here.url)
        address = (where.hostname or "", where.port or 0)
        memory = sum(psutil.Process(pid).memory_info().rss for pid in here.gateways())
        crowds: list[tuple[str, int, Callable[[socket.socket, int], None]]] = [
            ("5,000 silent connections", 5000, lambda _connection, _index: None),
            (
                "1,000 heads that trickle in",
                1000,
                lambda each, index: _send(each, b"POST /v2/models/x HTTP/1.1\r\nX: "[: 8 + index % 20]),
            ),
            ("1,000 bodies that trickle in", 1000, lambda each, _index: _send(each, _HEAD % (where.path.encode(), 5000) + b"{")),
            ("1,000 that close their side", 1000, _half_close(where.path)),
            ("200 that read nothing", 200, _deaf(where.path)),
        ]
        with here.load:
            here.answered(200)
            for name, count, act in crowds:
                crowd = []
                for index in range(count):
                    crowd.append(_connect(address))
                    act(crowd[-1], index)
                answered = _during(here, 3)
                open_ones = _connections(here)
                started = time.monotonic()
                wait_for(lambda: _connections(here) <= 40, 90)
                gone = time.monotonic() - started
                grown = (sum(psutil.Process(pid).memory_info().rss for pid in here.gateways()) - memory) >> 20
                for each in crowd:
                    each.close()
                print(
                    f"{name:34} {answered} in 3 s beside {open_ones} connections; they are gone after {gone:.0f} s; {grown:+} MiB"
                )
        here.tell("clients that misbehave")


_HEAD = b"POST %b/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def _connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=30)
    connection.setblocking(False)
    return connection


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.send(data)


def _half_close(path: str) -> Callable[[socket.socket, int], None]:
    def act(connection: socket.socket, index: int) -> None:
        _send(connection, _HEAD % (path.encode(), 40) + b"{" * (index % 40))
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    return act


def _deaf(path: str) -> Callable[[socket.socket, int], None]:
    import json

    import numpy as np

    body = json.dumps(infer_body(np.full((2000, 30), 0.5, np.float32), _STRANGER)).encode()
    request = _HEAD % (path.encode(), len(body)) + body

    def act(connection: socket.socket, _index: int) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.05)
        with suppress(OSError):
            for _ in range(50):
                connection.sendall(request)
        connection.setblocking(False)

    return act


def _connections(here: Site) -> int:
    return sum(len(psutil.Process(pid).net_connections("tcp")) for pid in here.gateways())


def main() -> None:
    """Run the parts that were asked for, and print what each has lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="kills,stops,ledger,clock,disk,clients")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "kills": lambda: kills(arguments.kills, arguments.seed),
        "stops": lambda: stops(arguments.seed),
        "ledger": ledger,
        "clock": clock,
        "disk": disk,
        "clients": clients,
    }
    for name in arguments.only.split(","):
        parts[name]()


if __name__ == "__main__":
    main()
