"""Malformed requests to a real gateway over HTTP and gRPC: what it answered, and whether it is still the same process.

python tests/benchmarks/fuzz.py [--requests 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import grpc
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import add_version, answers, infer_body, post, services, wait_for, workspace_at
from malformed import malformed

from prodml_magics.actions.deploy import deploy
from prodml_magics.serving.rpc import messages as m
from prodml_magics.wire.requests import Deploy

_TOGETHER = 32
_METHODS = ("ModelInfer", "ModelMetadata", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "Nothing")


def main() -> None:
    """Run and print; a server error or a crash ends with exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        with services(workspace) as running:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url)
            wait_for(lambda: answers(url))
            pid = running.gateway().pid  # type: ignore[union-attr]
            began = psutil.Process(pid).memory_info().rss
            runtime = running.runtime()
            assert runtime is not None and runtime.gateway.grpc is not None
            found = Counter(asyncio.run(_http(int(url.split(":")[2].split("/")[0]), arguments.seed, arguments.requests)))
            calls = _grpc(runtime.gateway.grpc, arguments.seed, arguments.requests // 5)
            _frames(int(runtime.gateway.grpc.rsplit(":", 1)[1]), arguments.seed, arguments.requests // 50)
            alive = running.gateway()
            status, _ = post(url + "/infer", infer_body(placed.rows[:1]))
            memory = (began / 2**20, psutil.Process(pid).memory_info().rss / 2**20)
    print(f"HTTP: {arguments.requests} requests, {dict(sorted(found.items(), key=str))}")
    print(f"gRPC: {sum(calls.values())} calls, {dict(calls)}")
    print(f"resident memory {memory[0]:.0f} MiB before, {memory[1]:.0f} MiB after; an honest request is then answered {status}")
    same = alive is not None and alive.pid == pid and status == 200
    wrong = {code: count for code, count in found.items() if isinstance(code, int) and code >= 500}
    print(
        f"crashes {int(not same)}, server errors {sum(wrong.values())} over HTTP, {calls['INTERNAL'] + calls['UNKNOWN']} over gRPC"
    )
    sys.exit(0 if same and not wrong and not calls["INTERNAL"] + calls["UNKNOWN"] else 1)


async def _http(port: int, seed: int, count: int) -> list[int | str]:
    slots = asyncio.Semaphore(_TOGETHER)

    async def one(data: bytes) -> list[int | str]:
        async with slots:
            return await _exchange(port, data)

    return [status for found in await asyncio.gather(*map(one, malformed(seed, count))) for status in found]


async def _exchange(port: int, data: bytes) -> list[int | str]:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    except TimeoutError:
        return ["no answer"]
    except OSError:
        return ["closed"]
    statuses = [int(each) for each in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]
    bad = [status for status in statuses if status >= 500]
    if bad:
        print(bad, data[:500])
    return [*statuses] or ["closed"]


def _grpc(address: str, seed: int, count: int) -> Counter[str]:
    """Messages of random bytes, and honest ones with some bytes changed."""
    rng = random.Random(seed)
    honest = m.ModelInferRequest(model_name="cancer", id="me")
    tensor = honest.inputs.add(name="input", datatype="FP32", shape=[1, 30])
    tensor.contents.fp32_contents.extend([0.5] * 30)
    whole = honest.SerializeToString()
    found: Counter[str] = Counter()
    with grpc.insecure_channel(address) as channel:
        for index in range(count):
            data = bytearray(whole if index % 3 else rng.randbytes(rng.randrange(1, 99)))
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(min(len(data), 60))] = rng.randrange(256)
            method = _METHODS[index % len(_METHODS)] if index % 2 else "ModelInfer"
            try:
                channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(bytes(data), timeout=20)
                found["OK"] += 1
            except grpc.RpcError as error:
                found[error.code().name] += 1  # type: ignore[attr-defined]
    return found


def _frames(port: int, seed: int, count: int) -> None:
    """Bytes that are no HTTP/2, or stop being it."""
    rng = random.Random(seed)
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall((start if rng.random() < 0.7 else b"") + rng.randbytes(rng.randrange(1, 200)))
    time.sleep(0.2)


if __name__ == "__main__":
    main()
