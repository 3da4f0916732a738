"""Generators of load for the benchmarks: wrk for as much as goes, h2load for a stated rate."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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
    """What became of the requests of an open loop; latencies in seconds from when each was sent."""

    sent: float
    """Requests per second. Less than was asked for where every connection waited for an answer when the next was due."""
    accepted: np.ndarray
    refused: np.ndarray
    failed: int
    seconds: float


def open_loop(
    url: str, body: bytes, headers: dict[str, str], rate: float, seconds: float, folder: Path, *, connections: int | None = None
) -> Measured:
    """Send `rate` requests per second, evenly, however slowly they are answered: `rate` times `seconds` in all.

    `connections` are as many as it takes for eight requests each, at most 512, unless stated.
    """
    connections = connections or min(512, max(1, int(rate * seconds / 8)))
    (folder / "body").write_bytes(body)
    log = folder / "requests.log"
    log.unlink(missing_ok=True)
    line = [
        "taskset",
        "-c",
        "1",
        "h2load",
        "--h1",
        "-t1",
        f"-c{connections}",
        f"-n{rate * seconds:.0f}",
        f"--rps={rate / connections:.4f}",
    ]
    # Connected one after the other over the time between two requests of one connection, so that none sends with another.
    period = min(range(1, 6), key=lambda each: abs(max(1, round(rate * each / 1000)) / each - rate / 1000))
    line += [
        f"-r{min(connections, max(1, round(rate * period / 1000)))}",
        f"--rate-period={period}ms",
        f"--data={folder / 'body'}",
        f"--log-file={log}",
    ]
    line += [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    subprocess.run([*line, url], check=True, capture_output=True)
    began, status, took = np.loadtxt(log, dtype=np.int64, ndmin=2).T
    lasted = float(began.max() - began.min()) / 1e6
    latency = took / 1e6
    failed = int(((status != 200) & (status != 503)).sum())
    return Measured(len(status) / lasted, latency[status == 200], latency[status == 503], failed, lasted)
