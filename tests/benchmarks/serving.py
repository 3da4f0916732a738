"""Requests per second of the gateway beside the bare server, interleaved on one pinned core, the generator on another.

python tests/benchmarks/serving.py [--seconds 3] [--rounds 3]

Needs wrk and two cores. Prints requests per second, the ratio to the bare server of the same round, and p99.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import add_version, answers, infer_body, post, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.shadow import shadow
from prodml_magics.wire.requests import Deploy, Shadow

CONNECTIONS = (1, 16, 64)
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def wrk(url: str, body: bytes, connections: int, seconds: int, folder: Path) -> tuple[float, float]:
    """Requests per second and p99 in milliseconds; an answer that is not 200 stops the benchmark."""
    script = folder / "post.lua"
    script.write_text(
        f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={json.dumps(body.decode())}\n'
    )
    line = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        sys.exit(f"the server refused requests:\n{printed}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])  # type: ignore[index]
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed).groups()  # type: ignore[union-attr]
    return rate, float(number) * _UNITS[unit]


@contextmanager
def limit_server(model: Path) -> Iterator[str]:
    """The bare server on core 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [sys.executable, str(Path(__file__).parent / "limit_server.py"), str(model), str(port)]
    process = subprocess.Popen(line)
    psutil.Process(process.pid).cpu_affinity([0])
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(lambda: _listens(port))
        yield url
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("wrk and two cores are needed: apt-get install wrk")
    names = ("uvicorn", "uvloop", "httptools", "onnxruntime-gpu", "msgspec", "numpy")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    print(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        _compare(Path(folder), arguments.rounds, arguments.seconds)


def _compare(folder: Path, rounds: int, seconds: int) -> None:
    workspace = workspace_at(folder / ".prodml")
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.1)
    body = json.dumps(infer_body(placed.rows[:1])).encode()
    with services(workspace) as running, limit_server(workspace.home / placed.files.folder / "model.onnx") as limit:
        url = str(deploy(workspace, Deploy(model="cancer@1")).url)
        wait_for(lambda: answers(url))
        report = running.gateway()
        assert report is not None
        psutil.Process(report.pid).cpu_affinity([0])
        psutil.Process(running.controller().pid).cpu_affinity([1])  # type: ignore[union-attr]
        assert post(url + "/infer", infer_body(placed.rows[:1]))[0] == 200
        servers = {"bare server": limit, "gateway, durable log": url + "/infer"}
        _table(servers, body, rounds, seconds, folder)
        shadow(workspace, Shadow(model="cancer@2"))
        time.sleep(0.5)
        _table({"bare server": limit, "gateway, log and 100 % shadow": url + "/infer"}, body, rounds, seconds, folder)
        print(f"resident memory of the gateway {psutil.Process(report.pid).memory_info().rss / 2**20:.0f} MiB")


def _table(servers: dict[str, str], body: bytes, rounds: int, seconds: int, folder: Path) -> None:
    for connections in CONNECTIONS:
        rates: dict[str, list[float]] = defaultdict(list)
        tails: dict[str, list[float]] = defaultdict(list)
        for url in servers.values():
            wrk(url, body, connections, 1, folder)
        for _ in range(rounds):
            for name, url in servers.items():
                rate, tail = wrk(url, body, connections, seconds, folder)
                rates[name].append(rate)
                tails[name].append(tail)
        for name in servers:
            ratio = statistics.median(one / two for one, two in zip(rates[name], rates["bare server"], strict=True))
            middle, tail = statistics.median(rates[name]), statistics.median(tails[name])
            print(f"{connections:3d} connections  {name:32s} {middle:8.0f} requests/s  {ratio:5.2f}x  p99 {tail:6.2f} ms")


if __name__ == "__main__":
    main()
