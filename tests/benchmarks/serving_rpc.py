"""gRPC requests of the gateway beside a bare ``grpc.aio`` server, interleaved on one pinned core, the generator on another.

python tests/benchmarks/serving_rpc.py [--seconds 3] [--rounds 3]

The generator is Python too and costs about as much as the server, so that requests per second alone would say little: the
processor time that the server spends on a request is printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
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

import grpc.aio
import numpy as np
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import add_version, answers, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.serving.rpc.messages import ModelInferRequest, ModelInferResponse
from prodml_magics.wire.requests import Deploy

_CALLS = (1, 16, 64)
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
Measured = tuple[float, float, float]


async def _load(address: str, body: bytes, together: int, seconds: float) -> tuple[int, float, list[float]]:
    """Calls answered, seconds they took, and the seconds of each."""
    taken: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(_METHOD)
        until = time.perf_counter() + seconds

        async def client() -> None:
            while (began := time.perf_counter()) < until:
                await call(body)
                taken.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(together)))
        return len(taken), time.perf_counter() - began, taken


def measure(address: str, pid: int, body: bytes, together: int, seconds: float) -> Measured:
    """Requests per second, p99 in milliseconds, and the server's processor time per request in microseconds."""
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        count, took, taken = runner.run(_load(address, body, together, seconds))
    spent = sum(process.cpu_times()[:2]) - before
    return count / took, float(np.percentile(taken, 99)) * 1e3, spent / count * 1e6


@contextmanager
def bare_server(model: Path) -> Iterator[tuple[str, int]]:
    """Address and pid of the bare server on core 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(Path(__file__).parent / "limit_rpc_server.py"), str(model), str(port)])
    psutil.Process(process.pid).cpu_affinity([0])
    try:
        wait_for(lambda: _listens(port))
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _body(rows: np.ndarray) -> bytes:
    request = ModelInferRequest(model_name="cancer", raw_input_contents=[rows.tobytes()])
    request.inputs.add(name="input", datatype="FP32", shape=rows.shape)
    return bytes(request.SerializeToString())


def _check(address: str, body: bytes, expected: np.ndarray) -> None:
    """The answer is scikit-learn's, before anything is timed."""
    with grpc.insecure_channel(address) as channel:
        answer = ModelInferResponse.FromString(channel.unary_unary(_METHOD)(body, timeout=20))
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[1], "<f4").reshape(expected.shape), expected, atol=1e-5)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    print(", ".join(f"{name} {version(name)}" for name in ("grpcio", "protobuf", "uvloop", "onnxruntime-gpu")))
    os.sched_setaffinity(0, [0, 1])
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        with services(workspace) as running, bare_server(workspace.home / placed.files.folder / "model.onnx") as bare:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url)
            wait_for(lambda: answers(url))
            pid = running.gateway().pid  # type: ignore[union-attr]
            psutil.Process(pid).cpu_affinity([0])
            psutil.Process(running.controller().pid).cpu_affinity([1])  # type: ignore[union-attr]
            os.sched_setaffinity(0, [1])
            address = str(running.runtime().gateway.grpc)  # type: ignore[union-attr]
            servers = {"bare grpc.aio server": bare, "gateway, durable log": (address, pid)}
            for rows in (1, 128):
                body = _body(placed.rows[:rows])
                for where, _ in servers.values():
                    _check(where, body, placed.model.predict_proba(placed.rows[:rows]))
                _table(servers, body, rows, arguments.rounds, arguments.seconds)


def _table(servers: dict[str, tuple[str, int]], body: bytes, rows: int, rounds: int, seconds: float) -> None:
    bare = next(iter(servers))
    for together in _CALLS:
        found: dict[str, list[Measured]] = defaultdict(list)
        for address, pid in servers.values():
            measure(address, pid, body, together, 0.5)
        for _ in range(rounds):
            for name, (address, pid) in servers.items():
                found[name].append(measure(address, pid, body, together, seconds))
        for name, rounds_ in found.items():
            rate, tail, cost = (statistics.median(column) for column in zip(*rounds_, strict=True))
            faster = statistics.median(one[0] / two[0] for one, two in zip(rounds_, found[bare], strict=True))
            cheaper = statistics.median(two[2] / one[2] for one, two in zip(rounds_, found[bare], strict=True))
            print(
                f"{rows:3d} rows {together:3d} at once  {name:22s} {rate:7.0f} requests/s {faster:5.2f}x  p99 {tail:6.2f} ms  "
                f"{cost:5.0f} us of processor time {cheaper:5.2f}x"
            )


if __name__ == "__main__":
    main()
