"""Requests that are taken without being parsed mean what the parsers say, and are answered with the same bytes."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from serving.test_gateway import Gateway
from serving.test_rpc import code_of, listening
from versions import Placed, place

from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.openinference import InferRequest, decode_request, encode_response
from prodml_magics.serving.raw import BinaryAnswers, BinaryHeads
from prodml_magics.serving.requests import Answer, Outputs
from prodml_magics.serving.rpc import codec
from prodml_magics.serving.rpc import messages as m
from prodml_magics.serving.rpc.known import KnownMessages, length_delimited
from prodml_magics.wire.routes import CanaryRoute, Route

NAMES = st.sampled_from(["", "m", "model", "é", "x" * 127, "x" * 128])
PIECES = st.sampled_from(
    [b"\x0a\x01m", b"\x1a\x02me", b"\x1a\x00", b"\x12\x011", b"\x3a\x08", b"\x3a\x0412345678", b"\x7a\x01x", b"\x1b\x1c"]
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message of about the usual form."""
    message = m.ModelInferRequest(
        model_name=draw(NAMES),
        model_version=draw(st.sampled_from(["", "1", "12"])),
        id=draw(st.sampled_from(["", "a", "bc", "é"])),
    )
    if draw(st.integers(0, 9)) == 0:
        message.parameters["p"].int64_param = 1
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 0, 2]))):
        rows = draw(st.integers(0, 3))
        tensor = message.inputs.add(
            name=draw(st.sampled_from(["a", "b"])), datatype=draw(st.sampled_from(["FP32", "FP64", "INT64"]))
        )
        tensor.shape.extend([rows, 2])
        if draw(st.integers(0, 9)) == 0:
            tensor.contents.fp32_contents.append(1)
        if draw(st.integers(0, 9)) == 0:
            tensor.parameters["shared_memory_region"].string_param = "r"
        size = rows * 2 * (4 if tensor.datatype == "FP32" else 8) if draw(st.integers(0, 9)) else 5
        message.raw_input_contents.append(draw(st.binary(min_size=size, max_size=size)))
    if draw(st.integers(0, 9)) == 0:
        message.outputs.add(name="label")
    return bytes(message.SerializeToString())


@st.composite
def disturbed(draw: st.DrawFn) -> bytes:
    """A message, or what is left of one of which bytes were changed, put in or taken out."""
    data = draw(messages())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        put = draw(st.one_of(st.just(b""), st.binary(max_size=2), PIECES))
        data = data[:at] + put + data[at + draw(st.integers(0, 3)) :]
    return data


@given(
    learned=st.lists(disturbed(), min_size=1, max_size=4),
    asked=st.lists(disturbed(), max_size=4),
    ids=st.lists(NAMES, max_size=3),
)
def test_a_message_that_is_known_means_what_protobuf_says(learned: list[bytes], asked: list[bytes], ids: list[str]) -> None:
    known = KnownMessages()
    for data in learned:
        try:
            known.learn(data, m.ModelInferRequest.FromString(data))
        except (DecodeError, InvalidInput):
            continue
    # The same bytes with other values at the end, and with an id put in where one may stand.
    turned = [data[:-8] + bytes(255 - value for value in data[-8:]) for data in learned]
    with_id = [
        data[:at] + length_delimited(0x1A, len(each.encode())) + each.encode() + data[at:]
        for data in learned
        for each in ids
        for at in (2 + data[1] if len(data) > 1 else 0,)
    ]
    for data in learned + asked + turned + with_id:
        found = known.find(data)
        if found is not None:
            meaning, request_id, packed = found
            message = m.ModelInferRequest.FromString(data)
            (tensor,) = message.inputs
            assert (message.model_name, message.model_version, message.id) == (
                meaning.model,
                "" if meaning.number is None else message.model_version,
                request_id,
            )
            assert meaning.number is None or int(message.model_version) == meaning.number
            assert (tensor.name, tensor.datatype, tensor.shape[1]) == meaning.form.tensor
            assert list(tensor.shape) == [meaning.form.rows, meaning.form.tensor[2]]
            assert list(message.raw_input_contents) == [packed] and len(packed) == meaning.form.size
            assert not (message.outputs or tensor.parameters or tensor.HasField("contents"))


def test_the_usual_message_is_known_whatever_its_id_and_values() -> None:
    known = KnownMessages()
    rng = np.random.default_rng(0)
    for rows in (1, 128):
        for number, request_id in enumerate(["", "a", "an-id-of-its-own", "a"]):
            message = m.ModelInferRequest(model_name="cancer", id=request_id)
            message.inputs.add(name="input", datatype="FP32", shape=[rows, 30])
            packed = rng.normal(size=(rows, 30)).astype("<f4").tobytes()
            message.raw_input_contents.append(packed)
            data = message.SerializeToString()
            found = known.find(data)
            if number == 0:
                assert found is None
                known.learn(data, message)
            else:
                assert found is not None and found[1:] == (request_id, packed)


HEAD = m.ModelInferRequest(model_name="m", inputs=[{"name": "a", "datatype": "FP32", "shape": [1, 2]}]).SerializeToString()
RAW = b"\x3a\x08"


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (HEAD + RAW + b"12345678", True),
        (HEAD + b"\x1a\x02me" + RAW + b"12345678", False),  # an id elsewhere would prevail over the one that is looked at
        (HEAD + RAW + b"12345678" + b"\x7a\x0812345678", False),  # an unknown field stands last
        (HEAD + RAW + b"12345678" + RAW + b"12345678", False),
        (RAW + b"12345678" + HEAD, False),
        (HEAD + b"\x2a\x00" + RAW + b"12345678", False),
    ],
)
def test_a_message_is_known_only_where_its_values_stand_last_and_its_id_behind_its_names(data: bytes, known: bool) -> None:
    messages = KnownMessages()
    messages.learn(data, m.ModelInferRequest.FromString(data))
    assert (messages.find(data) is not None) is known
    with_id = b"\x0a\x01m" + b"\x1a\x01i" + data[3:]
    assert (messages.find(with_id) is not None) is known


def outputs(rows: int) -> st.SearchStrategy[dict[str, np.ndarray]]:
    numbers = st.sampled_from([np.dtype(name) for name in ("<f4", ">f4", "<f8", "<i8", "i1", "?", "<f2")])
    shapes = st.sampled_from([(rows,), (rows, 1), (rows, 3), (rows, 2, 2), (rows, 0)])
    arrays = st.one_of(
        st.tuples(numbers, shapes).flatmap(lambda pair: npst.arrays(*pair)),
        npst.arrays(object, st.sampled_from([(rows,), (rows, 2)]), elements=st.text(), fill=st.nothing()),
    )
    return st.dictionaries(st.text(min_size=1, max_size=8), arrays, min_size=1, max_size=3)


@given(data=st.data(), rows=st.integers(1, 5), request_id=st.text(max_size=200))
def test_answers_have_the_bytes_of_the_long_way(data: st.DataObject, rows: int, request_id: str) -> None:
    values = data.draw(outputs(rows))
    start = data.draw(st.integers(0, rows - 1))
    answer = Answer(Outputs(values), start, rows)
    version = SimpleNamespace(model="m", version=1, contract=None)
    binary = BinaryAnswers(b'"model_name":"m","model_version":"1"', "live", tuple(values))
    lane: Any = SimpleNamespace(version=version, arm="live", outputs=tuple(values))
    request = InferRequest(request_id, {}, {}, True)
    for _ in range(2):  # what was put together for the first is used by the second
        assert codec.encode_raw(request_id, lane, answer) == ([], codec.encode_response(lane, request_id, request, answer))
        short = binary.body(request_id, answer)
        head = b'{"model_name":"m","model_version":"1","id":%b,"parameters":{"arm":"live"}' % json.dumps(request_id).encode()
        nothing: Any = None
        long = encode_response(head, answer, tuple(values), request, nothing)
        if short is None:
            assert any(each.dtype.kind == "O" for each in values.values())
        elif request_id.isascii() and request_id.isprintable():
            assert short == long


BODY = {"inputs": [{"name": "input", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}]}
BINARY = {"parameters": {"binary_data_output": True}}


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        (BINARY, True),
        (BINARY | {"id": "me"}, False),
        ({}, False),
        (BINARY | {"outputs": [{"name": "label"}]}, False),
        (BINARY | {"inputs": [BODY["inputs"][0] | {"datatype": "INT32"}]}, False),
        (BINARY | {"inputs": [BODY["inputs"][0] | {"shape": [6]}]}, False),
        (BINARY | {"inputs": [BODY["inputs"][0] | {"datatype": "BF16", "shape": [4, 3]}]}, False),
    ],
)
def test_json_before_a_binary_tensor_is_known_only_where_it_says_all(changes: dict[str, Any], known: bool) -> None:
    heads = BinaryHeads()
    head = json.dumps(BODY | changes).encode()
    body = head + np.arange(6, dtype="<f4").tobytes()
    assert heads.find(body, len(head)) is None
    heads.learn(body, len(head), decode_request(body, len(head)))
    found = heads.find(head + bytes(24), len(head))
    assert (found is not None) is known
    if found is not None:
        assert (found.tensor, found.rows, found.size) == (("input", "FP32", 3), 2, 24)
        assert heads.find(head + bytes(23), len(head)) is None
        assert heads.find(head + bytes(25), len(head)) is None


def test_json_data_behind_a_length_is_not_taken_for_bytes() -> None:
    heads = BinaryHeads()
    body = json.dumps(BINARY | {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}).encode()
    heads.learn(body, len(body), decode_request(body, len(body)))
    assert heads.find(body, len(body)) is None


def test_every_request_over_grpc_gets_its_own_rows_answer_and_id(placed: Placed) -> None:
    expected = placed.model.predict_proba(placed.rows)

    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            taken = _counted(gateway)
            for _ in range(2):
                starts = range(0, 500, 10)
                found = await asyncio.gather(*[ask(placed.rows[each : each + 1 + each % 7]) for each in starts])
                for start, answer in zip(starts, found, strict=True):
                    values = np.frombuffer(answer.raw_output_contents[1], "<f4").reshape(-1, 2)
                    np.testing.assert_allclose(values, expected[start : start + 1 + start % 7], atol=1e-5)
            assert len(taken) >= 50, "the second time at least, all are taken without parsing"
            logged = {each: block for block in gateway.blocks() for each in block.request_ids}
            assert len(logged) == 100 and sum(block.rows for block in gateway.blocks()) == 2 * sum(
                1 + each % 7 for each in starts
            )
            assert {answer.id for answer in found} <= set(logged)

    asyncio.run(scenario())


def test_what_is_known_follows_the_route_and_refuses_as_before(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)

    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            rows = placed.rows[:2]
            assert [(await ask(rows)).model_version for _ in range(2)] == ["1", "1"]
            holed = rows.copy()
            holed[1, 3] = np.nan
            for bad in (holed, np.where(np.isnan(holed), np.inf, holed)):
                code, said = await code_of(ask(bad))
                assert (code, "in row 1" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
            huge = rows * np.float32(1e30)  # whose squares are beyond float32: the long way answers them
            assert (await ask(huge)).model_version == "1"
            await gateway.router.apply(
                {"cancer": Route(model="cancer", revision=2, live=2, files=(placed.files, other.files))}, 2
            )
            assert (await ask(rows)).model_version == "2"
            split = CanaryRoute(1, share=0.5, salt="s", rollout=1)
            await gateway.router.apply(
                {"cancer": Route(model="cancer", revision=3, live=2, canary=split, files=(placed.files, other.files))}, 3
            )
            assert {(await ask(rows)).model_version for _ in range(30)} == {"1", "2"}
            await gateway.router.apply({}, 4)
            gateway.router._models.clear()
            code, said = await code_of(ask(rows))
            assert (code, "no model" in said) == (grpc.StatusCode.NOT_FOUND, True)

    asyncio.run(scenario())


def test_a_known_message_with_a_routing_key_goes_the_long_way(placed: Placed) -> None:
    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            await ask(placed.rows[:1])
            await ask(placed.rows[:1], metadata=(("x-prodml-key", "user"), ("x-request-id", "mine")))
            assert gateway.blocks()[-1].keys == ["user"] and gateway.blocks()[-1].request_ids == ["mine"]

    asyncio.run(scenario())


def _counted(gateway: Gateway) -> list[bool]:
    """Told, from now on, of every request that was taken without parsing."""
    taken: list[bool] = []
    honest = gateway.predictor.infer_raw

    def infer_raw(*arguments: Any) -> bool:
        found = honest(*arguments)
        if found:
            taken.append(True)
        return found

    gateway.predictor.infer_raw = infer_raw  # type: ignore[method-assign]
    return taken


def test_the_tensor_of_the_short_way_is_that_of_the_contract() -> None:
    from prodml_magics.serving.plain import plain_form

    contract = Contract(task="other", columns=(), inputs=(Tensor(name="a", datatype="FP64", shape=(-1, 4)),), outputs=())
    form = plain_form(contract)
    assert form is not None and form.tensor == ("a", "FP64", 4)
