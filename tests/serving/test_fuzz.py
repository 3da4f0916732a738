"""Whatever bytes come: an answer or one line that says what is wrong, never a server error, and the gateway goes on."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any

import pytest
from echo import contract as echo_contract
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import PATHS, malformed, mutated, valid_body
from serving.test_fast import ROW, Gateway, Ports, infer_body, request, run, talk
from versions import Placed, place

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import ProdmlError
from prodml_magics.serving.compression import unpacked
from prodml_magics.serving.invocations import decode_invocation
from prodml_magics.serving.openinference import decode_request
from prodml_magics.serving.plain import PlainForm
from prodml_magics.serving.rpc import codec
from prodml_magics.serving.rpc import messages as m
from prodml_magics.wire.names import check_name, parse_reference

LONGEST = 700
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(error: ProdmlError) -> None:
    """A refusal is the fault of the request, in one line of reasonable length."""
    message = str(error)
    assert 400 <= error.http_status < 500
    assert message and "\n" not in message and len(message) < LONGEST, message
    message.encode()


@given(body=st.binary(max_size=300), length=st.none() | st.integers(-1, 400))
@many
def test_bytes_are_no_request_or_one(body: bytes, length: int | None) -> None:
    try:
        decode_request(body, length)
    except ProdmlError as error:
        told(error)
    PlainForm("input", "FP32", 30).decode(body)


@given(seed=st.integers(0, 2**32), rest=st.binary(max_size=130), times=st.integers(1, 5))
@many
def test_a_request_that_was_tampered_with_is_refused_or_keeps_the_contract(seed: int, rest: bytes, times: int) -> None:
    rng = random.Random(seed)
    body: Any = valid_body()
    for _ in range(times):
        body = mutated(rng, body)
    head = json.dumps(body).encode()
    for split in (None, len(head)):
        try:
            found = decode_request(head + (rest if split else b""), split)
            check_tensors(echo_contract(), found.tensors)
        except ProdmlError as error:
            told(error)


@given(body=JSON, field=st.sampled_from(["dataframe_split", "dataframe_records", "inputs", "instances", "params"]))
@many
def test_an_invocation_is_refused_or_keeps_the_contract(contracts: list[Contract], body: Any, field: str) -> None:
    for contract in contracts:
        for content in (body, {field: body}, {field: {"data": body}}, {field: {"data": [[0.5] * 30], "columns": body}}):
            try:
                decode_invocation(contract, json.dumps(content).encode())
            except ProdmlError as error:
                told(error)


@given(data=st.binary(max_size=200))
@many
def test_bytes_are_no_message_or_one(data: bytes) -> None:
    try:
        codec.decode_request(m.ModelInferRequest.FromString(data))
    except DecodeError:
        pass
    except ProdmlError as error:
        told(error)


CELLS = {
    "bool_contents": st.booleans(), "int_contents": st.integers(-(2**31), 2**31 - 1), "int64_contents": st.integers(-(2**63), 2**63 - 1),
    "uint_contents": st.integers(0, 2**32 - 1), "uint64_contents": st.integers(0, 2**64 - 1), "fp32_contents": st.floats(width=32),
    "fp64_contents": st.floats(), "bytes_contents": st.binary(max_size=5),
}  # fmt: skip


@given(
    datatype=st.sampled_from(["BOOL", "INT8", "INT32", "INT64", "UINT8", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES", "", "x" * 99]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=10),
    fields=st.lists(st.sampled_from(sorted(CELLS)), max_size=2),
    raw=st.lists(st.binary(max_size=20), max_size=2),
    name=st.text(max_size=5),
    data=st.data(),
)  # fmt: skip
@many
def test_a_message_with_any_tensor_is_refused_or_read(
    datatype: str, shape: list[int], fields: list[str], raw: list[bytes], name: str, data: Any
) -> None:
    message = m.ModelInferRequest(model_name="echo", raw_input_contents=raw)
    tensor = message.inputs.add(name=name.encode("utf-8", "ignore").decode(), datatype=datatype, shape=shape)
    for field in fields:
        getattr(tensor.contents, field).extend(data.draw(st.lists(CELLS[field], max_size=6)))
    try:
        found = codec.decode_request(message)
        check_tensors(echo_contract(), found.tensors)
    except ProdmlError as error:
        told(error)


@given(body=st.binary(max_size=100), encoding=st.sampled_from([b"gzip", b"deflate", b"", b"identity", b"br", b"\xff"]))
@many
def test_bytes_are_packed_or_not(body: bytes, encoding: bytes) -> None:
    try:
        assert unpacked(body, encoding, 1 << 20) == body or encoding in (b"gzip", b"deflate")
    except ProdmlError as error:
        told(error)


@given(text=st.text(max_size=120))
@many
def test_a_name_is_one_or_is_refused_and_never_leaves_its_folder(text: str) -> None:
    try:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", check_name(text)) and ".." not in text
        assert str(parse_reference(text)) == text
    except ProdmlError as error:
        told(error)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    return place(tmp_path_factory.mktemp("fuzz"), "cancer", 1)


@pytest.fixture(scope="module")
def contracts(fuzzed: Placed) -> list[Contract]:
    return [fuzzed.contract, echo_contract()]


async def statuses(port: int, data: bytes) -> list[int]:
    """Send, close the sending half, and read all that comes; the statuses of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
    except OSError:
        return []
    finally:
        writer.close()
    assert b"Set-Cookie" not in answer.split(b"\r\n\r\n", 1)[0]
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]


def test_no_malformed_request_is_a_server_error_and_the_gateway_goes_on(fuzzed: Placed) -> None:
    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        seen: dict[int, int] = {}
        for seed, port in enumerate(ports):
            sent = list(malformed(seed, 900))
            for at in range(0, len(sent), 450):  # beside each other: one that breaks off in its head is closed a second later
                together = sent[at : at + 450]
                answered = await asyncio.gather(*(statuses(port, data) for data in together))
                for data, found in zip(together, answered, strict=True):
                    assert all(status < 500 for status in found), data[:2000]
                    for status in found:
                        seen[status] = seen.get(status, 0) + 1
            (answer,) = await talk(port, request(infer_body(ROW, "me")))
            assert answer.startswith(b"HTTP/1.1 200")
        assert {400, 401, 404, 405, 422} <= seen.keys()
        assert sum(seen.values()) > 1500

    run(fuzzed, scenario)


@pytest.mark.parametrize("path", PATHS[:5])
@pytest.mark.parametrize("value", [b"[" * 2000 + b"]" * 2000, b"1" * 5000, b"-" + b"1" * 5000, b"1" * 310 + b".5", b"1e999"])
def test_depth_and_length_of_json_are_bounded(fuzzed: Placed, path: str, value: bytes) -> None:
    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        for body in (
            value,
            b'{"inputs": %b}' % value,
            b'{"inputs": [{"name": "input", "data": [%b]}]}' % value,
            b'[{"a": %b}]' % value,
        ):
            for port in ports:
                (answer,) = await talk(port, request(body, path))
                assert answer.startswith(b"HTTP/1.1 400"), (body[:100], answer)

    run(fuzzed, scenario)
