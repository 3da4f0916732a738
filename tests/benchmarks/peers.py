"""Requests per second of the gateway beside other model servers, each alone on one core, the generator on another.

python tests/benchmarks/peers.py [--seconds 3] [--rounds 2] [--only mlserver kserve …]

One-row JSON requests to a logistic regression with 30 features, all of them through onnxruntime with one thread. Each server is as its
guide sets it up, with one worker and without access logs; the gateway checks the contract, counts, and keeps its durable log. Needs wrk,
two cores and a package index: uv makes an environment of its own for each server, of the versions stated below. One that cannot be had
or started is said so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import wrk
from homes import add_version, answers, infer_body, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.inference.session import open_session
from prodml_magics.wire.requests import Deploy

CONNECTIONS = (16, 64)
_START_SECONDS = 120
_SERVERS = Path(__file__).parent / "peer_servers"


class Peer(NamedTuple):
    """A server: what it is installed from, and where it takes inference requests."""

    name: str
    packages: tuple[str, ...]
    path: str
    python: str = "3.11"


PEERS = {
    "mlserver": Peer("MLServer", ("mlserver==1.7.1",), "/v2/models/cancer/infer"),
    "pytriton": Peer("Triton, Python function", ("nvidia-pytriton==0.7.0",), "/v2/models/cancer/infer", "3.11.2"),
    "kserve": Peer("KServe, Python server", ("kserve==0.21.0",), "/v2/models/cancer/infer"),
    "litserve": Peer("LitServe", ("litserve==0.2.19",), "/predict"),
    "bentoml": Peer("BentoML", ("bentoml==1.4.40",), "/predict"),
    "mlflow": Peer("mlflow models serve", ("mlflow==3.16.0", "onnx"), "/invocations"),
}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    arguments = parser.parse_args()
    if shutil.which("wrk") is None or shutil.which("uv") is None or (os.cpu_count() or 1) < 2:
        sys.exit("wrk, uv and two cores are needed: apt-get install wrk; pip install uv")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        rows = placed.rows[:1].astype(np.float32)
        model = workspace.home / placed.files.folder / "model.onnx"
        body = json.dumps(infer_body(rows)).encode()
        expected = float(open_session(model.read_bytes(), device="cpu").run({"input": rows})["probabilities"][0, 0])
        with services(workspace) as running:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url) + "/infer"
            wait_for(lambda: answers(url.removesuffix("/infer")))
            for report, core in ((running.gateway(), 0), (running.controller(), 1)):
                psutil.Process(report.pid).cpu_affinity([core])  # type: ignore[union-attr]
            for key in arguments.only:
                sent = body if key != "mlflow" else json.dumps({"inputs": {"input": rows.tolist()}}).encode()
                try:
                    with _running(key, model, Path(folder)) as other:
                        _wait(other, sent, expected)
                        _compare(key, (url, body), (other, sent), arguments, Path(folder))
                except (OSError, ValueError, SystemExit) as error:
                    print(f"{PEERS[key].name:30s} not measured: {error}")


@contextmanager
def _running(key: str, model: Path, folder: Path) -> Iterator[str]:
    """The server in an environment of its own, all of its processes on core 0; its log lies in `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wanted = [part for package in (*PEERS[key].packages, "onnxruntime==1.31.1") for part in ("--with", package)]
    start = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", PEERS[key].python, *wanted]
    line = ["taskset", "-c", "0", *start, "python", str(_SERVERS / f"{key}_peer.py"), str(model), str(port)]
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    with (folder / f"{key}.log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}{PEERS[key].path}"
    except TimeoutError as error:
        said = (folder / f"{key}.log").read_text(errors="replace").strip().splitlines()
        raise ValueError(f"{error}; {said[-1] if said else 'it said nothing'}") from None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With everything that it started."""
    if process.poll() is None:
        root = psutil.Process(process.pid)
        started = [*root.children(recursive=True), root]
        for each in started:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        _, left = psutil.wait_procs(started, timeout=10)
        for each in left:
            each.kill()
    process.wait()


def _wait(url: str, body: bytes, expected: float) -> None:
    """Return when it answers, and with the right number."""
    until = time.monotonic() + _START_SECONDS
    last = "no answer"
    while time.monotonic() < until:
        try:
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=5) as reply:
                numbers = list(_numbers(json.load(reply)))
        except urllib.error.HTTPError as error:
            last = f"{error.code}: {error.read()[:200].decode(errors='replace')}"
        except OSError as error:
            last = str(error)
        else:
            if not np.isclose(numbers, expected, atol=1e-5).any():
                raise ValueError(f"it answers {numbers[:5]} and not {expected}")
            return
        time.sleep(0.3)
    raise TimeoutError(f"after {_START_SECONDS} s {last}")


def _numbers(value: Any) -> Iterator[float]:
    """Every number of a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, (int, float)):
        yield float(value)


def _compare(key: str, ours: tuple[str, bytes], theirs: tuple[str, bytes], arguments: argparse.Namespace, folder: Path) -> None:
    """Print the rates of a server and of the gateway, turn and turn about."""
    name = f"{PEERS[key].name} {PEERS[key].packages[0].split('==')[1]}"
    for connections in CONNECTIONS:
        for each in (ours, theirs):
            wrk(*each, connections, 1, folder)
        found = [[wrk(*each, connections, arguments.seconds, folder) for each in (ours, theirs)] for _ in range(arguments.rounds)]
        ratio = statistics.median(own[0] / other[0] for own, other in found)
        best, rate, tail, other_tail = (
            statistics.median(pair[side][value] for pair in found) for side, value in ((0, 0), (1, 0), (0, 1), (1, 1))
        )
        print(
            f"{name:30s} {connections:3d} connections  {rate:6,.0f} requests/s, p99 {other_tail:6.1f} ms   "
            f"gateway {best:6,.0f}, {tail:5.1f} ms   {ratio:5.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
