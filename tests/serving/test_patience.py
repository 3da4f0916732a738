"""Clients that are slow, silent, too many, or gone halfway: each is ended or answered, and the others never notice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import uvicorn
from homes import infer_body
from serving.test_fast import answers, request, talk
from serving.test_gateway import Gateway
from versions import Placed, place

from prodml_magics.serving.fast import fast_protocol
from prodml_magics.serving.limits import Limits
from prodml_magics.wire.routes import Route

QUICK = Limits(head_seconds=0.1, body_seconds=0.1, unread_seconds=0.2, look_seconds=0.02, connections=50)
ROW = np.full((1, 30), 0.5, np.float32)
WHOLE = request(infer_body(ROW, "me"))
HEAD = WHOLE[: WHOLE.index(b"\r\n\r\n") + 4]


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    return place(tmp_path_factory.mktemp("patience"), "cancer", 1)


def run(placed: Placed, scenario: Callable[[Gateway, int], Awaitable[None]], limits: Limits = QUICK) -> None:
    async def whole() -> None:
        gateway = Gateway(placed.home, limits)
        routes = {"cancer": Route(model="cancer", revision=1, live=1, files=(placed.files,))}
        assert await gateway.router.apply(routes, 1) == {}
        http = fast_protocol(gateway.predictor, limits)
        config = uvicorn.Config(gateway.app, port=0, http=http, lifespan="off", log_level="error", server_header=False)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            await scenario(gateway, port)
            (answer,) = await talk(port, WHOLE)
            assert answer.startswith(b"HTTP/1.1 200"), "others are answered as ever"
        finally:
            server.should_exit = True
            await task

    asyncio.run(whole())


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    return await asyncio.wait_for(reader.read(), 10)


@pytest.mark.parametrize("sent", [HEAD[:20], HEAD[:-2], HEAD, HEAD + b'{"inp', request(b"x" * 9, "/v2/repository/index")[:-3]])
def test_what_trickles_in_is_answered_408(placed: Placed, sent: bytes) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        if sent.startswith(HEAD):
            await talk(port, WHOLE)  # the head is then known, and taken without parsing
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert b"did not come in time" in body
        writer.close()

    run(placed, scenario)


def test_a_body_that_comes_steadily_may_take_longer(placed: Placed) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(WHOLE), 60):
            writer.write(WHOLE[start : start + 60])
            await asyncio.sleep(0.03)
        (answer,) = await answers(reader, 1)
        assert answer.startswith(b"HTTP/1.1 200")
        writer.close()

    run(placed, scenario)


def test_silence_is_closed_without_a_word(placed: Placed) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await rest(reader) == b""
        writer.close()

    run(placed, scenario)


def test_a_head_without_end_is_answered_431(placed: Placed) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD[:-2] + b"x-long: " + b"a" * (70 << 10))
        assert (await rest(reader)).startswith(b"HTTP/1.1 431")
        assert gateway.metrics.refused[431] == 1
        writer.close()

    run(placed, scenario, Limits())


def test_one_connection_too_many_is_told_so_and_room_comes_back(placed: Placed) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(QUICK.connections)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        refusal = await rest(reader)
        assert refusal.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in refusal and b"50 connections" in refusal
        for reader, _ in open_ones:
            assert await rest(reader) == b"", "none of them ever said anything"
        for _, each in [*open_ones, (reader, writer)]:
            each.close()

    run(placed, scenario)


def test_a_client_that_reads_nothing_is_cut(placed: Placed) -> None:
    rows = request({"inputs": [{"name": "input", "shape": [1000, 30], "datatype": "FP32", "data": [0.5] * 30_000}]})

    async def scenario(gateway: Gateway, port: int) -> None:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()

        async def ask_for_ever() -> None:
            while True:
                await loop.sock_sendall(deaf, rows)

        with pytest.raises(OSError):
            await asyncio.wait_for(ask_for_ever(), 30)
        deaf.close()

    run(placed, scenario)


@pytest.mark.parametrize("path", ["/v2/models/cancer/infer", "/v2/models/cancer/infer?a=1"])
def test_a_client_that_has_closed_its_side_still_gets_its_answers(placed: Placed, path: str) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(infer_body(ROW, "one"), path) + request(infer_body(ROW, "two"), path))
        writer.write_eof()
        found = await asyncio.wait_for(answers(reader, 2), 10)
        assert [json.loads(each.partition(b"\r\n\r\n")[2])["id"] for each in found] == ["one", "two"]
        assert await rest(reader) == b""
        writer.close()

    run(placed, scenario)


def test_half_a_request_and_then_nothing_leaves_nothing_behind(placed: Placed) -> None:
    async def scenario(gateway: Gateway, port: int) -> None:
        for piece in (HEAD[:30], HEAD, HEAD + b"{"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(piece)
            writer.write_eof()
            assert await rest(reader) == b""
            writer.close()

    run(placed, scenario, Limits())
