"""Past ASGI and through it: the same bytes in, the same bytes out, and answers go to the requests that they belong to."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
import uvicorn
from homes import infer_body
from serving.test_gateway import Gateway
from versions import Placed, place

from prodml_magics.serving import fast
from prodml_magics.serving.fast import fast_protocol
from prodml_magics.serving.limits import Limits
from prodml_magics.wire.routes import Route

Ports = tuple[int, int]


@asynccontextmanager
async def both(placed: Placed, keep_alive: float = 5, **route: Any) -> AsyncIterator[tuple[Gateway, Ports]]:
    """One gateway behind two servers: the short way, and ASGI alone."""
    gateway = Gateway(placed.home, Limits(body_bytes=1 << 21))
    routes = {"cancer": Route(model="cancer", revision=1, live=1, **({"files": (placed.files,)} | route))}
    assert await gateway.router.apply(routes, 1) == {}
    servers = [await _serve(gateway, http, keep_alive) for http in (fast_protocol(gateway.predictor), "httptools")]
    try:
        yield gateway, (servers[0][1], servers[1][1])
    finally:
        for server, _, task in servers:
            server.should_exit = True
            await task


async def _serve(gateway: Gateway, http: Any, keep_alive: float) -> tuple[uvicorn.Server, int, asyncio.Task[None]]:
    config = uvicorn.Config(
        gateway.app,
        port=0,
        http=http,
        lifespan="off",
        log_level="error",
        server_header=False,
        date_header=False,
        timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # seconds, whole or not
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    return server, server.servers[0].sockets[0].getsockname()[1], task


def request(body: Any, path: str = "/v2/models/cancer/infer", headers: str = "", method: str = "POST") -> bytes:
    """The bytes of one request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


def binary(rows: np.ndarray, headers: str = "", length: str = "", request_id: str = "me") -> bytes:
    """The bytes of one request with a binary tensor, `length` in the place of what its JSON has."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "parameters": {"binary_data_size": rows.nbytes}}
    said = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(said | {"id": request_id} if request_id else said).encode()
    return request(head + rows.tobytes(), headers=f"{headers}Inference-Header-Content-Length: {length or len(head)}\r\n")


async def answers(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    """`count` whole responses."""
    found = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        found.append(head + await reader.readexactly(length))
    return found


async def talk(port: int, data: bytes, count: int = 1) -> list[bytes]:
    """Send `data` at once on one connection and read `count` responses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    found = await asyncio.wait_for(answers(reader, count), 20)
    writer.close()
    await writer.wait_closed()
    return found


def run(placed: Placed, scenario: Callable[[Gateway, Ports], Awaitable[None]], **route: Any) -> None:
    async def whole() -> None:
        async with both(placed, **route) as (gateway, ports):
            await scenario(gateway, ports)

    asyncio.run(whole())


def unmade(response: bytes) -> bytes:
    """`response` without an id that the gateway made: it differs from request to request."""
    return re.sub(rb"[0-9a-f]{12}-[0-9a-f]+", b"made", re.sub(rb"content-length: \d+", b"", response))


async def repeat(port: int, data: bytes) -> list[bytes]:
    """Responses to the same bytes on one connection: three times whole, three times the head before the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = data.index(b"\r\n\r\n") + 4
    found = []
    for pieces in [(data,)] * 3 + [(data[:end], data[end:])] * 3:
        for piece in filter(None, pieces):
            writer.write(piece)
            await asyncio.sleep(0.002 if len(pieces) > 1 else 0)
        found += await asyncio.wait_for(answers(reader, 1), 20)
    writer.close()
    return found


ROW = np.full((1, 30), 0.5, np.float32)
NAMED = {"id": "me"}


@pytest.mark.parametrize(
    "data",
    [
        request(infer_body(ROW, "me")),
        request(infer_body(np.repeat(ROW, 5, axis=0), "me")),
        request(infer_body(ROW, "me") | {"outputs": [{"name": "label"}]}),
        request(infer_body(ROW, "me") | {"parameters": {"binary_data_output": True}}),
        request(infer_body(ROW, "me"), "/v2/models/cancer/versions/1/infer"),
        request(infer_body(ROW, 'quote " and é')),
        request(infer_body(ROW), headers="X-Request-Id: mine\r\n"),
        request(infer_body(ROW, "me"), "/v2/models/nobody/infer"),
        request(infer_body(ROW, "me"), "/v2/models/cancer/versions/7/infer"),
        request(infer_body(ROW, "me"), "/v2/models/cancer/versions/x/infer"),
        request(infer_body(ROW, "me"), "/v2/models/c%61ncer/infer"),
        request(infer_body(ROW, "me"), "/v2/models/cancer/infer?a=1"),
        request(b"{"),
        request(b""),
        request({"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1e39] * 30}]}),
        request({"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [None] * 30}]}),
        request({"id": "me", "inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [[0.5] * 30]}]}),
        request({"a": 1}, "/predict/cancer", headers="X-Request-Id: mine\r\n"),
        request({}, "/predict/nobody"),
        request(infer_body(ROW, "me"), headers="Connection: close\r\n"),
        request(infer_body(np.repeat(ROW, 6000, axis=0), "me")),
        request(b" " * (1 << 20)),
        binary(ROW),
        binary(np.repeat(ROW, 128, axis=0)),
        binary(np.full((1, 30), np.inf, np.float32)),
        binary(ROW, request_id=""),
        binary(np.repeat(ROW, 128, axis=0), request_id=""),
        binary(np.full((1, 30), np.inf, np.float32), request_id=""),
        binary(ROW, headers="X-Request-Id: mine\r\n", request_id=""),
        binary(ROW, length="99999"),
        binary(ROW, length="x"),
        binary(ROW, headers="X-Prodml-Deadline-Ms: soon\r\n"),
        request(infer_body(ROW), "/v2/models/cancer/infer", method="PUT"),
        request(b"", "/v2/health/live", method="GET"),
    ],
)
def test_both_ways_answer_with_the_same_bytes(placed: Placed, data: bytes) -> None:
    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        (short,), (asgi,) = await talk(ports[0], data), await talk(ports[1], data)
        assert unmade(short) == unmade(asgi)
        # The same bytes again and again on one connection, whole and head first: what was parsed once is not parsed again.
        if b"connection: close" not in short:
            for response in await repeat(ports[0], data):
                assert unmade(response) == unmade(asgi)

    run(placed, scenario)


def test_a_known_head_with_other_bodies_is_read_as_if_it_were_new(placed: Placed) -> None:
    rows = infer_body(ROW, "me")
    bodies = [
        rows,
        infer_body(np.repeat(ROW, 3, axis=0), "me"),
        rows | {"id": 'é and "'},
        rows | {"id": "x" * 300},
        rows | {"outputs": [{"name": "label"}]},
        {"inputs": [rows["inputs"][0] | {"name": "other"}]},
        {"inputs": [rows["inputs"][0] | {"shape": [2, 15]}]},
        {"inputs": [rows["inputs"][0] | {"data": [1e39] * 30}]},
        {"inputs": [rows["inputs"][0] | {"data": [None] * 30}]},
        "no request at all",
    ]
    texts = [json.dumps(body) for body in bodies]
    width = max(map(len, texts))
    requests = [request(text.ljust(width).encode()) for text in texts] * 2

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for port in ports:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            for data in requests:
                writer.write(data)
                found += await asyncio.wait_for(answers(reader, 1), 20)
            writer.close()
            if port == ports[0]:
                short = found
        assert [unmade(each) for each in short] == [unmade(each) for each in found]
        ids = [block.request_ids for block in gateway.blocks()]
        assert len(ids) == 2 * 2 * 4, "four of the ten are answered, twice, on both ways"

    run(placed, scenario)


@pytest.mark.parametrize("request_id", ["me", ""])
def test_known_heads_of_binary_requests_are_answered_each_with_its_own_rows(placed: Placed, request_id: str) -> None:
    expected = placed.model.predict_proba(placed.rows)

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        learned = []
        honest = gateway.predictor.infer_known
        gateway.predictor.infer_known = lambda *known: (learned.append(known), honest(*known))  # type: ignore[method-assign]
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        for start in range(0, 320, 32):
            writer.write(binary(placed.rows[start : start + 32].astype(np.float32), request_id=request_id))
            (response,) = await asyncio.wait_for(answers(reader, 1), 20)
            values = np.frombuffer(response[-32 * 2 * 4 :], "<f4").reshape(-1, 2)
            np.testing.assert_allclose(values, expected[start : start + 32], atol=1e-5)
        writer.close()
        assert len(learned) == 9, "every one but the first was taken without parsing"

    run(placed, scenario)


def test_what_follows_a_known_request_at_once_waits_for_its_turn(placed: Placed) -> None:
    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        data = [request(infer_body(placed.rows[index : index + 1], f"{index:03}")) for index in range(40)]
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        for each in data[:5]:
            writer.write(each)
            await answers(reader, 1)
        order = []
        for index in range(5, 38, 3):
            writer.write(data[index])  # a known head, alone in its packet
            await asyncio.sleep(0)
            writer.write(data[index + 1] + data[index + 2][:100])
            await asyncio.sleep(0.001)
            writer.write(data[index + 2][100:])
            order += [json.loads(each.split(b"\r\n\r\n", 1)[1])["id"] for each in await answers(reader, 3)]
        assert order == [f"{index:03}" for index in range(5, 38)]
        writer.close()

    run(placed, scenario)


def test_many_different_heads_do_not_fill_the_memory(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        heads = fast._Heads()
        body = infer_body(ROW, "me")
        for index in range(fast._HEADS + 5):
            heads.learn(b"%d" % index, 1, gateway.predictor.known("cancer", None, []), True)
        assert len(heads.known) == 5
        for name in ("X-Request-Id", "X-Prodml-Key", "Content-Encoding"):
            assert gateway.predictor.known("cancer", None, [(name.lower().encode(), b"7")]) is None
        (response,) = await talk(ports[0], request(body, headers="X-Other: " + "x" * 4000 + "\r\n"))
        assert response.startswith(b"HTTP/1.1 200")

    run(placed, scenario)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(placed: Placed) -> None:
    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        data = request(infer_body(ROW, "me"))
        async with asyncio.timeout(10):
            for _ in range(12):
                writer.write(data)
                assert len(await answers(reader, 1)) == 1
                await asyncio.sleep(0.05)
            assert await reader.read() == b""
        writer.close()

    run(placed, scenario, keep_alive=0.3)


def test_pipelined_requests_to_two_versions_are_answered_in_order_and_never_crossed(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.001)
    expected = [each.model.predict_proba(placed.rows)[:, 1] for each in (placed, other)]

    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        async def connection(start: int) -> None:
            picks = [(start * 16 + index) % 500 for index in range(64)]
            parts = []
            for index in picks:
                path = "/v2/models/cancer/infer" if index % 3 else "/v2/models/cancer/versions/2/infer"
                parts.append(request(infer_body(placed.rows[index : index + 1], str(index)), path))
                if index % 7 == 0:
                    parts.append(request(b"", "/v2/health/live", method="GET"))
            responses = await talk(ports[0], b"".join(parts), len(parts))
            predictions = [json.loads(each.split(b"\r\n\r\n", 1)[1]) for each in responses if b"model_name" in each]
            assert [int(each["id"]) for each in predictions] == picks
            for each, index in zip(predictions, picks, strict=True):
                given = each["outputs"][1]["data"][1]
                assert given == pytest.approx(expected[0 if index % 3 else 1][index], abs=1e-5)

        await asyncio.gather(*(connection(start) for start in range(20)))

    run(placed, scenario, previous=2, files=(placed.files, other.files))


@pytest.mark.parametrize(
    ("tail", "last"),
    [
        (b"\x00 no HTTP\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /v2/models/cancer/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400"),
        (request(b"[1, 2]")[:-1], b""),
    ],
    ids=["no HTTP", "broken chunks", "cut off"],
)
@pytest.mark.parametrize("good", [1, 2, 5])
def test_requests_before_one_that_breaks_off_get_their_answers_first(placed: Placed, good: int, tail: bytes, last: bytes) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        names = [f"r{index}" for index in range(good)]
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        writer.write(b"".join(request(infer_body(ROW, name)) for name in names) + tail)
        writer.write_eof()
        responses = await asyncio.wait_for(answers(reader, good), 10)
        assert [json.loads(each.split(b"\r\n\r\n", 1)[1])["id"] for each in responses] == names
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(last)
        writer.close()
        assert [name for block in gateway.blocks() for name in block.request_ids] == names

    run(placed, scenario)


def test_a_request_in_pieces_and_one_that_is_never_finished(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        data = request(infer_body(ROW, "slow"))
        _, unfinished = await asyncio.open_connection("127.0.0.1", ports[0])
        unfinished.write(data[:-5])
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        for position in range(0, len(data), 50):
            writer.write(data[position : position + 50])
            await writer.drain()
            await asyncio.sleep(0)
        (response,) = await answers(reader, 1)
        assert response.startswith(b"HTTP/1.1 200")
        unfinished.close()
        writer.close()
        assert [block.request_ids for block in gateway.blocks()] == [["slow"]]

    run(placed, scenario)


def test_a_client_that_reads_nothing_stops_being_served_and_nothing_grows(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        many = request(infer_body(np.repeat(ROW, 2000, axis=0)))
        _reader, deaf = await asyncio.open_connection("127.0.0.1", ports[0], limit=1024)
        deaf.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                while True:
                    deaf.write(many)
                    await deaf.drain()
                    sent += 1
        answered = sum(block.rows for block in gateway.blocks()) // 2000
        (response,) = await talk(ports[0], request(infer_body(ROW, "me")))
        assert response.startswith(b"HTTP/1.1 200")
        assert answered < 200
        deaf.transport.abort()  # type: ignore[attr-defined]

    run(placed, scenario)


def test_the_response_is_valid_json_whatever_the_outputs_hold(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        version = gateway.router.lane("cancer").version
        honest = version.session

        class Holes:
            device = "cpu"

            def run(self, tensors: Any) -> Any:
                outputs = honest.run(tensors)
                return outputs | {"probabilities": np.array([[np.nan, np.inf]], np.float32)}

        version.session = Holes()  # type: ignore[assignment]
        (response,) = await talk(ports[0], request(infer_body(ROW, "me")))
        body = msgspec.json.decode(response.split(b"\r\n\r\n", 1)[1])
        assert body["outputs"][1]["data"] == [None, None]

    run(placed, scenario)
