"""gRPC against a real gateway process: Triton's clients, a bare one, and some that mean no good."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from echo import DTYPES, values
from engines.conftest import Served
from homes import wait_for

from prodml_magics.actions.status import status
from prodml_magics.serving.rpc import messages as m
from prodml_magics.wire.requests import Status

SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    found = triton.InferenceServerClient(served.grpc)
    yield found
    found.close()


@pytest.fixture
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc) as found:
        yield found


def raw_input(rows: np.ndarray, name: str = "input", datatype: str = "FP32") -> Any:
    tensor = triton.InferInput(name, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows)
    return tensor


def call(channel: grpc.Channel, method: str, message: Any, answer: Any = None, **options: Any) -> Any:
    """One call with bytes and nothing generated: `message` may be bytes that are no message."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    answered = channel.unary_unary(SERVICE + method)(data, **({"timeout": 20} | options))
    return answered if answer is None else answer.FromString(answered)


def refusal(ask: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """Code and message of a call that must be refused."""
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    return caught.value.code(), caught.value.details()  # type: ignore[attr-defined]


def typed(rows: np.ndarray, **fields: Any) -> Any:
    """A request with typed contents."""
    request = m.ModelInferRequest(model_name="cancer", **fields)
    tensor = request.inputs.add(name="input", datatype="FP32", shape=rows.shape)
    tensor.contents.fp32_contents.extend(rows.ravel().tolist())
    return request


def test_tritons_client_gets_scikit_learns_answer(served: Served, client: Any) -> None:
    placed = served.placed
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("cancer") and client.is_model_ready("cancer", "1")
    assert client.get_server_metadata().name == "prodml"
    assert [list(each.shape) for each in client.get_model_metadata("cancer").inputs] == [[-1, 30]]
    config = client.get_model_config("cancer").config
    assert (config.max_batch_size, config.input[0].data_type, list(config.input[0].dims)) == (1024, 11, [30])
    wanted = [triton.InferRequestedOutput(name) for name in ("probabilities", "label")]
    result = client.infer("cancer", [raw_input(placed.rows)], outputs=wanted, request_id="mine", compression_algorithm="gzip")
    np.testing.assert_allclose(result.as_numpy("probabilities"), placed.model.predict_proba(placed.rows), atol=1e-5)
    np.testing.assert_array_equal(result.as_numpy("label"), placed.model.predict(placed.rows))
    response = result.get_response()
    assert [output.name for output in response.outputs] == ["probabilities", "label"]
    assert (response.id, response.model_version, response.parameters["arm"].string_param) == ("mine", "1", "live")


def test_tritons_aio_client_gets_scikit_learns_answer_for_its_own_rows(served: Served) -> None:
    placed = served.placed
    expected = placed.model.predict_proba(placed.rows)

    async def scenario() -> None:
        async with triton_aio.InferenceServerClient(served.grpc) as client:

            async def one(index: int) -> None:
                rows = placed.rows[index : index + 1 + index % 3]
                result = await client.infer("cancer", [raw_input(rows)])
                given = result.as_numpy("probabilities")
                np.testing.assert_allclose(given, expected[index : index + len(rows)], atol=1e-5)

            await asyncio.gather(*(one(index) for index in range(300)))

    asyncio.run(scenario())


def test_a_bare_client_with_typed_contents_is_answered_with_typed_contents(served: Served, channel: grpc.Channel) -> None:
    rows = served.placed.rows[:5]
    answer = call(channel, "ModelInfer", typed(rows, id="me", model_version="1"), m.ModelInferResponse)
    assert list(answer.raw_output_contents) == []
    found = {output.name: output for output in answer.outputs}
    assert list(found["label"].contents.int64_contents) == served.placed.model.predict(rows).tolist()
    given = np.reshape(found["probabilities"].contents.fp32_contents, found["probabilities"].shape)
    np.testing.assert_allclose(given, served.placed.model.predict_proba(rows), atol=1e-5)


def test_every_datatype_comes_back_as_it_went(client: Any) -> None:
    sent = values()
    inputs = [raw_input(array, f"in_{name}", name) for name, array in sent.items()]
    result = client.infer("echo", inputs)
    for name, array in sent.items():
        given = result.as_numpy(f"out_{name}")
        given = np.vectorize(bytes.decode, otypes=[object])(given) if name == "BYTES" else given
        assert given.dtype == DTYPES[name]
        np.testing.assert_array_equal(given, array)


FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def echo_request(sent: dict[str, np.ndarray]) -> Any:
    request = m.ModelInferRequest(model_name="echo")
    for name, array in sent.items():
        tensor = request.inputs.add(name=f"in_{name}", datatype=name, shape=array.shape)
        cells = array.ravel().tolist()
        getattr(tensor.contents, FIELDS[name]).extend([cell.encode() for cell in cells] if name == "BYTES" else cells)
    return request


def test_typed_contents_of_half_precision_are_refused_and_all_others_have_a_field(channel: grpc.Channel) -> None:
    sent = values()
    half = sent.pop("FP16")
    request = echo_request(sent)
    request.inputs.add(name="in_FP16", datatype="FP16", shape=half.shape)
    code, said = refusal(lambda: call(channel, "ModelInfer", request))
    assert (code, "raw_input_contents only" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    request.inputs[-1].datatype = "FP32"
    request.inputs[-1].contents.fp32_contents.extend([0.0] * 6)
    code, said = refusal(lambda: call(channel, "ModelInfer", request))
    assert (code, "send FP16" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_a_bfloat_tensor_is_the_float_of_the_same_value(served: Served, channel: grpc.Channel) -> None:
    rows = (served.placed.rows[:4].view(np.uint32) & 0xFFFF0000).view(np.float32)
    request = m.ModelInferRequest(model_name="cancer")
    request.inputs.add(name="input", datatype="BF16", shape=rows.shape)
    request.raw_input_contents.append((rows.view(np.uint32) >> 16).astype("<u2").tobytes())
    answer = call(channel, "ModelInfer", request, m.ModelInferResponse)
    given = np.frombuffer(answer.raw_output_contents[1], "<f4").reshape(-1, 2)
    np.testing.assert_allclose(given, served.placed.model.predict_proba(rows), atol=1e-5)


def test_classes_come_with_value_index_and_label(served: Served, client: Any) -> None:
    rows = served.placed.rows[:3]
    result = client.infer("cancer", [raw_input(rows)], outputs=[triton.InferRequestedOutput("probabilities", class_count=1)])
    expected = served.placed.model.predict_proba(rows)
    for row, (text,) in zip(expected, result.as_numpy("probabilities"), strict=True):
        value, index, label = text.decode().split(":")
        assert (int(index), label) == (int(row.argmax()), str(row.argmax()))
        assert float(value) == pytest.approx(row.max(), abs=1e-5)


ROW = np.full((1, 30), 0.5, np.float32)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def changed(**changes: Any) -> Any:
    request = typed(ROW)
    for name, value in changes.items():
        if name == "shape":
            del request.inputs[0].shape[:]
            request.inputs[0].shape.extend(value)
        else:
            setattr(request.inputs[0], name, value)
    return request


def twice() -> Any:
    request = typed(ROW)
    request.inputs.append(request.inputs[0])
    return request


def with_output(name: str, **parameters: Any) -> Any:
    request = typed(ROW)
    output = request.outputs.add(name=name)
    for key, value in parameters.items():
        output.parameters[key].CopyFrom(m.ModelInferRequest().parameters["x"].__class__(**value))
    return request


def raw(*chunks: bytes) -> Any:
    request = m.ModelInferRequest(model_name="cancer", raw_input_contents=chunks)
    request.inputs.add(name="input", datatype="FP32", shape=[1, 30])
    return request


@pytest.mark.parametrize(
    ("code", "request_", "needle"),
    [
        (INVALID, b"\xff\xff\xff", "no ModelInferRequest"),
        (INVALID, m.ModelInferRequest(model_name="cancer"), "missing"),
        (INVALID, changed(shape=[1, 29]), "29"),
        (INVALID, changed(shape=[-1, 30]), "not usable"),
        (INVALID, changed(shape=[2**40, 30]), "not usable"),
        (INVALID, changed(shape=[1] * 9), "not usable"),
        (INVALID, changed(shape=[0, *[2**30] * 3]), "not usable"),
        (INVALID, changed(datatype="COMPLEX"), "COMPLEX"),
        (INVALID, changed(datatype="FP64"), "fp64_contents"),
        (INVALID, changed(name="x"), "no input tensor"),
        (INVALID, twice(), "twice"),
        (INVALID, with_output("odds"), "odds"),
        (INVALID, with_output("label", classification={"int64_param": 0}), "1 or more"),
        (INVALID, with_output("label", classification={"string_param": "2"}), "1 or more"),
        (INVALID, with_output("label", shared_memory_region={"string_param": "x"}), "shared memory"),
        (INVALID, raw(b"abc"), "whole number"),
        (INVALID, raw(b"abcd"), "needs 30"),
        (INVALID, raw(b"", b""), "for 1 inputs"),
        (INVALID, typed(np.full((1, 30), np.nan, np.float32)), "mean radius"),
        (INVALID, typed(ROW, id="x" * 300), "request id"),
        (INVALID, typed(ROW, id="a\nb"), "request id"),
        (INVALID, typed(ROW, model_version="x"), "version number"),
        (INVALID, typed(ROW, model_version="9" * 5000), "version number"),
        (grpc.StatusCode.NOT_FOUND, typed(ROW, model_version="7"), "loaded: 1"),
        (grpc.StatusCode.NOT_FOUND, m.ModelInferRequest(model_name="nobody"), "deployed: cancer"),
        (grpc.StatusCode.NOT_FOUND, m.ModelInferRequest(model_name="../etc\n\0"), "deployed: cancer"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(channel: grpc.Channel, code: grpc.StatusCode, request_: Any, needle: str) -> None:
    given, said = refusal(lambda: call(channel, "ModelInfer", request_))
    assert (given, needle in said, "\n" in said) == (code, True, False), said


@pytest.mark.parametrize(
    "method",
    ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics",
     "RepositoryIndex"],
)  # fmt: skip
def test_a_message_that_is_none_is_refused_by_every_method(channel: grpc.Channel, method: str) -> None:
    assert refusal(lambda: call(channel, method, b"\xff\xff\xff"))[0] == INVALID


def test_a_message_over_the_limit_is_refused_packed_or_not_and_leaves_no_memory_behind(served: Served) -> None:
    pid = status(served.workspace, Status()).gateway.pids[0]
    request = m.ModelInferRequest(model_name="cancer", raw_input_contents=[bytes(64 << 20)])
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(served.grpc, options=options) as channel:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            code, _ = refusal(lambda packed=compression: call(channel, "ModelInfer", request, compression=packed))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert psutil.Process(pid).memory_info().rss < 400 << 20
        assert call(channel, "ServerLive", b"", m.ServerLiveResponse).live


def test_a_stream_is_answered_in_order_and_goes_on_after_a_refusal(served: Served, channel: grpc.Channel) -> None:
    expected = served.placed.model.predict_proba(served.placed.rows)[:, 1]
    requests = [typed(served.placed.rows[index : index + 1], id=str(index)) for index in range(200)]
    requests[3] = m.ModelInferRequest(model_name="nobody", id="3")
    requests[5].parameters["triton_enable_empty_final_response"].bool_param = True
    sent: list[bytes] = [each.SerializeToString() for each in requests]
    sent[4] = b"\xff\xff\xff"
    streamed = channel.stream_stream(SERVICE + "ModelStreamInfer")(iter(sent), timeout=30)
    answers = [m.ModelStreamInferResponse.FromString(each) for each in streamed]
    assert [index for index, each in enumerate(answers) if each.error_message] == [3, 4]
    assert "nobody" in answers[3].error_message
    for index, each in enumerate(answers):
        if index not in (3, 4):
            assert each.infer_response.id == str(index)
            assert each.infer_response.outputs[1].contents.fp32_contents[1] == pytest.approx(expected[index], abs=1e-5)
            assert ("triton_final_response" in each.infer_response.parameters) == (index == 5)


def test_tritons_stream_client_is_answered(served: Served, client: Any) -> None:
    found: dict[str, Any] = {}
    whole = threading.Event()

    def take(result: Any, error: Any) -> None:
        assert error is None, error
        found[result.get_response().id] = result.as_numpy("label")[0]
        if len(found) == 50:
            whole.set()

    client.start_stream(take)
    for index in range(50):
        client.async_stream_infer("cancer", [raw_input(served.placed.rows[index : index + 1])], request_id=str(index))
    assert whole.wait(20)
    client.stop_stream()
    expected = served.placed.model.predict(served.placed.rows[:50])
    assert [found[str(index)] for index in range(50)] == expected.tolist()


def test_statistics_count_rows_runs_and_requests(served: Served, client: Any) -> None:
    def stats() -> Any:
        return client.get_inference_statistics("cancer", "1").model_stats[0]

    before = stats()
    client.infer("cancer", [raw_input(served.placed.rows[:7])])
    after = stats()
    assert (after.inference_count - before.inference_count, after.execution_count - before.execution_count) == (7, 1)
    succeeded = after.inference_stats.success
    assert succeeded.count - before.inference_stats.success.count == 1
    assert succeeded.ns > after.inference_stats.compute_infer.ns > 0
    assert after.last_inference > 1.7e12
    assert 7 in [each.batch_size for each in after.batch_stats]
    assert {each.name for each in client.get_inference_statistics().model_stats} == {"cancer", "echo"}


def test_the_repository_lists_what_is_loaded_and_changes_need_the_token(served: Served, client: Any) -> None:
    index = {(each.name, each.version, each.state) for each in client.get_model_repository_index().models}
    assert {("cancer", "1", "READY"), ("echo", "1", "READY")} <= index
    for headers in ({}, {"authorization": "Bearer wrong"}):
        for change in (client.load_model, client.unload_model):
            with pytest.raises(triton.InferenceServerException, match="UNAUTHENTICATED"):
                change("cancer", headers=headers)
    right = {"authorization": f"Bearer {served.token}"}
    client.load_model("cancer", headers=right)
    client.load_model("idle", headers=right)
    client.unload_model("idle", headers=right)
    with pytest.raises(triton.InferenceServerException, match=r"FAILED_PRECONDITION.*%undeploy cancer"):
        client.unload_model("cancer", headers=right)
    with pytest.raises(triton.InferenceServerException, match="NOT_FOUND"):
        client.load_model("nobody", headers=right)
    with pytest.raises(triton.InferenceServerException, match="INVALID_ARGUMENT"):
        client.load_model("cancer", headers=right, config="{}")
    assert client.is_model_ready("cancer")


def test_the_same_port_is_served_again_after_kill_9(served: Served, client: Any) -> None:
    before = status(served.workspace, Status()).gateway
    os.kill(before.pids[0], signal.SIGKILL)

    def back() -> bool:
        now = status(served.workspace, Status()).gateway
        return now.state == "up" and now.pids != before.pids

    assert wait_for(back) < 5
    assert status(served.workspace, Status()).gateway.grpc == before.grpc
    with grpc.insecure_channel(before.grpc) as fresh:
        answer = call(fresh, "ModelInfer", typed(served.placed.rows[:1]), m.ModelInferResponse, wait_for_ready=True)
    assert answer.outputs[0].contents.int64_contents[0] == served.placed.model.predict(served.placed.rows[:1])[0]


def test_what_was_answered_over_grpc_is_in_the_lake(served: Served, channel: grpc.Channel) -> None:
    for index in range(20):
        call(channel, "ModelInfer", typed(served.placed.rows[index : index + 1], id=f"rpc-{index}"))
    served.services.drain()
    rows = served.workspace.lake.rows("cancer", statuses=None)
    found = [each for each in rows["request_id"] if each.startswith("rpc-")]
    assert sorted(found) == sorted(f"rpc-{index}" for index in range(20))
