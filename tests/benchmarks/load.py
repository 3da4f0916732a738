"""Generators of load for the benchmarks: wrk for as much as goes, and an open loop for a stated rate."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np

from prodml_magics.actions.workspace import Workspace
from prodml_magics.registry.build import Candidate

__all__ = ["Measured", "binary_request", "lay_down", "open_loop", "wrk"]

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def lay_down(workspace: Workspace, name: str, version: int, candidate: Candidate) -> bytes:
    """Enter a version as `register` does, without MLflow; returns its ONNX file."""
    workspace.make_home()
    folder = workspace.folder(name, version)
    folder.mkdir(parents=True)
    written = {
        "model.onnx": candidate.model,
        "contract.json": msgspec.json.encode(candidate.contract),
        "samples.json": candidate.samples,
    }
    for file, content in written.items():
        (folder / file).write_bytes(content)
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in written.items()}
    workspace.ledger.append(
        kind="register",
        model=name,
        expected=workspace.ledger.revision(name),
        payload={"version": version, "sha256": digests, "metrics": {}},
        at=workspace.clock.now(),
        actor=workspace.actor,
    )
    return candidate.model


def binary_request(rows: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a v2 request with `rows` (float32 or float64) as a binary tensor, answered in binary."""
    datatype = {"float32": "FP32", "float64": "FP64"}[rows.dtype.name]
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": datatype, "parameters": {"binary_data_size": rows.nbytes}}
    head = msgspec.json.encode({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return head + rows.tobytes(), headers


def wrk(
    url: str, body: bytes, headers: dict[str, str], connections: int, seconds: float, folder: Path, *, core: int | None = 1
) -> tuple[float, float]:
    """Requests per second and p99 in milliseconds; an answer that is not 200 stops the benchmark."""
    (folder / "body").write_bytes(body)
    script = folder / "post.lua"
    lines = [f'wrk.headers["{name}"]="{value}"' for name, value in headers.items()]
    script.write_text('wrk.method="POST"\n' + "\n".join(lines) + f'\nwrk.body=io.open("{folder / "body"}","rb"):read("*a")\n')
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    line = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "-s", str(script), url]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        sys.exit(f"the server refused requests:\n{printed}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])  # type: ignore[index]
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed).groups()  # type: ignore[union-attr]
    return rate, float(number) * _UNITS[unit]


class Measured(NamedTuple):
    """What became of the requests of an open loop; seconds from when each was due."""

    offered: float
    accepted: np.ndarray
    refused: np.ndarray
    failed: int
    unsent: int
    """Due while every connection waited for an answer, and dropped by the client: a server cannot refuse what it was never sent."""
    seconds: float


class _Connection(asyncio.Protocol):
    def __init__(self, free: list[_Connection], took: list[tuple[int, float]]) -> None:
        self._free, self._took = free, took
        self._due = 0.0
        self._got = b""
        self.lost = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._free.append(self)

    def send(self, data: bytes, due: float) -> None:
        self._due = due
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = got[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r", 1)[0])
        if len(got) < end + 4 + length:
            return
        self._got = b""
        self._took.append((int(got[9:12]), time.perf_counter() - self._due))
        self._free.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self in self._free:
            self._free.remove(self)
        self.lost += 1


def open_loop(url: str, body: bytes, headers: dict[str, str], rate: float, seconds: float, *, connections: int = 512) -> Measured:
    """Send at `rate` requests per second however slowly they are answered; run it in a process pinned to a core of its own."""
    import uvloop

    return uvloop.run(_open_loop(url, body, headers, rate, seconds, connections))


async def _open_loop(url: str, body: bytes, headers: dict[str, str], rate: float, seconds: float, connections: int) -> Measured:
    where = urlsplit(url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    data = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
    free: list[_Connection] = []
    took: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(free, took), where.hostname, where.port)
    every = list(free)
    began = time.perf_counter()
    sent, unsent = 0, 0
    while (now := time.perf_counter()) - began < seconds:
        due = int((now - began) * rate) + 1
        while sent + unsent < due:
            if not free:
                unsent += 1
                continue
            free.pop().send(data, began + (sent + unsent) / rate)
            sent += 1
        await asyncio.sleep(0.0005)
    lasted = time.perf_counter() - began
    until = time.perf_counter() + 5
    while len(took) < sent and time.perf_counter() < until:
        await asyncio.sleep(0.01)
    for connection in every:
        connection.transport.abort()
    latency = np.array([each for _, each in took])
    status = np.array([each for each, _ in took])
    failed = int(((status != 200) & (status != 503)).sum()) + sent - len(took)
    return Measured(rate, latency[status == 200], latency[status == 503], failed, unsent, lasted)
